"""A step waits for nothing that its device computes, and an update left out leaves nothing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from services.trainer.augment import PIPES, AugmentControl, AugmentPipe
from services.trainer.draws import KeyedDraws
from services.trainer.losses import Losses, LossSettings
from services.trainer.opening import open_session
from services.trainer.ranks import ALONE
from services.trainer.step import StepSettings, TrainingStep
from services.trainer.upload import upload
from tagloom.artifacts.run import Run
from tagloom.errors import FailedPrecondition
from tagloom.networks.build import build_discriminator, build_from_spec, generator_spec
from tagloom.networks.spec import StyleGAN3Spec
from tagloom.store import Store

META = torch.device("meta")
"""Has shapes and no numbers: whatever wants to know a number of it fails."""


class NoLists(TorchFunctionMode):
    """Fails where Python's numbers become a tensor of a device: that is a copy, waited for."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            assert result.device != META, "numbers were copied to the device"
        return result


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's mode has no types
    """Fails where the host would wait for a device, or for a copy to it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = self.uploads = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self.calls += 1
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select"), name
        copied, waits = None, True
        if name == "_to_copy":
            copied, waits = args[0], not kwargs.get("non_blocking")
            target = torch.device(kwargs.get("device") or copied.device)
        elif name == "copy_":
            copied, target = args[1], args[0].device
            waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
        if copied is not None and copied.device != target:
            assert not waits, f"{name} from {copied.device} to {target} is waited for"
            self.uploads += 1
        return func(*args, **kwargs)


def build_step(config: Any, device: torch.device, **changes: Any) -> TrainingStep:
    """A step of every part that there is, at 32 px."""
    spec = generator_spec(config, resolution=32, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
    if isinstance(spec, StyleGAN3Spec):
        spec = dataclasses.replace(spec, num_layers=4, margin_size=4)
    networks = [build_from_spec(spec) for _ in range(2)]
    D = build_discriminator(resolution=32, channel_base=128, channel_max=8)
    for network in (*networks, D):
        network.to(device)
    second = config == "stylegan2"
    settings = LossSettings(
        r1_gamma=1.0,
        style_mixing=second,
        path_length_weight=2.0 if second else 0.0,
        blur_sigma=0.0 if second else 4.0,
        blur_fade_kimg=1.0,
        noise_mode="random" if second else "const",
        mixed_precision=True,
    )
    pipe = AugmentPipe(PIPES["bgcfnc"]).to(device)
    p = torch.zeros([], dtype=torch.float64, device=device)
    return TrainingStep(
        Losses(networks[0], D, settings, pipe),
        networks[1],
        StepSettings(
            batch=8,
            g_learning_rate=0.002,
            d_learning_rate=0.002,
            g_regularisation_interval=2 if second else None,
            d_regularisation_interval=2,
            ema_kimg=0.1,
            ema_rampup=0.05,
            **changes,
        ),
        AugmentControl(target=-1.0, kimg=0.1, interval=2, p=p),
    )


def draws_of(step: TrainingStep) -> KeyedDraws:
    return KeyedDraws(
        seed=0, step=step.steps, batch=8, z_dim=8, style_mixing=0.9, device=step.device
    )


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("config", ["stylegan2", "stylegan3-t", "stylegan3-r"])
def test_a_step_never_waits_for_its_device(config: str, micro_batch: int | None) -> None:
    step = build_step(config, META, micro_batch=micro_batch)
    with NoLists(), NoWaiting() as mode:
        for _ in range(2):  # with regularisers and without; and a judgement of ADA's
            step.run(upload(torch.zeros(8, 3, 32, 32), META), None, draws_of(step))
    assert mode.calls > 1000
    assert mode.uploads > 20, "the draws come from the host"
    assert step.images_seen == 16


def test_the_guard_sees_what_waits() -> None:
    values = torch.zeros(3, device=META)
    for waiting in (
        lambda: values.sum().item(),
        lambda: values.tolist(),
        lambda: values.nonzero(),
        lambda: bool(values[0]),
        lambda: values.new_tensor([1.0, 2.0]),
        lambda: torch.ones(3).to(META),
    ):
        with pytest.raises((AssertionError, RuntimeError)), NoLists(), NoWaiting():
            waiting()


def content(step: TrainingStep, *names: str) -> dict[str, str]:
    """Digests of everything that D's phases move."""
    tensors: dict[str, Tensor] = {"signs": step.signs, "path": step.losses.path_length_mean}
    tensors |= {f"D.{name}": value for name, value in step.D.state_dict().items()}
    tensors |= {f"G.{name}": value for name, value in step.G.named_buffers()}
    for name in names:
        optimizer = step.optimizers[name]
        for index, parameter in enumerate(optimizer.parameters):
            moments = optimizer.moments[parameter]
            tensors |= {
                f"{name}.{index}.step": moments.step,
                f"{name}.{index}.first": moments.exp_avg,
                f"{name}.{index}.second": moments.exp_avg_sq,
            }
    return {
        name: hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()
        for name, value in tensors.items()
    }


