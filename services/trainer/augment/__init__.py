"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676)."""

from __future__ import annotations

from services.trainer.augment.control import AugmentControl
from services.trainer.augment.draws import Draws
from services.trainer.augment.pipe import PIPES, AugmentPipe, AugmentSettings

__all__ = ["PIPES", "AugmentControl", "AugmentPipe", "AugmentSettings", "Draws"]
