"""A profile: one threshold per check, applied to stored scores: changing it scans nothing.

Those that come with the package are files beside this module, `profiles/<name>.yaml`. A dataset's
manifest holds every threshold that was applied, whatever the names mean later.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from functools import cache
from importlib import resources

import yaml

from services.filter.checks import CHECKS, FORMAT
from tagloom.artifacts.dataset import Threshold
from tagloom.errors import InvalidArgument

__all__ = ["DEFAULT", "PROFILES", "named_profile", "profile"]

DEFAULT = "default"
PROFILES = ("default", "strict", "lenient")


def profile(overrides: Iterable[Threshold], name: str = DEFAULT) -> tuple[Threshold, ...]:
    """The profile `name` with `overrides` in place, in the order of `CHECKS`.

    The value of a check that is switched off is kept but means nothing.

    Raises InvalidArgument: UNKNOWN_PROFILE, UNKNOWN_CHECK, DUPLICATE_CHECK,
    THRESHOLD_OUT_OF_RANGE, or FORMAT_REQUIRED (what cannot be decoded cannot be cut).
    """
    chosen: dict[str, Threshold] = {}
    for override in overrides:
        if override.check in chosen:
            raise InvalidArgument(
                f"The check {override.check!r} has two thresholds; give one.",
                reason="DUPLICATE_CHECK",
                field="thresholds",
                check=override.check,
            )
        _refuse_impossible(override)
        chosen[override.check] = override
    return tuple(chosen.get(each.check, each) for each in named_profile(name or DEFAULT))


@cache
def named_profile(name: str) -> tuple[Threshold, ...]:
    """A profile that comes with the package, every check named.

    Raises InvalidArgument (UNKNOWN_PROFILE).
    """
    if name not in PROFILES:
        raise InvalidArgument(
            f"There is no profile {name[:60]!r}; choose {', '.join(PROFILES)}, or give "
            "thresholds of your own.",
            reason="UNKNOWN_PROFILE",
            field="profile",
            profile=name[:60],
        )
    text = (resources.files("services.filter") / "profiles" / f"{name}.yaml").read_text("utf-8")
    bounds: dict[str, float] = {FORMAT: CHECKS[FORMAT].threshold, **yaml.safe_load(text)}
    return tuple(
        Threshold(
            check=check.name,
            enabled=check.name in bounds,
            value=bounds.get(check.name, check.threshold),
        )
        for check in CHECKS.values()
    )


def _refuse_impossible(override: Threshold) -> None:
    check = CHECKS.get(override.check)
    if check is None:
        near = difflib.get_close_matches(override.check[:60], CHECKS, 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise InvalidArgument(
            f"There is no check {override.check[:60]!r}{meant}; the checks are "
            f"{', '.join(CHECKS)}.",
            reason="UNKNOWN_CHECK",
            field="thresholds",
            check=override.check[:60],
        )
    if override.check == FORMAT and not override.enabled:
        raise InvalidArgument(
            "The check 'format' cannot be switched off: what cannot be decoded cannot be cut.",
            reason="FORMAT_REQUIRED",
            field="thresholds",
            check=FORMAT,
        )
    # Also where the check is off: the manifest keeps the value, and JSON has no such numbers.
    possible = math.isfinite(override.value)
    if override.enabled:
        possible = possible and check.low <= override.value <= check.high
    if not possible:
        what = (
            f"choose {check.low:g} to {check.high:g} ({check.unit})"
            if check.low < check.high
            else f"leave it out, since it is {check.low:g} in every profile"
        )
        raise InvalidArgument(
            f"The threshold {override.value:g} of the check {check.name!r} is out of range; "
            f"{what}.",
            reason="THRESHOLD_OUT_OF_RANGE",
            field="thresholds",
            check=check.name,
        )
    if override.enabled and check.weights is not None:
        check.weights.path()  # rather now than when the first photo is looked at
