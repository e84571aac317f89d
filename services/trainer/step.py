"""One step of training: every phase that is due, on one batch.

Order and arithmetic are the official ones: G main, G regularisation, D main, D regularisation,
each with an update of its own; then the moving average of G; then ADA's judgement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from services.trainer.adam import Adam
from services.trainer.augment.control import AugmentControl
from services.trainer.draws import PhaseName, StepDraws
from services.trainer.losses import Losses
from services.trainer.measures import LeftOut, Statistics, sum_and_count
from services.trainer.microbatches import MicroBatches
from services.trainer.ranks import ALONE, Ranks
from tagloom.errors import FailedPrecondition

__all__ = ["Phase", "StepSettings", "TrainingStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """Sizes, speeds and intervals of a step."""

    batch: int
    """images per step, over all ranks"""
    micro_batch: int | None = None
    """images that pass through the networks at once; None: the whole batch"""
    g_learning_rate: float
    d_learning_rate: float
    g_regularisation_interval: int | None
    """steps between two path length phases; None: there are none"""
    d_regularisation_interval: int = 16
    """steps between two R1 phases"""
    ema_kimg: float
    """half-life of G_ema in thousands of images"""
    ema_rampup: float | None
    """the half-life is at most this share of the images seen; None: no limit"""
    adam_betas: tuple[float, float] = (0.0, 0.99)
    adam_epsilon: float = 1e-8
    bad_updates_limit: int = 10
    """updates in a row without a finite gradient that end the run"""
    check_interval: int = 16
    """steps between two looks at whether they did, on a device that is not the host"""


@dataclass(frozen=True, slots=True)
class Phase:
    """A loss, the network that it trains, and how often."""

    name: PhaseName
    network: nn.Module
    optimizer: Adam
    interval: int


class TrainingStep:
    """Networks, optimisers and moving averages, and how a step moves them.

    A step never waits for its device: what depends on a number that it computes, such as whether a
    gradient is finite or where p goes, is decided there. The host waits where it reads: at
    `check`, and when a tick, a progress or a state is written.
    """

    def __init__(
        self,
        losses: Losses,
        G_ema: nn.Module,
        settings: StepSettings,
        control: AugmentControl | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Raises FailedPrecondition (PROCESSES_UNSUITABLE): see `MicroBatches.of`."""
        self.losses, self.G_ema, self.settings, self.control = losses, G_ema, settings, control
        size = settings.micro_batch or settings.batch
        self.micro_batches = MicroBatches.of(settings.batch, size, ranks)
        self.G, self.D = losses.G, losses.D
        self.steps = 0
        self.images_seen = 0
        self.device = next(self.G.parameters()).device
        self.statistics = Statistics(self.device)
        self.signs = torch.zeros(2, device=self.device)
        """sum and number of the signs of the real scores since ADA's last judgement"""
        self.optimizers = {
            "G": _adam(
                self.G, settings, settings.g_learning_rate, settings.g_regularisation_interval
            ),
            "D": _adam(
                self.D, settings, settings.d_learning_rate, settings.d_regularisation_interval
            ),
        }
        self.phases = self._phases()
        self.left_out = LeftOut([phase.name for phase in self.phases], self.device)
        """updates whose gradient was not finite"""
        self._running_means = {
            phase.name: losses.running_means(phase.name) for phase in self.phases
        }
        self.G.train().requires_grad_(False)
        self.D.train().requires_grad_(False)
        self.G_ema.eval().requires_grad_(False)
        self._averaged = _pairs(G_ema.parameters(), self.G.parameters())
        self._copied = _pairs(G_ema.buffers(), self.G.buffers())

    def _phases(self) -> list[Phase]:
        phases = [Phase("Gmain", self.G, self.optimizers["G"], 1)]
        if self.settings.g_regularisation_interval is not None:
            interval = self.settings.g_regularisation_interval
            phases.append(Phase("Greg", self.G, self.optimizers["G"], interval))
        phases.append(Phase("Dmain", self.D, self.optimizers["D"], 1))
        if self.losses.settings.r1_gamma > 0:
            interval = self.settings.d_regularisation_interval
            phases.append(Phase("Dreg", self.D, self.optimizers["D"], interval))
        return phases

    def run(self, real_NCHW: Tensor, real_c: Tensor | None, draws: StepDraws) -> None:
        """One step on a batch of real images in [-1, 1]: this rank's part of it.

        An update whose gradient is not finite is left out, and with it all that its phase has
        measured: weights, moments, running means and statistics stay as they were.
        """
        for phase in self.phases:
            if self.steps % phase.interval == 0:
                self._run_phase(phase, real_NCHW, real_c, draws)
        self._average()
        self.steps += 1
        self.images_seen += self.settings.batch
        self._adapt()

    def _run_phase(
        self, phase: Phase, real: Tensor, real_c: Tensor | None, draws: StepDraws
    ) -> None:
        means = self._running_means[phase.name]
        before = [mean.clone() for mean in means]
        phase.optimizer.zero_grad()
        phase.network.requires_grad_(True)
        measured = self.micro_batches.accumulate(
            self.losses,
            phase.name,
            real,
            real_c,
            draws,
            gain=phase.interval,
            images_seen=self.images_seen,
        )
        phase.network.requires_grad_(False)

        gradients = [p.grad for p in phase.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        good = torch.isfinite(norm)
        bad = good.logical_not()
        phase.optimizer.step(left_out=bad.to(torch.float32))
        self.left_out.count(phase.name, bad)
        for mean, old in zip(means, before, strict=True):
            mean.copy_(torch.where(good, mean, old))

        for side in ("real", "fake"):
            if f"{side}_score" in measured:
                measured[f"{side}_sign"] = measured[f"{side}_score"].sign()
        sums = {name: sum_and_count(values) for name, values in measured.items()}
        self.micro_batches.ranks.sum_(list(sums.values()))
        if phase.name in ("Gmain", "Dmain"):
            sums[f"{phase.name[0].lower()}_gradient_norm"] = sum_and_count(norm)
        for name, counted in sums.items():
            counted = torch.where(good, counted, 0.0)
            self.statistics.add_sums(name, counted)
            if name == "real_sign":
                self.signs += counted

    def check(self) -> None:
        """Raises FailedPrecondition (TRAINING_DIVERGED) after `bad_updates_limit` bad updates.

        In a row of one phase, that is: G may go on well while D's updates never do. Call it after
        each step: where it would have to wait for the device, it looks at every `check_interval`-th
        only, so that the run ends up to so many steps later; meanwhile no bad update has changed
        anything. The same steps on all ranks.
        """
        if self.device.type != "cpu" and self.steps % self.settings.check_interval:
            return
        longest = self.left_out.longest
        if longest >= self.settings.bad_updates_limit:
            raise FailedPrecondition(
                f"The training diverged: {longest} gradients in a row were not finite, the last "
                f"of them by step {self.steps}. Continue from an earlier snapshot with a larger "
                "r1_gamma or smaller learning rates.",
                reason="TRAINING_DIVERGED",
                step=self.steps,
            )

    @property
    def ema_beta(self) -> float:
        """The share of G_ema that this step keeps."""
        images = self.settings.ema_kimg * 1000
        if self.settings.ema_rampup is not None:
            images = min(images, self.images_seen * self.settings.ema_rampup)
        return math.pow(0.5, self.settings.batch / max(images, 1e-8))

    @torch.no_grad()
    def _average(self) -> None:
        averages, parameters = self._averaged
        torch._foreach_lerp_(averages, parameters, 1 - self.ema_beta)
        copies, buffers = self._copied
        torch._foreach_copy_(copies, buffers)

    def _adapt(self) -> None:
        if self.control is None or self.steps % self.control.interval:
            return
        p = self.control.judge(self.signs, self.settings.batch * self.control.interval)
        self.signs.zero_()
        assert self.losses.augment is not None
        self.losses.augment.p.copy_(p)


def _pairs(
    targets: Iterable[Tensor], sources: Iterable[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    return list(targets), list(sources)


def _adam(
    network: nn.Module, settings: StepSettings, learning_rate: float, interval: int | None
) -> Adam:
    """Adam, corrected for a regularisation that costs one more update every `interval` steps.

    StyleGAN2 (arXiv 1912.04958), appendix B: with c = k / (k + 1) the learning rate is c times,
    the betas are to the power of c.
    """
    ratio = 1.0 if interval is None else interval / (interval + 1)
    first, second = (beta**ratio for beta in settings.adam_betas)
    return Adam(
        network.parameters(),
        learning_rate=learning_rate * ratio,
        betas=(first, second),
        eps=settings.adam_epsilon,
    )
