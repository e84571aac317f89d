"""Where the augmentation pipe takes its chances from."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["Draws"]


class Draws(Protocol):
    """Random numbers for one batch of N samples; row i belongs to sample i.

    `name` says what the numbers are for. The pipe asks in a fixed order: of each augmentation its
    value first and then its gate (cutout: the gate, then the centre), so that a recorded sequence
    can be played back.
    """

    def uniform(self, name: str, *shape: int) -> Tensor:
        """[N, *shape], uniform in [0, 1)."""

    def normal(self, name: str, *shape: int) -> Tensor:
        """[N, *shape], standard normal."""

    def gate(self, name: str, probability: Tensor | float) -> Tensor:
        """[N], bool: true with `probability`, a number or a scalar tensor."""
