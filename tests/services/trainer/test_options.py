"""Every option has a default, and every wrong one a sentence that says what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.augment import PIPES
from services.trainer.augment.wavelets import band_filters
from services.trainer.loop import train
from services.trainer.options import RequestedOptions, _fill, plan_run
from services.trainer.ranges import check_ranges
from services.trainer.specs import BAND_FILTER_PIPES, BAND_FILTER_REACH, freezable_layers
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Run, TrainingOptions
from tagloom.errors import FailedPrecondition, InvalidArgument, NotFound
from tagloom.networks.build import build_from_spec, discriminator_spec
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
    assert (options.r1_interval, options.ada_interval, options.augment_pipe) == (16, 4, "bgc")
    assert (options.num_layers, options.margin_size, options.mbstd_group) == (14, 10, 4)
    assert (options.adam_beta1, options.adam_beta2, options.adam_epsilon) == (0, 0.99, 1e-8)
    assert (options.conv_clamp, options.freeze_d, options.bad_updates_limit) == (256, 0, 10)
    # Path lengths and style mixing are StyleGAN2's, the blur is StyleGAN3-R's.
    assert options.path_length_weight == options.style_mixing == options.blur_sigma == 0
    stylegan2 = plan(config="stylegan2").options
    assert (stylegan2.path_length_weight, stylegan2.path_length_interval) == (2, 4)
    assert (stylegan2.style_mixing, stylegan2.num_layers) == (0.9, 0)
    radial = plan(config="stylegan3-r").options
    assert (radial.blur_sigma, radial.blur_fade_kimg) == (10, 200)
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


def test_r1_can_be_switched_off(plan: Callable[..., Run]) -> None:
    assert plan(r1_gamma=0.0).options.r1_gamma == 0


@pytest.mark.parametrize("pipe", ["filter", "bgcf", "bgcfnc"])
def test_band_filters_need_larger_images(
    store: Store, make_run: Callable[..., Run], pipe: str
) -> None:
    with pytest.raises(InvalidArgument, match="images of more than 21 px, not 16: blit, geom"):
        make_run("r", augment_pipe=pipe)
    make_run("q", augment_pipe=pipe, augment="none")


def test_what_the_server_knows_of_band_filters_is_true() -> None:
    assert set(BAND_FILTER_PIPES) == {name for name, pipe in PIPES.items() if pipe.imgfilter}
    assert band_filters().shape[1] // 2 == BAND_FILTER_REACH


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kimg": 0}, r"kimg is 0\.0, but should be above 0"),
        ({"kimg": -1}, r"kimg is -1\.0, but should be above 0"),
        ({"kimg": math.nan}, "kimg is nan, but should be a finite number"),
        ({"kimg": 1e7}, "below 1000000"),
        ({"kimg": 0.001}, r"kimg is 0\.001, but should be at least one batch, 0\.032"),
        ({"kimg": 2000, "tick_kimg": 0.1}, r"tick_kimg is 0\.1, but should be at least 0\.2, so"),
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
        ({"freeze_d": 2}, "freeze_d is 2, but should be left out or 0 without a start network"),
        ({"freeze_d": -1}, "freeze_d is -1, but should be at least 0"),
        ({"ema_rampup": 1.5}, r"ema_rampup is 1\.5, but should be from 0 \(no ramp-up\) to 1"),
        ({"path_length_weight": 2.0}, r"left out or 0, because stylegan3-t does not train with it"),
        ({"style_mixing": 0.9}, r"style_mixing is 0\.9, but should be left out or 0"),
        ({"config": "stylegan2", "style_mixing": 2.0}, r"style_mixing is 2\.0, .* from 0 to 1"),
        ({"blur_sigma": -1.0}, r"blur_sigma is -1\.0, but should be at least 0 pixels"),
        ({"r1_interval": -1}, "r1_interval is -1, but should be at least 1"),
        ({"ada_interval": -4}, "ada_interval is -4, but should be at least 1"),
        ({"augment_pipe": "all"}, "augment_pipe is 'all', but should be one of blit, geom, color"),
        ({"num_layers": 2}, "num_layers is 2, but should be at least 3"),
        ({"config": "stylegan2", "num_layers": 8}, "stylegan2 has a layer for each resolution"),
        ({"margin_size": -1}, "margin_size is -1, but should be at least 0"),
        ({"mbstd_group": -1}, "mbstd_group is -1"),
        ({"conv_clamp": -1.0}, r"conv_clamp is -1\.0"),
        ({"adam_beta1": 1.0}, r"adam_beta1 is 1\.0, but should be from 0 to less than 1"),
        ({"adam_epsilon": -1.0}, r"adam_epsilon is -1\.0, but should be above 0"),
        ({"bad_updates_limit": -1}, "bad_updates_limit is -1"),
        ({"r1_gamma": 0.0, "gamma_auto": True}, "r1_gamma is 0.0, .* where it is chosen by trials"),
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
        check_ranges(options)
    except InvalidArgument:
        return
    assert 0 < options.kimg < 1e6
    assert options.batch <= 4 or options.batch % 4 == 0
    assert all(math.isfinite(v) for v in options.model_dump().values() if isinstance(v, float))


def test_every_option_reaches_the_networks(plan: Callable[..., Run]) -> None:
    run = plan(num_layers=8, margin_size=6, conv_clamp=0.0, mbstd_group=8, ema_rampup=0.0)
    assert (run.generator["num_layers"], run.generator["margin_size"]) == (8, 6)
    assert run.generator["conv_clamp"] is run.discriminator["conv_clamp"] is None
    assert run.discriminator["mbstd_group_size"] == 8
    assert run.options.ema_rampup is None


def test_a_run_of_the_first_version_keeps_its_constants(plan: Callable[..., Run]) -> None:
    new = {"path_length_weight", "path_length_interval", "style_mixing", "blur_sigma"}
    new |= {"blur_fade_kimg", "r1_interval", "ada_interval"}
    for config in ("stylegan2", "stylegan3-t", "stylegan3-r"):
        options = plan(config=config).options
        old = options.model_dump(exclude=new)
        restored = TrainingOptions.model_validate(old)
        assert restored.model_dump(include=new - {"blur_fade_kimg"}) == options.model_dump(
            include=new - {"blur_fade_kimg"}
        )
        if options.blur_sigma:
            assert restored.blur_fade_kimg == options.blur_fade_kimg


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_the_layers_that_can_be_frozen_are_counted_as_the_network_counts(architecture: Any) -> None:
    spec = discriminator_spec(
        resolution=32, channel_base=64, channel_max=4, block_architecture=architecture
    )
    network = build_from_spec(spec)
    blocks = [getattr(network, f"b{r}") for r in (32, 16, 8)]
    assert freezable_layers(spec) == sum(block.num_layers for block in blocks)


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
    with pytest.raises(InvalidArgument, match="freeze_d is 9, but should be from 0 to 7"):
        make_run("a", start=start, freeze_d=9)
    make_dataset(store, "large", images=8, side=32)
    with pytest.raises(InvalidArgument, match="the first layers for 32 px are new"):
        plan_run(store, "a", "datasets/large", start, RequestedOptions(**tiny, freeze_d=1))
    # Another resolution is no obstacle.
    run = plan_run(store, "a", "datasets/large", start, RequestedOptions(**tiny))
    assert run.generator["resolution"] == run.discriminator["resolution"] == 32
    # Left out, everything about the network comes from the start; the rest is transfer's default.
    run = plan_run(store, "a", "datasets/d", start, RequestedOptions(kimg=1, batch=4))
    assert run.options.config == "stylegan2"
    assert (run.options.channel_max, run.options.latent_size) == (8, 8)
    assert (run.options.ema_rampup, run.options.ada_kimg) == (None, 100)
