"""The checks, in the order in which a profile names them.

A check that compares photos comes after those that look at one, since it asks how they went.
"""

from __future__ import annotations

from services.filter.checks import (
    aspect,
    border,
    collage,
    duplicates,
    faces,
    faces_cnn,
    faces_yunet,
    grayscale,
    image_format,
    off_topic,
    resolution,
    sharpness,
    text,
    text_east,
)
from services.filter.checks.base import Check, Measured, Member, Related, Score

__all__ = [
    "CHECKS",
    "FORMAT",
    "SCORING_LONG_SIDE",
    "SCORING_SIDE",
    "Check",
    "Measured",
    "Member",
    "Related",
    "Score",
]

FORMAT = image_format.CHECK.name
CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        image_format.CHECK,
        resolution.CHECK,
        aspect.CHECK,
        sharpness.CHECK,
        grayscale.CHECK,
        border.CHECK,
        collage.CHECK,
        text.CHECK,
        text.LINES,
        text_east.CHECK,
        faces.CHECK,
        faces_cnn.CHECK,
        faces_yunet.CHECK,
        off_topic.CHECK,
        duplicates.CHECK,
    )
}
SCORING_SIDE = max(check.side for check in CHECKS.values())
SCORING_LONG_SIDE = max(check.long_side for check in CHECKS.values())
"""no check looks at more than this along a photo's shorter and longer side (px): decoders may
stop there, whichever checks are asked, so that a score does not depend on the others"""
