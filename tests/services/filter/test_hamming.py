"""The index finds what comparing all pairs finds, and of near ones nearly all."""

from __future__ import annotations

import numpy as np
import pytest

from services.filter.hamming import RADIUS, nearest_better


def by_all_pairs(hashes):
    distances, indices = [], []
    for i, mine in enumerate(hashes):
        differing = hashes[:i] ^ mine
        bits = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        bits[np.bitwise_count(differing.view(np.uint16)).min(axis=1, initial=16) > 1] = 256
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
        hashes.append(flipped(rng, parent, int(rng.integers(0, 95))))
    hashes = np.array([hashes[i] for i in rng.permutation(len(hashes))])
    distances, indices = nearest_better(hashes)
    assert (distances.tolist(), indices.tolist()) == by_all_pairs(hashes)


@pytest.mark.parametrize(("bits", "share"), [(31, 1.0), (40, 0.99), (48, 0.95), (64, 0.55)])
def test_few_near_ones_are_not_found(bits, share):
    rng = np.random.default_rng(bits)
    hashes = rng.integers(0, 2**64, (500, 4), dtype=np.uint64)
    copies = np.array([flipped(rng, mine, bits) for mine in hashes])
    distances, indices = nearest_better(np.concatenate([hashes, copies]))
    found = indices[500:] == np.arange(500)
    assert found.mean() >= share
    assert (distances[500:][found] == bits).all()
    assert (distances[:500] == RADIUS + 1).all()


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
