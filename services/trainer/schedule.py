"""When a durable state is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tagloom.errors import InvalidArgument

__all__ = ["StateClock", "StateSchedule"]

_FIRST_GUESS_S = 2.0
"""how long a state takes until it is durable, before one has been written"""


@dataclass(frozen=True, slots=True)
class StateSchedule:
    """How old the newest durable state may become: so many seconds or images, the first of them."""

    seconds: float = 60.0
    images: int = 1000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StateSchedule:
        """From TAGLOOM_STATE_SECONDS and TAGLOOM_STATE_IMAGES, where they are set.

        Raises InvalidArgument (SETTING_INVALID) naming the one that is not a positive number.
        """
        values = {}
        for name, default in (("seconds", 60.0), ("images", 1000)):
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
        return cls(values["seconds"], max(int(values["images"]), 1))


class StateClock:
    """Tells a training when its next state is due.

    A state counts from when it is durable, which is some time after it was begun, and until then
    the one before it is what a killed run goes on from. So the next one is begun early enough to be
    durable when that one reaches its age: by as long as the last one took, and a step.
    """

    def __init__(
        self,
        schedule: StateSchedule,
        images: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """images: seen at the state that there is."""
        self._schedule, self._clock = schedule, clock
        self._images = self._images_looked = images
        self._begun = self._looked = clock()
        self._took = _FIRST_GUESS_S

    def is_due(self, images: int) -> bool:
        """Whether one is, after so many images in all. To be asked after every step."""
        moment = self._clock()
        step, self._looked = moment - self._looked, moment
        step_images, self._images_looked = images - self._images_looked, images
        if images <= self._images:
            return False
        # How old the newest durable state would become, if the next were begun a step from now.
        seconds = moment - self._begun + step + self._took
        seen = images - self._images + step_images
        if step > 0:
            seen += round(self._took * step_images / step)
        return seconds > self._schedule.seconds or seen > self._schedule.images

    def begun(self, images: int) -> None:
        """A state as of now, after so many images, is being written."""
        self._images, self._begun = images, self._clock()

    def durable(self, took: float) -> None:
        """It is durable, so many seconds after it was begun."""
        self._took = took
