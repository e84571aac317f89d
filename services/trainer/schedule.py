"""When a durable state is due."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tagloom.errors import InvalidArgument

__all__ = ["StateClock", "StateSchedule"]


@dataclass(frozen=True, slots=True)
class StateSchedule:
    """When a durable state is due: after so many seconds or images, whichever is first."""

    seconds: float = 60.0
    images: int = 1000
    time_share: float = 0.03
    """but for at most this share of the time"""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StateSchedule:
        """From TAGLOOM_STATE_SECONDS, _IMAGES and _TIME_SHARE, where they are set.

        Raises InvalidArgument (SETTING_INVALID) naming the one that is not a positive number.
        """
        values = {}
        for name, default in (("seconds", 60.0), ("images", 1000), ("time_share", 0.03)):
            variable = f"TAGLOOM_STATE_{name.upper()}"
            text = environment.get(variable, str(default))
            try:
                values[name] = float(text)
            except ValueError:
                values[name] = 0.0
            if not 0 < values[name] < float("inf"):
                raise InvalidArgument(
                    f"{variable} is {text!r}, but should be a number above 0.",
                    reason="SETTING_INVALID",
                    setting=variable,
                )
        return cls(values["seconds"], max(int(values["images"]), 1), values["time_share"])


class StateClock:
    """Tells a training when its next state is due."""

    def __init__(self, schedule: StateSchedule, images: int) -> None:
        """images: seen at the state that there is."""
        self._schedule, self._images = schedule, images
        self._time, self._cost = time.monotonic(), 0.0

    def is_due(self, images: int) -> bool:
        """Whether one is, after so many images in all."""
        schedule, elapsed = self._schedule, time.monotonic() - self._time
        if elapsed < schedule.seconds and images - self._images < schedule.images:
            return False
        return elapsed * schedule.time_share >= self._cost

    def saved(self, images: int, started: float) -> None:
        """A state was written after so many images, which began at `started` (monotonic)."""
        self._images, self._time = images, time.monotonic()
        self._cost = self._time - started
