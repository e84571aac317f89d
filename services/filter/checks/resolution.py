"""Is the photo large enough for the resolution that it is judged for?

Stored: the shorter side of the upright photo in px, so that one score serves every resolution.
Judged: shorter side / resolution, unit `ratio`; default at least 0.8, as in the seed study (Lee
and Eisenbeiser 2022: height and width at least 80 % of the target).

Known failure: a small photo that somebody enlarged passes here; sharpness may catch it.
"""

from __future__ import annotations

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo

__all__ = ["CHECK"]


def score(photo: Photo) -> Score:
    """The shorter side in px."""
    return Score(float(min(photo.width, photo.height)))


CHECK = Check(
    name="resolution",
    version="1",
    unit="ratio",
    minimum=True,
    threshold=0.8,
    low=0.0,
    high=16.0,
    score=score,
    explain=lambda value, threshold: (
        "The shorter side is {} of the wanted resolution, below {}.".format(
            *apart(value, threshold, 0, "%")
        )
    ),
    judged=lambda score, resolution: score.value / resolution,
)
