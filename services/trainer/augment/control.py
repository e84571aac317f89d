"""How strong the augmentation is: adapted to how much the discriminator overfits."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["AugmentControl"]


def _zero() -> Tensor:
    return torch.zeros([], dtype=torch.float64)


@dataclass(slots=True)
class AugmentControl:
    """ADA's controller (arXiv 2006.06676, section 3): keeps E[sign(D(real))] at a target.

    When the discriminator is too sure of the real images, p grows, else it shrinks, at a speed at
    which it would go from 0 to 1 within `kimg` thousand images. p stays in [0, 1]. It judges on the
    device: nothing here waits for a number.
    """

    target: float
    kimg: float
    interval: int = 4
    """steps between two judgements"""
    p: Tensor = field(default_factory=_zero)
    """scalar float64"""

    def judge(self, signs: Tensor, images: int) -> Tensor:
        """Moves p, in place, and returns it.

        signs: [2], the sum of the signs of the real scores over the last `images` images, and how
        many there were; without any, p stays.
        """
        total, count = signs.to(torch.float64).unbind()
        excess = total / count - self.target  # nan without any
        direction = torch.where(count > 0, excess.sign(), 0.0)
        self.p.add_(direction * images / (self.kimg * 1000)).clamp_(0, 1)
        return self.p
