"""A batch in micro-batches: what passes through the networks at once, here or on another rank.

N ranks with one micro-batch each compute what one rank computes with N, one after the other, up to
rounding in sums: gradients are averaged over micro-batches; G's running means of w and of its
layers' magnitudes and the mean path length move by statistics averaged over them, and each
micro-batch is computed as if it were the only one, from the means as they were before the phase;
D compares images within a micro-batch. A batch of a single one is what the official
implementation does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from services.trainer.draws import PhaseName, StepDraws
from services.trainer.losses import Losses, Measured
from services.trainer.ranks import ALONE, Ranks
from tagloom.errors import FailedPrecondition

__all__ = ["MicroBatches"]


@dataclass(frozen=True, slots=True)
class MicroBatches:
    """How a batch is divided, and which part of it is this rank's."""

    batch: int
    """images of a step, over all ranks"""
    size: int
    """images of a micro-batch"""
    ranks: Ranks = ALONE

    @classmethod
    def of(cls, batch: int, size: int, ranks: Ranks) -> MicroBatches:
        """Raises FailedPrecondition (PROCESSES_UNSUITABLE) when the ranks cannot share them."""
        count = batch // size
        if count % ranks.size:
            raise FailedPrecondition(
                f"The run's batch of {batch} has {count} micro-batches of {size}, which "
                f"{ranks.size} processes cannot share evenly: train with a number of processes "
                f"that divides {count}, or make the run with a micro_batch of at most "
                f"{max(batch // ranks.size, 1)}.",
                reason="PROCESSES_UNSUITABLE",
                micro_batches=count,
                processes=ranks.size,
            )
        return cls(batch, size, ranks)

    @property
    def count(self) -> int:
        """Micro-batches of a batch, over all ranks."""
        return self.batch // self.size

    @property
    def rows(self) -> slice:
        """The samples of the batch that are this rank's."""
        own = self.batch // self.ranks.size
        return slice(self.ranks.rank * own, (self.ranks.rank + 1) * own)

    def accumulate(
        self,
        losses: Losses,
        phase: PhaseName,
        real_NCHW: Tensor,
        real_c: Tensor | None,
        draws: StepDraws,
        *,
        gain: float,
        images_seen: int,
    ) -> Measured:
        """As `Losses.accumulate`, for the whole batch; real images and labels are this rank's.

        Gradients and running means are the same on all ranks afterwards; what was measured is of
        this rank's samples.
        """
        if self.count == 1:
            return losses.accumulate(
                phase, real_NCHW, real_c, draws, gain=gain, images_seen=images_seen
            )
        running = losses.running_means(phase)
        before = [mean.clone() for mean in running]
        totals = [torch.zeros_like(mean) for mean in running]
        parts: list[Measured] = []
        for start in range(0, len(real_NCHW), self.size):
            own = slice(start, start + self.size)
            first = self.rows.start + start
            _copy(running, before)
            measured = losses.accumulate(
                phase,
                real_NCHW[own],
                None if real_c is None else real_c[own],
                draws.part(slice(first, first + self.size)),
                gain=gain / self.count,
                images_seen=images_seen,
            )
            parts.append(measured)
            for total, mean in zip(totals, running, strict=True):
                total.add_(mean)
        network = losses.G if phase.startswith("G") else losses.D
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        self.ranks.sum_([*gradients, *totals])
        _copy(running, [total / self.count for total in totals])
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
