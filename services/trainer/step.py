"""One step of training: every phase that is due, on one batch.

Order and arithmetic are the official ones: G main, G regularisation, D main, D regularisation,
each with an update of its own; then the moving average of G; then ADA's judgement.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from services.trainer.adam import Adam
from services.trainer.augment.control import AugmentControl
from services.trainer.draws import PhaseName, StepDraws
from services.trainer.losses import Losses
from services.trainer.microbatches import MicroBatches
from services.trainer.ranks import ALONE, Ranks
from tagloom.errors import FailedPrecondition

__all__ = ["Phase", "Statistics", "StepSettings", "TrainingStep"]


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


@dataclass(frozen=True, slots=True)
class Phase:
    """A loss, the network that it trains, and how often."""

    name: PhaseName
    network: nn.Module
    optimizer: Adam
    interval: int


class Statistics:
    """Means of what was measured since the last `take`, kept on the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=device))

    def add(self, name: str, values: Tensor) -> None:
        """Adds every element of `values`."""
        self.add_sums(name, sum_and_count(values))

    def add_sums(self, name: str, sums: Tensor) -> None:
        """Adds values of which `sum_and_count` was taken."""
        self._sums[name] += sums

    def take(self) -> dict[str, float]:
        """The means by name, and starts over."""
        means = {}
        for name, sums in self._sums.items():
            total, count = sums.tolist()
            means[name] = total / count
        self._sums.clear()
        return means

    def state(self) -> tuple[list[str], Tensor]:
        """Names, and [names, 2] sums and numbers of values, in one tensor."""
        names = sorted(self._sums)
        rows = [self._sums[name] for name in names]
        return names, torch.stack(rows) if rows else torch.zeros([0, 2])

    def load(self, names: list[str], sums: Tensor) -> None:
        """The inverse of `state`."""
        self._sums.clear()
        for name, row in zip(names, sums, strict=True):
            self._sums[name].copy_(row)


def sum_and_count(values: Tensor) -> Tensor:
    """[2]: the sum of the values, and how many there are."""
    return torch.stack([values.sum(), values.new_tensor(values.numel())])


class TrainingStep:
    """Networks, optimisers and moving averages, and how a step moves them."""

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
        self.bad_updates = 0
        """updates left out since the last good one, because a gradient was not finite"""
        self.updates_left_out = 0
        """of all steps"""
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
        interval = self.settings.d_regularisation_interval
        phases.append(Phase("Dreg", self.D, self.optimizers["D"], interval))
        return phases

    def run(self, real_NCHW: Tensor, real_c: Tensor | None, draws: StepDraws) -> None:
        """One step on a batch of real images in [-1, 1]: this rank's part of it.

        An update whose gradient is not finite is left out, and with it all that its phase has
        measured: weights, running means and statistics stay as they were. Raises
        FailedPrecondition (TRAINING_DIVERGED) after `bad_updates_limit` of them in a row.
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
        path_length_mean = self.losses.path_length_mean.clone()
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
        if bool(torch.isfinite(norm)):
            phase.optimizer.step()
            self.bad_updates = 0
            if phase.name in ("Gmain", "Dmain"):
                self.statistics.add(f"{phase.name[0].lower()}_gradient_norm", norm)
        else:
            self.losses.path_length_mean.copy_(path_length_mean)
            self._leave_out(phase)
            return
        if "real_score" in measured:
            measured["real_sign"] = measured["real_score"].sign()
        sums = {name: sum_and_count(values) for name, values in measured.items()}
        self.micro_batches.ranks.sum_(list(sums.values()))
        for name, counted in sums.items():
            self.statistics.add_sums(name, counted)
        if "real_sign" in sums:
            self.signs += sums["real_sign"]

    def _leave_out(self, phase: Phase) -> None:
        self.bad_updates += 1
        self.updates_left_out += 1
        if phase.name in ("Dmain", "Dboth"):
            # G's running means, which move in this phase, may have taken in what was not finite.
            copies, buffers = self._copied
            torch._foreach_copy_(buffers, copies)
        if self.bad_updates >= self.settings.bad_updates_limit:
            raise FailedPrecondition(
                f"The training diverged: {self.bad_updates} gradients in a row were not finite "
                f"(phase {phase.name}, step {self.steps}). Continue from an earlier snapshot with "
                "a larger r1_gamma or smaller learning rates.",
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
        total, count = self.signs.tolist()
        self.signs.zero_()
        if not count:  # every update since was left out
            return
        p = self.control.judge(total / count, self.settings.batch * self.control.interval)
        assert self.losses.augment is not None
        self.losses.augment.p.fill_(p)


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
