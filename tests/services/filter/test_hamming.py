"""The index finds what comparing all pairs finds."""

from __future__ import annotations

import numpy as np
import pytest

from services.filter.hamming import RADIUS, nearest_better


def by_all_pairs(hashes):
    distances, indices = [], []
    for i, mine in enumerate(hashes):
        bits = np.bitwise_count(hashes[:i] ^ mine).sum(axis=1, dtype=np.int64)
        nearest = int(bits.argmin()) if i else -1
        near = i and bits[nearest] <= RADIUS
        distances.append(int(bits[nearest]) if near else RADIUS + 1)
        indices.append(nearest if near else -1)
    return distances, indices


def flipped(rng, mine, bits):
    planes = np.unpackbits(mine.view(np.uint8))
    planes[rng.choice(256, bits, replace=False)] ^= 1
    return np.packbits(planes).view(np.uint64)


@pytest.mark.parametrize("seed", range(4))
def test_as_all_pairs(seed):
    rng = np.random.default_rng(seed)
    hashes = list(rng.integers(0, 2**64, (40, 4), dtype=np.uint64))
    for _ in range(300):
        parent = hashes[rng.integers(len(hashes))]
        hashes.append(flipped(rng, parent, int(rng.integers(0, 45))))
    hashes = np.array([hashes[i] for i in rng.permutation(len(hashes))])
    distances, indices = nearest_better(hashes)
    assert (distances.tolist(), indices.tolist()) == by_all_pairs(hashes)


def test_many_equal_ones_do_not_cost_their_square():
    hashes = np.zeros((200_000, 4), np.uint64)  # all pairs: 20 billion
    distances, indices = nearest_better(hashes)
    assert distances[0] == RADIUS + 1
    assert indices[0] == -1
    assert not distances[1:].any()
    assert not indices[1:].any()


@pytest.mark.parametrize("count", [0, 1])
def test_few(count):
    distances, indices = nearest_better(np.zeros((count, 4), np.uint64))
    assert distances.tolist() == [RADIUS + 1] * count
    assert indices.tolist() == [-1] * count