def test_an_update_left_out_leaves_everything_as_it_was() -> None:
    step = build_step("stylegan3-t", torch.device("cpu"))
    real = torch.rand(8, 3, 32, 32) * 2 - 1
    step.run(real, None, draws_of(step))
    before, judged = content(step, "D"), step.signs.tolist()
    assert judged[1] > 0
    step.run(real * float("nan"), None, draws_of(step))
    assert step.left_out.total == 1  # one phase of D was due
    assert step.left_out.in_a_row == {"Gmain": 0, "Dmain": 1, "Dreg": 0}
    # This step ended with ADA's judgement, of the signs before it alone.
    assert float(step.losses.augment.p) > 0  # type: ignore[union-attr]
    after = content(step, "D")
    assert {name for name in before if before[name] != after[name]} == {"signs"}
    means = step.statistics.take()
    assert all(value == value for value in means.values())
    step.run(real, None, draws_of(step))
    assert not any(step.left_out.in_a_row.values())
    assert (step.left_out.longest, step.left_out.total) == (1, 1)


def test_first_updates_that_are_left_out_count_for_nothing() -> None:
    step = build_step("stylegan3-t", torch.device("cpu"))
    step.run(torch.full([8, 3, 32, 32], float("nan")), None, draws_of(step))
    assert step.left_out.in_a_row == {"Gmain": 0, "Dmain": 1, "Dreg": 1}
    means = step.statistics.take()
    assert "d_loss" not in means
    assert "g_loss" in means
    assert all(float(moments.step) == 0 for moments in step.optimizers["D"].moments.values())


def test_good_updates_of_g_do_not_hide_that_d_diverged() -> None:
    step = build_step("stylegan3-t", torch.device("cpu"), bad_updates_limit=3)
    broken = torch.full([8, 3, 32, 32], float("nan"))
    for _ in range(2):
        step.run(broken, None, draws_of(step))
        step.check()
    step.run(broken, None, draws_of(step))
    with pytest.raises(FailedPrecondition, match="3 gradients in a row"):
        step.check()


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_one_broken_sample_is_enough_to_leave_an_update_out(micro_batch: int | None) -> None:
    step = build_step("stylegan2", torch.device("cpu"), micro_batch=micro_batch)
    real = torch.rand(8, 3, 32, 32) * 2 - 1
    step.run(real, None, draws_of(step))
    before = content(step, "D")
    real[-1, 0, 3, 3] = float("nan")
    step.run(real, None, draws_of(step))
    assert step.left_out.in_a_row == {"Gmain": 0, "Greg": 0, "Dmain": 1, "Dreg": 0}
    after = content(step, "D")
    assert {name for name in before if before[name] != after[name]} == {"signs"}


def test_without_r1_its_phase_does_not_exist() -> None:
    step = build_step("stylegan3-t", torch.device("cpu"))
    assert [phase.name for phase in step.phases] == ["Gmain", "Dmain", "Dreg"]
    settings = dataclasses.replace(step.losses.settings, r1_gamma=0.0)
    losses = Losses(step.G, step.D, settings, step.losses.augment)
    without = TrainingStep(losses, step.G_ema, step.settings, step.control)
    assert [phase.name for phase in without.phases] == ["Gmain", "Dmain"]
    assert without.optimizers["D"].learning_rate == step.optimizers["D"].learning_rate


def test_a_divergence_is_noticed_at_the_next_look(
    store: Store, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(store, make_run("r", bad_updates_limit=3), ALONE)[0]
    step = session.step
    step.left_out.load({"Dmain": 3}, 7)
    step.steps = 17
    # On a GPU the host looks every 16 steps; even if a good update came meanwhile.
    monkeypatch.setattr(step, "device", torch.device("cuda"))
    step.left_out.count("Dmain", torch.tensor(0))
    step.check()
    step.steps = 32
    with pytest.raises(FailedPrecondition, match=r"3 gradients in a row .* by step 32") as caught:
        step.check()
    assert caught.value.reason == "TRAINING_DIVERGED"
    monkeypatch.setattr(step, "device", torch.device("cpu"))
    step.steps = 17
    with pytest.raises(FailedPrecondition, match="by step 17"):
        step.check()
