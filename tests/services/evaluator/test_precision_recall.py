"""Improved precision and recall equal the reference on the same features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluator.precision_recall import precision_recall
from tagloom.errors import FailedPrecondition, InvalidArgument


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize(
    ("name", "real", "generated"),
    [
        ("main", "in/real", "in/gen"),
        ("same_sizes", "in/real", "in/gen"),
        ("small", "in/small_real", "in/small_gen"),
    ],
)
def test_golden(golden, name: str, real: str, generated: str, k: int) -> None:
    x, y = golden[real], golden[generated]
    found = precision_recall(x[:400] if name == "same_sizes" else x, y, k=k)
    assert (found.precision, found.recall) == tuple(golden[f"out/{name}/pr_f64_k{k}"])


def test_equals_torch_fidelity(golden) -> None:
    found = precision_recall(golden["in/real"], golden["in/gen"])
    expected = golden["out/torch_fidelity/precision_recall_f"][:2]
    assert (found.precision, found.recall) == pytest.approx(tuple(expected), abs=1e-6)


def slow_share(samples: np.ndarray, centres: np.ndarray, k: int) -> float:
    """Algorithm 1 of the paper, point by point."""

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(np.square(a.astype(np.float64) - b).sum()))

    radii = [
        sorted(distance(c, other) for j, other in enumerate(centres) if j != i)[k - 1]
        for i, c in enumerate(centres)
    ]
    inside = [
        any(distance(s, c) <= r for c, r in zip(centres, radii, strict=True)) for s in samples
    ]
    return float(np.mean(inside))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(4, 12), st.integers(4, 12), st.integers(1, 3))
def test_follows_the_definition_with_copies_too(seed: int, n: int, m: int, k: int) -> None:
    random = np.random.default_rng(seed)
    # Few distinct values: equal points and equal distances are common.
    real = random.integers(0, 3, (n, 2)).astype(np.float32)
    generated = random.integers(0, 4, (m, 2)).astype(np.float32)
    found = precision_recall(real, generated, k=k)
    assert found.precision == slow_share(generated, real, k)
    assert found.recall == slow_share(real, generated, k)


def test_a_set_covers_itself_and_blocks_change_nothing(
    golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = golden["in/real"]
    whole = precision_recall(real, golden["in/gen"])
    monkeypatch.setattr("services.evaluator.precision_recall._BLOCK_ELEMENTS", 30_001)
    assert precision_recall(real, golden["in/gen"]) == whole
    same = precision_recall(real, real)
    assert (same.precision, same.recall) == (1.0, 1.0)


def test_copies_of_far_away_images_are_found() -> None:
    """Equal points with large coordinates: their distance is 0 only up to rounding."""
    random = np.random.default_rng(0)
    real = (random.normal(size=(40, 500)) + 1000).astype(np.float32).repeat(5, axis=0)
    found = precision_recall(real, real[::5].repeat(4, axis=0), k=3)  # every radius is 0
    assert (found.precision, found.recall) == (1.0, 1.0)
    moved = precision_recall(real, real[::5].repeat(4, axis=0) + np.float32(0.01), k=3)
    assert (moved.precision, moved.recall) == (0.0, 0.0)


def test_mode_collapse_keeps_precision_and_loses_recall() -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(300, 16)).astype(np.float32)
    collapsed = real[:4].repeat(50, axis=0) + 1e-3 * random.normal(size=(200, 16))
    found = precision_recall(real, collapsed.astype(np.float32))
    assert found.precision == 1.0
    assert found.recall < 0.05


def test_too_small_or_different_sets() -> None:
    four = np.zeros((4, 2), np.float32)
    with pytest.raises(FailedPrecondition, match="at least 4 real") as caught:
        precision_recall(four[:3], four)
    assert caught.value.reason == "TOO_FEW_IMAGES"
    with pytest.raises(InvalidArgument):
        precision_recall(four, np.zeros((4, 3), np.float32))
    with pytest.raises(InvalidArgument):
        precision_recall(four, four, k=0)
