"""How strong the augmentation is: adapted to how much the discriminator overfits."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AugmentControl"]


@dataclass(slots=True)
class AugmentControl:
    """ADA's controller (arXiv 2006.06676, section 3): keeps E[sign(D(real))] at a target.

    When the discriminator is too sure of the real images, p grows, else it shrinks, at a speed at
    which it would go from 0 to 1 within `kimg` thousand images. p stays in [0, 1].
    """

    target: float
    kimg: float
    interval: int = 4
    """steps between two judgements"""
    p: float = 0.0

    def judge(self, mean_sign: float, images: int) -> float:
        """The new p, from the mean sign of the real scores over the last `images` images."""
        direction = (mean_sign > self.target) - (mean_sign < self.target)
        self.p = min(max(self.p + direction * images / (self.kimg * 1000), 0.0), 1.0)
        return self.p
