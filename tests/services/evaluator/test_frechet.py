"""The Frechet distance equals the official numbers, by either of its two forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from services.evaluator.frechet import FeatureStatistics, frechet_distance, statistics_of
from tagloom.errors import FailedPrecondition, InvalidArgument

SETS = {
    "main": ("in/real", "in/gen"),
    "small": ("in/small_real", "in/small_gen"),
    "same_sizes": ("in/real", "in/gen"),
}


def golden_sets(golden, name: str) -> tuple[FeatureStatistics, FeatureStatistics]:
    real, generated = (golden[key] for key in SETS[name])
    return statistics_of(real[:400] if name == "same_sizes" else real), statistics_of(generated)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("ddof", [0, 1])
def test_golden(golden, name: str, ddof: int) -> None:
    value = frechet_distance(*golden_sets(golden, name), ddof=ddof)
    assert value == pytest.approx(float(golden[f"out/{name}/fid_eigh_ddof{ddof}"]), rel=1e-7)
    if ddof == 0:  # by scipy's sqrtm, which is off where covariances are singular
        tolerance = 1e-4 if name == "small" else 1e-5
        assert value == pytest.approx(float(golden[f"out/{name}/fid_official"]), rel=tolerance)


def test_golden_2048_dimensions_from_600_images(golden) -> None:
    random = np.random.RandomState(1)
    first = np.maximum(random.randn(600, 2048), 0).astype(np.float32)
    second = np.maximum(random.randn(600, 2048) * 1.1 - 0.05, 0).astype(np.float32)
    value = frechet_distance(statistics_of(first), statistics_of(second), ddof=0)
    # The golden value takes roots of 1448 eigenvalues that are zero but for rounding.
    assert value == pytest.approx(float(golden["out/fid2048_seed1_eigh_ddof0"]), rel=1e-7)
    assert value == pytest.approx(float(golden["out/fid2048_seed1_official"]), rel=1e-5)


def test_equals_torch_fidelity(golden) -> None:
    real, generated = golden["in/real"], golden["in/gen"]
    reference = fid_statistics_to_metric(
        fid_features_to_statistics(torch.from_numpy(generated)),
        fid_features_to_statistics(torch.from_numpy(real)),
        verbose=False,
    )["frechet_inception_distance"]
    value = frechet_distance(statistics_of(real), statistics_of(generated))
    assert value == pytest.approx(reference, rel=1e-6)
    assert value == pytest.approx(float(golden["out/torch_fidelity/fid"]), rel=1e-6)


def random_set(seed: int, count: int, dim: int = 12) -> FeatureStatistics:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, dim)) @ random.normal(size=(dim, dim)) + random.normal()
    return statistics_of(mixed.astype(np.float32))


counts = st.integers(2, 40)  # on both sides of the 12 dimensions
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=60)
@given(seeds, counts)
def test_a_set_is_at_no_distance_from_itself(seed: int, count: int) -> None:
    same = random_set(seed, count)
    scale = float(np.trace(same.covariance(1)))
    assert frechet_distance(same, same) <= 1e-6 * scale


@settings(deadline=None, max_examples=60)
@given(seeds, counts, counts)
def test_symmetric_and_not_negative(seed: int, n: int, m: int) -> None:
    first, second = random_set(seed, n), random_set(seed + 1, m)
    forth, back = frechet_distance(first, second), frechet_distance(second, first)
    assert forth >= 0
    assert forth == pytest.approx(back, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(seeds, counts, counts)
def test_order_of_images_does_not_matter(seed: int, n: int, m: int) -> None:
    first, second = random_set(seed, n), random_set(seed + 1, m)
    shuffled = statistics_of(np.random.default_rng(seed).permutation(first.features))
    assert frechet_distance(shuffled, second) == pytest.approx(
        frechet_distance(first, second), rel=1e-6
    )


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(2, 11), st.integers(2, 11))
def test_both_forms_agree(seed: int, n: int, m: int) -> None:
    """Below full rank the singular values are used. The same images twelve times over have the
    same mean and covariance (divided by n), and are enough for the eigenvalues to be used."""
    few = [random_set(seed, n), random_set(seed + 1, m)]
    many = [statistics_of(np.repeat(one.features, 12, axis=0)) for one in few]
    assert all(one.scatter is None for one in few)
    assert all(one.scatter is not None for one in many)
    scale = sum(float(np.trace(one.covariance(0))) for one in few)
    # The eigenvalue form takes roots of rounding errors: 1e-16 becomes 1e-8.
    assert frechet_distance(*many, ddof=0) == pytest.approx(
        frechet_distance(*few, ddof=0), abs=1e-6 * scale
    )


def test_known_gaussians() -> None:
    """A shift by s and a scaling by 2 of the same set: |s|^2 + (2 - 1)^2 tr C exactly."""
    base = random_set(3, 30).features.astype(np.float64)
    first = statistics_of(base.astype(np.float32))
    mean = first.features.astype(np.float64).mean(axis=0)
    moved = ((first.features - mean) * 2 + mean + 5).astype(np.float32)
    expected = 12 * 25 + float(np.trace(first.covariance(1)))
    assert frechet_distance(first, statistics_of(moved)) == pytest.approx(expected, rel=1e-5)


def test_sets_that_cannot_be_compared() -> None:
    first = random_set(0, 5)
    with pytest.raises(InvalidArgument) as caught:
        frechet_distance(first, random_set(0, 5, dim=13))
    assert caught.value.reason == "FEATURES_DIFFER"
    with pytest.raises(FailedPrecondition) as few:
        statistics_of(first.features[:1])
    assert few.value.reason == "TOO_FEW_IMAGES"
    broken = first.features.copy()
    broken[2, 3] = np.nan
    with pytest.raises(InvalidArgument) as invalid:
        statistics_of(broken)
    assert invalid.value.reason == "FEATURES_INVALID"
    with pytest.raises(InvalidArgument):
        frechet_distance(first, replace(first), ddof=2)
