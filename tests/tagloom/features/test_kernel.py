"""The kernel distance is unbiased, equals the official numbers, and its interval covers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_kid import kid_features_to_metric

from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.features.kernel import kernel_distance, kernel_distance_of_subsets


@pytest.mark.parametrize(
    ("name", "real", "generated"),
    [
        ("main", "in/real", "in/gen"),
        ("same_sizes", "in/real", "in/gen"),
        ("small", "in/small_real", "in/small_gen"),
    ],
)
def test_golden(golden, name: str, real: str, generated: str) -> None:
    x, y = golden[real], golden[generated]
    found = kernel_distance(x[:400] if name == "same_sizes" else x, y)
    assert found.value == pytest.approx(
        float(golden[f"out/{name}/kid_full_unbiased_f64"]), rel=1e-9
    )
    assert found.low < found.value < found.high


def test_official_subsets(golden) -> None:
    """The official KID is the mean over subsets, in float32: the same estimator on each."""
    distances = [
        kernel_distance(golden["in/real"][i], golden["in/gen"][j]).value
        for i, j in zip(golden["in/main_kid_idx_real"], golden["in/main_kid_idx_gen"], strict=True)
    ]
    official = float(golden["out/main/kid_official_seed123_subsets20_size100"])
    assert np.mean(distances) == pytest.approx(official, abs=2e-5)  # float32 sums of 1e4 terms


def test_equals_torch_fidelity(golden) -> None:
    real, generated = golden["in/real"], golden["in/gen"]
    mean, std = kernel_distance_of_subsets(real, generated, subsets=20, subset_size=100)
    assert (mean, std) == pytest.approx(
        tuple(golden["out/torch_fidelity/kid_mean_std_subsets20_size100_seed2020"]), abs=2e-5
    )
    reference = kid_features_to_metric(
        torch.from_numpy(generated).double(), torch.from_numpy(real).double(),
        kid_subsets=20, kid_subset_size=100, rng_seed=2020, kid_kernel="poly",
        kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1,
        verbose=False,
    )  # fmt: skip
    assert mean == pytest.approx(reference["kernel_inception_distance_mean"], rel=1e-9)
    assert std == pytest.approx(reference["kernel_inception_distance_std"], rel=1e-9)


def slow_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Straight from the definition, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a.astype(np.float64) @ b.astype(np.float64) / len(a) + 1) ** 3)

    n, m = len(x), len(y)
    return (
        sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * sum(k(a, b) for a in x for b in y) / (n * m)
    )


def features(seed: int, count: int, shift: float = 0.0, dim: int = 8) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, dim)) + shift).astype(np.float32)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.integers(3, 9))
def test_value_and_interval_follow_the_definition(seed: int, n: int, m: int) -> None:
    x, y = features(seed, n), features(seed + 1, m, 0.3)
    found = kernel_distance(x, y)
    assert found.value == pytest.approx(slow_distance(x, y), rel=1e-9, abs=1e-12)
    # The jackknife, by really leaving each image out.
    without_x = [slow_distance(np.delete(x, i, axis=0), y) for i in range(n)]
    without_y = [slow_distance(x, np.delete(y, i, axis=0)) for i in range(m)]
    variance = (n - 1) * np.var(without_x) + (m - 1) * np.var(without_y)
    assert found.high - found.value == pytest.approx(1.959963984540054 * variance**0.5, rel=1e-6)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(0, 50), features(1, 30)
    whole = kernel_distance(x, y)
    monkeypatch.setattr("tagloom.features.kernel._BLOCK_ELEMENTS", 215)
    assert kernel_distance(x, y).value == pytest.approx(whole.value, rel=1e-12)
    assert kernel_distance(x, y).low == pytest.approx(whole.low, rel=1e-9)


def test_unbiased_whatever_the_counts() -> None:
    """Mean over many draws of equal distributions is 0 with 5 as with 50 images; a biased
    estimate would be far above 0 with 5."""
    for count, draws in ((5, 2000), (50, 300)):
        values = np.array(
            [kernel_distance(features(s, count), features(s + 10**6, 20)).value
             for s in range(draws)]
        )  # fmt: skip
        standard_error = values.std() / draws**0.5
        assert abs(values.mean()) < 4 * standard_error


@pytest.mark.parametrize(("n", "m", "shift"), [(60, 200, 0.5), (60, 200, 0.15), (100, 100, 1.0)])
def test_the_interval_covers_the_truth(n: int, m: int, shift: float) -> None:
    """95 % nominal; measured over 400 draws, at least 90 % (and not by being everything)."""
    big = kernel_distance(features(7, 6000), features(8, 6000, shift)).value
    results = [kernel_distance(features(s, n), features(s + 10**6, m, shift)) for s in range(400)]
    covered = np.mean([r.low <= big <= r.high for r in results])
    spread = np.std([r.value for r in results])
    half = np.mean([(r.high - r.low) / 2 for r in results])
    assert covered >= 0.90
    assert half == pytest.approx(1.96 * spread, rel=0.35)


def test_too_small_or_different_sets() -> None:
    with pytest.raises(FailedPrecondition, match="generated") as caught:
        kernel_distance(features(0, 5), features(1, 2))
    assert caught.value.reason == "TOO_FEW_IMAGES"
    with pytest.raises(FailedPrecondition, match="real"):
        kernel_distance_of_subsets(features(0, 5), features(1, 50), subset_size=10)
    with pytest.raises(InvalidArgument) as differ:
        kernel_distance(features(0, 5), features(1, 5, dim=9))
    assert differ.value.reason == "FEATURES_DIFFER"
