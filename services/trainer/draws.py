"""Every random number of training, a function of what it is for.

A draw depends on (seed, step, phase, purpose, sample) and on nothing else: not on what was drawn
before, so that a run continues exactly after a restart without any generator's state being saved;
and not on which process asks, so that it stays the same run on any number of them.

The generator is Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), whose
counter is made of just these numbers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from services.trainer.augment.draws import Draws
from services.trainer.upload import upload
from tagloom.artifacts.labels import Labels

__all__ = ["KeyedDraws", "PhaseName", "StepDraws", "keyed_generator"]

PhaseName: TypeAlias = Literal["Gmain", "Greg", "Gboth", "Dmain", "Dreg", "Dboth"]

# Never renumber: it would change every run.
_PHASES: dict[str, int] = {"Gmain": 0, "Gboth": 0, "Greg": 1, "Dmain": 2, "Dboth": 2, "Dreg": 3}
_PURPOSES = {
    "latents": 0,
    "mixing": 1,
    "path": 2,
    "augment_fake": 3,
    "augment_real": 4,
    "layer_noise": 5,
    "shuffle": 6,
    "labels": 7,
}


def keyed_generator(seed: int, purpose: str, phase: int, index: int) -> np.random.Generator:
    """A generator of its own for each key; `seed` is taken modulo 2**64."""
    return np.random.Generator(
        np.random.Philox(
            key=np.array([seed % 2**64, 0], dtype=np.uint64),
            counter=np.array([0, _PURPOSES[purpose], phase, index], dtype=np.uint64),
        )
    )


class StepDraws(Protocol):
    """What the losses of one step need from chance."""

    def part(self, rows: slice) -> StepDraws:
        """The same draws for these samples of the batch alone."""

    def latents(self, phase: PhaseName) -> tuple[Tensor, Tensor | None]:
        """z [N, z_dim] and labels c [N, c_dim] (None without labels) of the generated images."""

    def mixing(self, phase: PhaseName, num_ws: int) -> tuple[Tensor, int]:
        """Second latents [N, z_dim], and from which of the ws on they apply (num_ws: nowhere)."""

    def path_noise(self, shape: torch.Size) -> Tensor:
        """Standard normal noise of the given image shape, for path lengths."""

    def augment(self, phase: PhaseName, part: Literal["fake", "real"]) -> Draws:
        """Chances of the augmentation pipe."""

    def prepare_layer_noise(self, phase: PhaseName) -> None:
        """Called before a generator that draws noise of its own, from torch's generator."""


@dataclass(frozen=True, slots=True)
class _KeyedAugmentDraws:
    """One generator, used in the pipe's fixed order; numbers for all samples, own rows kept."""

    generator: np.random.Generator
    batch: int
    rows: slice
    device: torch.device

    def uniform(self, name: str, *shape: int) -> Tensor:
        numbers = self.generator.random([self.batch, *shape], dtype=np.float32)
        return upload(torch.from_numpy(numbers[self.rows]), self.device)

    def normal(self, name: str, *shape: int) -> Tensor:
        numbers = self.generator.standard_normal([self.batch, *shape], dtype=np.float32)
        return upload(torch.from_numpy(numbers[self.rows]), self.device)

    def gate(self, name: str, probability: Tensor | float) -> Tensor:
        return self.uniform(name) < probability


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedDraws:
    """The draws of one step for the samples `rows` of a batch of `batch`."""

    seed: int
    step: int
    batch: int
    z_dim: int
    style_mixing: float = 0.0
    """probability that a batch mixes two styles"""
    labels: Labels | None = None
    """of the training images; None: generate without labels"""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rows: slice = field(default_factory=lambda: slice(None))

    def part(self, rows: slice) -> KeyedDraws:
        return dataclasses.replace(self, rows=rows)

    def _generator(self, purpose: str, phase: PhaseName) -> np.random.Generator:
        return keyed_generator(self.seed, purpose, _PHASES[phase], self.step)

    def _normal(self, generator: np.random.Generator, *shape: int) -> Tensor:
        numbers = generator.standard_normal([self.batch, *shape], dtype=np.float32)
        return upload(torch.from_numpy(numbers[self.rows]), self.device)

    def latents(self, phase: PhaseName) -> tuple[Tensor, Tensor | None]:
        z = self._normal(self._generator("latents", phase), self.z_dim)
        if self.labels is None:
            return z, None
        # A random image's label for each sample: generated images have the dataset's labels.
        drawn = self._generator("labels", phase).integers(len(self.labels), size=self.batch)
        c = torch.from_numpy(self.labels.rows(drawn[self.rows]))
        return z, upload(c, self.device)

    def mixing(self, phase: PhaseName, num_ws: int) -> tuple[Tensor, int]:
        generator = self._generator("mixing", phase)
        cutoff = int(generator.integers(1, num_ws)) if num_ws > 1 else 1
        if generator.random() >= self.style_mixing:
            cutoff = num_ws
        return self._normal(generator, self.z_dim), cutoff

    def path_noise(self, shape: torch.Size) -> Tensor:
        # The batch is a shrunken one: its samples are the first of the batch.
        generator = self._generator("path", "Greg")
        return self._normal(generator, *shape[1:])[: shape[0]]

    def augment(self, phase: PhaseName, part: Literal["fake", "real"]) -> Draws:
        generator = self._generator(f"augment_{part}", phase)
        return _KeyedAugmentDraws(generator, self.batch, self.rows, self.device)

    def prepare_layer_noise(self, phase: PhaseName) -> None:
        # The layers draw for all samples that they get: each micro-batch has a seed of its own,
        # that of its first sample.
        first = self.rows.start or 0
        seeds = self._generator("layer_noise", phase).integers(2**63, size=first + 1)
        torch.manual_seed(int(seeds[first]))
