from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generator.points import (
    MOST_FRAMES_PER_SEED,
    MOST_PATH_SEEDS,
    MOST_SEEDS,
    Point,
    closed_path,
    seed_points,
)
from tagloom.errors import InvalidArgument

SEEDS = st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=MOST_PATH_SEEDS)


def test_seeds() -> None:
    assert seed_points([7, 7, 2**32 - 1]) == [
        Point((7,), (1.0,)),
        Point((7,), (1.0,)),
        Point((2**32 - 1,), (1.0,)),
    ]
    assert len(seed_points(range(MOST_SEEDS))) == MOST_SEEDS


@given(SEEDS, st.integers(1, 12))
def test_a_path_goes_through_its_seeds(seeds: list[int], frames: int) -> None:
    path = list(closed_path(seeds, frames))
    assert len(path) == len(seeds) * frames
    assert path[::frames] == seed_points(seeds)
    for point in path:
        assert math.fsum(point.weights) == pytest.approx(1, abs=1e-12)
        assert len(point.seeds) <= 4


@given(SEEDS)
def test_a_path_is_smooth_where_it_meets_a_seed(seeds: list[int]) -> None:
    # Positions on a line, w(seed) = its index: the speed just before and after each seed agrees,
    # also at the seam where the path closes.
    frames = 100
    distinct = list(range(len(seeds)))
    values = [
        sum(s * w for s, w in zip(point.seeds, point.weights, strict=True))
        for point in closed_path(distinct, frames)
    ]
    for index in distinct:
        at = index * frames
        before = values[at] - values[at - 1]
        after = values[(at + 1) % len(values)] - values[at]
        assert abs(before - after) < 0.01 * max(1.0, len(distinct))


@pytest.mark.parametrize(
    ("seeds", "frames", "reason"),
    [
        ([], 8, "SEEDS_TOO_FEW"),
        ([1], 8, "SEEDS_TOO_FEW"),
        (range(MOST_PATH_SEEDS + 1), 8, "SEEDS_TOO_MANY"),
        ([1, 2], -1, "FRAMES_INVALID"),
        ([1, 2], MOST_FRAMES_PER_SEED + 1, "FRAMES_INVALID"),
    ],
)
def test_impossible_paths(seeds: list[int], frames: int, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        closed_path(seeds, frames)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("seeds", "reason"), [([], "SEEDS_MISSING"), (range(MOST_SEEDS + 1), "SEEDS_TOO_MANY")]
)
def test_impossible_seeds(seeds: list[int], reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        seed_points(seeds)
    assert caught.value.reason == reason
    assert caught.value.metadata["field"] == "seeds"
