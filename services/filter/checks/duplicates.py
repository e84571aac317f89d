"""Is there a better copy of the photo in the collection?

Files with equal bytes are one image already (it is stored under its SHA-256). This check finds
what is the same to the eye: re-encoded, reduced, slightly corrected. A perceptual hash (as
described by Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010):
the photo in grey is squeezed to 64 x 64, and of its 256 lowest cosine coefficients each is above
the median or not.

Judged: the Hamming distance to the nearest better photo of the same collection, 0..80, unit
`bits`; 80 when none is near (`services.filter.hamming`). Better is, in this order: what passed the
checks that look at one photo, more pixels, more bytes, the smaller SHA-256. So of every pair of
copies the better one stays, and a clean small copy stays when the large one bears somebody's text.

Stored: the hash, and the file's size in bytes.

Distances between different photos (of the wheels of scikit-image and scikit-learn, with halves and
quarters of them) have a mean of 128, a standard deviation of 8.1 and a minimum of 96. The default
lies seven deviations below the mean: were they normal, a thousandth of a false pair would be
expected among 50,000 photos; at 80, the greatest bound, one. Copies of those photos: re-encoded,
reduced, brighter or darker 0 to 28 (one of 62), cut by 1, 2, 3 % on every side 12 to 46, 26 to 56
(one of 78), 32 to 68 (two beyond), by 5 % on one side 44 to 102; two views of a stereo camera 74.

Known failures: cuts of more than 3 % on every side or 5 % on one, mirrored copies and such turned
by more than a degree are other photos; two photos of one burst may be copies; photos of nothing but
a smooth gradient resemble each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from services.filter.checks.base import Check, Member, Related, Score, apart
from services.filter.decode import Photo
from services.filter.hamming import BITS, RADIUS, nearest_better

__all__ = ["CHECK"]

_SIDE = 64
_LOWEST = 16
_ROW, _COLUMN = np.mgrid[:_LOWEST, :_LOWEST]
_ORDER = np.lexsort((_ROW.ravel(), np.maximum(_ROW, _COLUMN).ravel()))
"""from the lowest frequency to the highest: a cut changes high ones more, so its changes crowd in
the last chunks of the index, and one of the first still finds the copy"""


def score(photo: Photo) -> Score:
    """The size of the file; the hash is its vector."""
    small = cv2.resize(photo.grey(), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    lowest = np.asarray(cv2.dct(small.astype(np.float32)))[:_LOWEST, :_LOWEST].ravel()
    lowest[0] = 0.0  # brightness says nothing
    above = lowest > np.median(lowest)
    return Score(float(photo.bytes), vector=np.packbits(above[_ORDER]).tobytes())


def relate(members: Sequence[Member]) -> list[Related]:
    """The distance of each photo to the nearest better one."""
    ranked = sorted(
        range(len(members)),
        key=lambda index: (
            not members[index].passes,
            -members[index].measured.width * members[index].measured.height,
            -members[index].measured.score.value,
            members[index].sha256,
        ),
    )
    vectors = b"".join(members[index].measured.score.vector for index in ranked)
    distances, nearest = nearest_better(np.frombuffer(vectors, np.uint64).reshape(-1, BITS // 64))
    related = [Related(0.0)] * len(members)
    for index, distance, place in zip(ranked, distances.tolist(), nearest.tolist(), strict=True):
        other = members[ranked[place]].sha256 if place >= 0 else ""
        related[index] = Related(float(distance), other)
    return related


CHECK = Check(
    name="duplicates",
    version="2",
    unit="bits",
    minimum=True,
    threshold=72.0,
    low=0.0,
    high=float(RADIUS + 1),
    score=score,
    explain=lambda value, threshold: (
        f"A better copy differs in {{}} of {BITS} bits, fewer than {{}}.".format(
            *apart(value, threshold, 0)
        )
    ),
    relate=relate,
    side=_SIDE,
)
