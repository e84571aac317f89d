"""The checks, in the order in which a profile names them."""

from __future__ import annotations

from services.filter.checks import faces, grayscale, image_format, resolution, sharpness, text
from services.filter.checks.base import Check, Measured, Score

__all__ = ["CHECKS", "FORMAT", "SCORING_SIDE", "Check", "Measured", "Score"]

FORMAT = image_format.CHECK.name
CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        image_format.CHECK,
        resolution.CHECK,
        sharpness.CHECK,
        grayscale.CHECK,
        text.CHECK,
        faces.CHECK,
    )
}
SCORING_SIDE = 800
"""no check looks at more than this along a photo's shorter side (px): decoders may stop there"""
