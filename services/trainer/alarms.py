"""Alarms: what a person should look at, judged by the history alone.

An alarm is a function of the ticks, so a run that was interrupted raises the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tagloom.artifacts.run import Alarm, AlarmKind, Tick, TrainingOptions

__all__ = ["judge", "merge"]

# Above this, augmentations begin to leak into the generated images (arXiv 2006.06676, 2.2).
P_LIMIT = 0.8
# p counts as at its limit of 1 from here on.
_P_CLAMP = 0.999
# Samples that differ less than half as much as training images do, and half as much as they did.
DIVERSITY_LIMIT = 0.5
# D takes held-out images for generated ones rather than for training images.
OVERFITTING_LIMIT = 0.75


def judge(ticks: Sequence[Tick], options: TrainingOptions) -> dict[AlarmKind, str]:
    """The alarms of the last tick, each as a sentence with the numbers and what to do."""
    judged: dict[AlarmKind, str | None] = {
        "mode_collapse": _mode_collapse(ticks),
        "discriminator_overfitting": _overfitting(ticks, options),
        "runaway_p": _runaway_p(ticks[-1], options),
        "not_finite": _not_finite(ticks[-1], options),
    }
    return {kind: sentence for kind, sentence in judged.items() if sentence is not None}


def merge(
    earlier: Sequence[Alarm], judged: Mapping[AlarmKind, str], kimg: float
) -> tuple[Alarm, ...]:
    """The run's alarms after a tick at `kimg`: one of each kind that was ever raised."""
    known = {alarm.kind: alarm for alarm in earlier if alarm.first_kimg <= kimg}
    merged = []
    for kind in dict.fromkeys([*known, *judged]):
        alarm = known.get(kind)
        if kind in judged:
            first = alarm.first_kimg if alarm else kimg
            alarm = Alarm(
                kind=kind, message=judged[kind], active=True, first_kimg=first, last_kimg=kimg
            )
        elif alarm is not None:
            alarm = alarm.model_copy(update={"active": False})
        assert alarm is not None
        merged.append(alarm)
    return tuple(merged)


def _mode_collapse(ticks: Sequence[Tick]) -> str | None:
    measured = [(tick.diversity, tick.kimg) for tick in ticks if tick.diversity is not None]
    if len(measured) < 2:
        return None
    (now, _), (peak, at) = measured[-1], max(measured)
    if now >= DIVERSITY_LIMIT or now >= DIVERSITY_LIMIT * peak:
        return None
    return (
        f"Mode collapse: the distance between samples is {now:.0%} of that between training "
        f"images, and was {peak:.0%} at {at:g} kimg; go back to a snapshot from before, with a "
        "larger r1_gamma or smaller learning rates."
    )


def _overfitting(ticks: Sequence[Tick], options: TrainingOptions) -> str | None:
    last = ticks[-2:]
    if len(last) < 2:
        return None
    signs = [tick.real_sign for tick in last if tick.real_sign is not None]
    at_limit = all(tick.augment_p >= _P_CLAMP for tick in last)
    if (
        options.augment == "ada"
        and at_limit
        and len(signs) == 2
        and min(signs) > options.ada_target
    ):
        return (
            f"The discriminator overfits: it is sure of the training images (mean sign "
            f"{signs[-1]:.2f}, target {options.ada_target:g}), and the augmentation is "
            "already at its limit, p = 1; use an earlier snapshot, collect more images, or raise "
            "r1_gamma."
        )
    measured = [tick.overfitting for tick in ticks if tick.overfitting is not None][-2:]
    if len(measured) < 2 or min(measured) <= OVERFITTING_LIMIT:
        return None
    return (
        f"The discriminator overfits: its scores of held-out images lie {measured[-1]:.0%} of the "
        "way from training images down to generated ones; use an earlier snapshot, collect more "
        "images, or let the augmentation act sooner (a smaller ada_kimg)."
    )


def _runaway_p(tick: Tick, options: TrainingOptions) -> str | None:
    if tick.augment_p <= P_LIMIT:
        return None
    cause = "collect more images" if options.augment == "ada" else "choose a smaller augment_p"
    return (
        f"The augmentation probability is {tick.augment_p:.2f}; above {P_LIMIT:g} augmentations "
        f"may show in the generated images: look at the samples, and {cause}."
    )


def _not_finite(tick: Tick, options: TrainingOptions) -> str | None:
    if not tick.updates_left_out:
        return None
    return (
        f"{tick.updates_left_out} updates since the last tick had a gradient that was not finite "
        f"and were left out; {options.bad_updates_limit} in a row end the run: smaller learning "
        "rates or a larger r1_gamma help."
    )
