"""The nearest better one of many 256-bit hashes, by an index.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index
hashing", CVPR 2012): a hash is cut into 16 chunks of 16 bits, and two hashes are near when they
differ in at most RADIUS bits and in at most one bit of some chunk. So it is enough to look into 17
buckets of each of 16 tables; all pairs would be 1.2 billion for 50,000 photos. Up to 31 bits the
second condition always holds. Above it is what keeps the search that cheap: where 40, 48, 56, 64
bits differ at random, 0.1, 3, 14, 35 % do not meet it; of cut photos fewer, see `duplicates`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BITS", "RADIUS", "nearest_better"]

BITS = 256
RADIUS = 79
"""the greatest distance that is found"""
_CHUNKS = 16
_FLIPS = np.array([0, *(1 << bit for bit in range(16))], np.uint16)
_AT_ONCE = 1 << 20
"""candidates looked at together: bounds memory, whatever the hashes"""

_Hashes = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.int64]


def nearest_better(hashes: _Hashes) -> tuple[_Indices, _Indices]:
    """For each hash the nearest among those before it: distances in bits, and their indices.

    `hashes`: [n, 4], the best first. A distance of RADIUS + 1 and the index -1 say that none of
    those before it is near (see above). Of several at one distance the first is named.
    """
    count = len(hashes)
    # Equal hashes share one entry, the best one's: its copies are at distance 0 from it.
    _, first, inverse = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    leaders = np.sort(first)
    of_each = first[inverse.reshape(-1)]
    base = np.int64(max(1, count))
    codes = np.full(count, (RADIUS + 1) * base, np.int64)
    copies = np.flatnonzero(of_each != np.arange(count))
    codes[copies] = of_each[copies]
    _search(hashes[leaders], leaders, codes, base)
    distances, indices = np.divmod(codes, base)
    return distances, np.where(distances > RADIUS, -1, indices)


def _search(hashes: _Hashes, names: _Indices, codes: _Indices, base: np.int64) -> None:
    """Lowers `codes[name]` to distance * base + name of the better one, over all near pairs."""
    chunks = np.ascontiguousarray(hashes).view(np.uint16)  # [n, 16]
    for table in range(_CHUNKS):
        keys = chunks[:, table]
        order = np.argsort(keys, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=1 << 16))])
        for flip in _FLIPS:
            wanted = (keys ^ flip).astype(np.int64)
            low, size = starts[wanted], starts[wanted + 1] - starts[wanted]
            for some in _portions(size):
                near = np.repeat(some, size[some])
                within = np.arange(len(near)) - np.repeat(
                    np.cumsum(size[some]) - size[some], size[some]
                )
                other = order[np.repeat(low[some], size[some]) + within]
                better = other < near
                near, other = near[better], other[better]
                bits = np.bitwise_count(hashes[near] ^ hashes[other]).sum(axis=1, dtype=np.int64)
                close = bits <= RADIUS
                found = bits[close] * base + names[other[close]]
                np.minimum.at(codes, names[near[close]], found)


def _portions(size: _Indices) -> list[_Indices]:
    """Indices with candidates, in portions of about `_AT_ONCE` candidates."""
    busy = np.flatnonzero(size)
    if not len(busy):
        return []
    ends = np.cumsum(size[busy])
    return np.split(busy, np.flatnonzero(np.diff(ends // _AT_ONCE)) + 1)
