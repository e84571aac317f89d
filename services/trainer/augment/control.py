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
    sign_sum: float = 0.0
    """sum of the signs of the real scores since the last judgement"""
    sign_count: int = 0

    def observe(self, sign_sum: float, count: int) -> None:
        """Adds the signs of `count` real scores."""
        self.sign_sum += sign_sum
        self.sign_count += count

    def after_step(self, steps: int, batch: int) -> float:
        """To be called after each step, the `steps`-th; returns p, changed at every judgement."""
        if steps % self.interval == 0 and self.sign_count > 0:
            difference = self.sign_sum / self.sign_count - self.target
            direction = (difference > 0) - (difference < 0)
            change = direction * batch * self.interval / (self.kimg * 1000)
            self.p = min(max(self.p + change, 0.0), 1.0)
            self.sign_sum, self.sign_count = 0.0, 0
        return self.p
