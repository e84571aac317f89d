"""Ways to start the training process of a run, behind one interface."""

from __future__ import annotations

from services.trainer.launch.interface import Assignment, Launcher, Situation, TrainingProcess

__all__ = ["Assignment", "Launcher", "Situation", "TrainingProcess"]
