"""A profile: one threshold per check, applied to stored scores: changing it scans nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from services.filter.checks import CHECKS, FORMAT
from tagloom.artifacts.dataset import Threshold
from tagloom.errors import InvalidArgument

__all__ = ["profile"]


def profile(overrides: Iterable[Threshold]) -> tuple[Threshold, ...]:
    """The default profile with `overrides` in place, in the order of `CHECKS`.

    The value of a check that is switched off is kept but means nothing.

    Raises InvalidArgument: UNKNOWN_CHECK, DUPLICATE_CHECK, THRESHOLD_OUT_OF_RANGE, or
    FORMAT_REQUIRED (what cannot be decoded cannot be cut).
    """
    chosen: dict[str, Threshold] = {}
    for override in overrides:
        check = CHECKS.get(override.check)
        if check is None:
            raise InvalidArgument(
                f"There is no check {override.check[:60]!r}; the checks are {', '.join(CHECKS)}.",
                reason="UNKNOWN_CHECK",
                field="thresholds",
                check=override.check[:60],
            )
        if override.check in chosen:
            raise InvalidArgument(
                f"The check {override.check!r} has two thresholds; give one.",
                reason="DUPLICATE_CHECK",
                field="thresholds",
                check=override.check,
            )
        if override.check == FORMAT and not override.enabled:
            raise InvalidArgument(
                "The check 'format' cannot be switched off: what cannot be decoded cannot be cut.",
                reason="FORMAT_REQUIRED",
                field="thresholds",
                check=FORMAT,
            )
        in_range = math.isfinite(override.value) and check.low <= override.value <= check.high
        if override.enabled and not in_range:
            raise InvalidArgument(
                f"The threshold {override.value:g} of the check {check.name!r} is out of range: "
                f"choose {check.low:g} to {check.high:g} {check.unit}.",
                reason="THRESHOLD_OUT_OF_RANGE",
                field="thresholds",
                check=check.name,
            )
        chosen[override.check] = override
    return tuple(
        chosen.get(name, Threshold(check=name, value=check.threshold))
        for name, check in CHECKS.items()
    )
