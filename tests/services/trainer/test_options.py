"""Every option has a default, and every wrong one a sentence that says what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.loop import train
from services.trainer.options import RequestedOptions, _check, _fill, plan_run
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Run
from tagloom.errors import FailedPrecondition, InvalidArgument, NotFound
from tagloom.progress import silent
from tagloom.store import Store


@pytest.fixture
def plan(store: Store, make_dataset: Callable[..., Dataset]) -> Callable[..., Run]:
    make_dataset(store, images=40, side=32)

    def call(start: str = "", dataset: str = "datasets/d", **options: Any) -> Run:
        requested = RequestedOptions(**{"kimg": 10, **options})
        return plan_run(store, "r", dataset, start, requested)

    return call


def test_official_defaults(plan: Callable[..., Run]) -> None:
    options = plan().options
    assert (options.config, options.batch) == ("stylegan3-t", 32)
    assert options.r1_gamma == pytest.approx(0.0002 * 32**2 / 32)
    assert (options.g_learning_rate, options.d_learning_rate) == (0.0025, 0.002)
    assert (options.augment, options.ada_target, options.ada_kimg) == ("ada", 0.6, 500)
    assert (options.ema_kimg, options.ema_rampup) == (10, 0.05)
    assert (options.channel_base, options.channel_max) == (32768, 512)
    assert (options.latent_size, options.mapping_layers) == (512, 2)
    assert (options.snapshot_kimg, options.tick_kimg, options.samples) == (1, 0.1, 16)
    assert plan(config="stylegan2").options.g_learning_rate == 0.002
    assert plan(config="stylegan2").options.mapping_layers == 8


def test_networks_are_described_for_the_architecture(plan: Callable[..., Run]) -> None:
    small = {"channel_base": 1024, "channel_max": 32, "latent_size": 64, "batch": 16}
    run = plan(**small)
    assert run.resolution == 32
    assert run.generator["architecture"] == "stylegan3-t"
    assert run.generator["z_dim"] == run.generator["w_dim"] == 64
    assert run.generator["magnitude_ema_beta"] == pytest.approx(0.5 ** (16 / 20_000))
    assert run.discriminator["channel_max"] == 32
    # Configuration R doubles the generator's capacity, not the discriminator's.
    radial = plan(config="stylegan3-r", **small)
    assert (radial.generator["channel_base"], radial.generator["channel_max"]) == (2048, 64)
    assert radial.discriminator["channel_max"] == 32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kimg": 0}, r"kimg is 0\.0, but should be above 0"),
        ({"kimg": -1}, r"kimg is -1\.0, but should be above 0"),
        ({"kimg": math.nan}, "kimg is nan, but should be a finite number"),
        ({"kimg": 1e7}, "below 1000000"),
        ({"kimg": 0.001}, r"kimg is 0\.001, but should be at least one batch, 0\.032"),
        ({"batch": -4}, "batch is -4, but should be from 1"),
        ({"batch": 6}, r"a multiple of 4, because .* \(the nearest are 4 and 8\)"),
        ({"r1_gamma": -1.0}, "r1_gamma is -1.0, but should be at least 0"),
        ({"g_learning_rate": -1.0}, "g_learning_rate is -1.0"),
        ({"d_learning_rate": math.inf}, "d_learning_rate is inf, but should be a finite number"),
        ({"augment_p": 1.5}, "augment_p is 1.5, but should be from 0 to 1"),
        ({"ada_target": 2}, "ada_target is 2"),
        ({"ada_kimg": -5}, "ada_kimg is -5"),
        ({"ema_kimg": -5}, "ema_kimg is -5"),
        ({"snapshot_kimg": -1}, "snapshot_kimg is -1"),
        ({"samples": 1000}, "samples is 1000, but should be from 1 to 256"),
        ({"channel_max": -1}, "channel_max is -1"),
        ({"latent_size": -1}, "latent_size is -1"),
    ],
)
def test_wrong_options(plan: Callable[..., Run], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        plan(**options)
    assert caught.value.reason == "TRAINING_OPTION_INVALID"


@settings(deadline=None)
@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            **{
                name: st.floats()
                for name in ("kimg", "ada_kimg", "ada_target", "ema_kimg", "tick_kimg")
            },
            **{
                name: st.none() | st.floats()
                for name in ("r1_gamma", "augment_p", "g_learning_rate", "d_learning_rate")
            },
            **{
                name: st.integers(-(2**31), 2**31 - 1)
                for name in ("batch", "channel_base", "channel_max", "latent_size", "samples")
            },
            "seed": st.integers(-(2**63), 2**63 - 1),
        },
    )
)
def test_any_values_give_a_run_or_a_deliberate_error(values: dict[str, Any]) -> None:
    options = _fill(RequestedOptions(**values), 32, None)
    try:
        _check(options)
    except InvalidArgument:
        return
    assert 0 < options.kimg < 1e6
    assert options.batch <= 4 or options.batch % 4 == 0
    assert all(math.isfinite(v) for v in options.model_dump().values() if isinstance(v, float))


def test_too_few_images(plan: Callable[..., Run]) -> None:
    with pytest.raises(FailedPrecondition, match=r"has 40 training images.*batch of 64") as caught:
        plan(batch=64)
    assert caught.value.reason == "DATASET_TOO_SMALL"


def test_unknown_dataset_and_start(plan: Callable[..., Run]) -> None:
    with pytest.raises(NotFound, match="datasets/nothing"):
        plan(dataset="datasets/nothing")
    with pytest.raises(NotFound, match="networks/nothing"):
        plan(start="networks/nothing")
    with pytest.raises(InvalidArgument, match="not a resource name"):
        plan(start="../etc/passwd")


@pytest.mark.parametrize("side", [8, 24])
def test_a_size_that_the_architecture_cannot_have(
    store: Store, make_dataset: Callable[..., Dataset], side: int
) -> None:
    make_dataset(store, "odd", images=40, side=side)
    with pytest.raises(InvalidArgument, match=f"resolution {side}"):
        plan_run(store, "r", "datasets/odd", "", RequestedOptions(kimg=1, config="stylegan3-t"))


def test_a_start_network_that_does_not_fit_is_named(
    store: Store,
    make_run: Callable[..., Run],
    make_dataset: Callable[..., Dataset],
    tiny: dict[str, Any],
) -> None:
    make_run("source", kimg=0.004)
    train(store, "source", silent)
    start = "runs/source/snapshots/000000.004"
    with pytest.raises(InvalidArgument, match="stylegan2 network, but the run trains stylegan3-t"):
        make_run("a", start=start, config="stylegan3-t")
    with pytest.raises(InvalidArgument, match=r"channel_max is 16, but .* has 8"):
        make_run("a", start=start, channel_max=16)
    make_dataset(store, "large", images=8, side=32)
    with pytest.raises(InvalidArgument, match=r"images of 16 px, but the dataset has .* 32 px"):
        plan_run(store, "a", "datasets/large", start, RequestedOptions(**tiny))
    # Left out, everything about the network comes from the start; the rest is transfer's default.
    run = plan_run(store, "a", "datasets/d", start, RequestedOptions(kimg=1, batch=4))
    assert run.options.config == "stylegan2"
    assert (run.options.channel_max, run.options.latent_size) == (8, 8)
    assert (run.options.ema_rampup, run.options.ada_kimg) == (None, 100)
