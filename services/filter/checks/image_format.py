"""Is this a photo that can be decoded at all?

Score: 1 when the bytes decode as a still JPEG, PNG or WebP of at most 50 million pixels, else 0
with the reason as its detail. Unit: `valid`. `services.filter.decode` does the work; this module
gives it a place among the checks. An undecodable image has no other scores.

A PNG's checksums are looked at, since its decoder passes over damage; and a file that is an
archive, a document or a page as well (`services.filter.containers`) is none that we take.

Known failure: a JPEG or WebP, which have no checksums, with flipped bits in the middle often still
decodes, to a picture with a shifted or discoloured part; only missing data are noticed.
"""

from __future__ import annotations

from services.filter.checks.base import Check, Score
from services.filter.decode import Photo, Undecodable

__all__ = ["CHECK", "undecodable"]


def score(photo: Photo) -> Score:
    """1: it has been decoded."""
    return Score(1.0, detail=photo.format)


def undecodable(error: Undecodable) -> Score:
    """0, with the reason."""
    return Score(0.0, detail=error.detail)


CHECK = Check(
    name="format",
    version="2",
    unit="valid",
    minimum=True,
    threshold=1.0,
    low=1.0,
    high=1.0,
    score=score,
    explain=lambda value, threshold: "The file could not be decoded.",
)
