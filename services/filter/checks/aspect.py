"""Is the photo so long or so high that no square of it shows the whole subject?

Score: longer side / shorter side of the upright photo, at least 1, unit `times`; default at most
3, the bound of DataComp's basic filter (Gadre et al., arXiv:2304.14108, appendix).

Known failure: a panorama that somebody cut to a square strip passes.
"""

from __future__ import annotations

from services.filter.checks.base import Check, Score, apart
from services.filter.decode import Photo

__all__ = ["CHECK"]


def score(photo: Photo) -> Score:
    """Longer side over shorter side."""
    return Score(max(photo.width, photo.height) / min(photo.width, photo.height))


CHECK = Check(
    name="aspect",
    version="1",
    unit="times",
    minimum=False,
    threshold=3.0,
    low=1.0,
    high=100.0,
    score=score,
    explain=lambda value, threshold: (
        "The longer side is {} times the shorter one, more than {} times.".format(
            *apart(value, threshold, 1)
        )
    ),
)
