"""Which values an option may have: the first wrong one ends in a sentence that names it."""

from __future__ import annotations

import math
from typing import NoReturn

from tagloom.artifacts.run import TrainingOptions
from tagloom.errors import InvalidArgument

__all__ = ["check_ranges", "refuse"]

MAX_BATCH = 65536
MAX_SAMPLES = 256
MAX_TICKS = 10_000
"""rows of a history, which is written as a whole at every tick"""
LEAST_SCORED = 16
"""generated images, below which a kernel distance says nothing"""

# Option: lowest, highest and a unit; the highest may be infinite.
_FLOATS: dict[str, tuple[float, float, str]] = {
    "r1_gamma": (0, math.inf, ""),
    "g_learning_rate": (0, math.inf, ""),
    "d_learning_rate": (0, math.inf, ""),
    "augment_p": (0, 1, ""),
    "ada_target": (-1, 1, ""),
    "path_length_weight": (0, math.inf, ""),
    "style_mixing": (0, 1, ""),
    "blur_sigma": (0, math.inf, " pixels"),
    "blur_fade_kimg": (0, math.inf, " thousand images"),
    "conv_clamp": (0, math.inf, ""),
}
_INTEGERS: dict[str, tuple[int, float]] = {
    "samples": (1, MAX_SAMPLES),
    "channel_base": (1, math.inf),
    "channel_max": (1, math.inf),
    "latent_size": (1, math.inf),
    "mapping_layers": (1, math.inf),
    "freeze_d": (0, math.inf),
    "path_length_interval": (1, math.inf),
    "r1_interval": (1, math.inf),
    "ada_interval": (1, math.inf),
    "margin_size": (0, math.inf),
    "mbstd_group": (1, math.inf),
    "bad_updates_limit": (1, math.inf),
    "patience": (0, math.inf),
    "keep_states": (1, math.inf),
    "keep_snapshots": (0, math.inf),
}


def check_ranges(options: TrainingOptions) -> None:
    """Ranges that hold whatever the dataset is.

    Raises InvalidArgument (TRAINING_OPTION_INVALID) naming the option, its value and the range.
    """
    for name, value in options.model_dump().items():
        if isinstance(value, float) and not math.isfinite(value):
            refuse(name, value, "a finite number")
    for name in ("kimg", "ada_kimg", "ema_kimg", "snapshot_kimg", "tick_kimg"):
        if not getattr(options, name) > 0:
            refuse(name, getattr(options, name), "above 0 (thousands of images)")
    if options.kimg >= 1e6:
        refuse("kimg", options.kimg, "below 1000000")
    if options.kimg / max(options.tick_kimg, options.batch / 1000) > MAX_TICKS:
        refuse(
            "tick_kimg",
            options.tick_kimg,
            f"at least {options.kimg / MAX_TICKS:g}, so that the run has {MAX_TICKS} ticks at most",
        )
    for name, (lowest, highest, unit) in _FLOATS.items():
        _check_range(name, getattr(options, name), lowest, highest, unit)
    for name, (least, most) in _INTEGERS.items():
        _check_range(name, getattr(options, name), least, most, "")
    _check_batch(options)
    _check_adam(options)
    _check_scores(options)
    if options.ema_rampup is not None and not 0 < options.ema_rampup <= 1:
        refuse("ema_rampup", options.ema_rampup, "from 0 (no ramp-up) to 1")
    if options.config != "stylegan2":
        for name in ("path_length_weight", "style_mixing"):
            if getattr(options, name) != 0:
                refuse(
                    name,
                    getattr(options, name),
                    f"left out or 0, because {options.config} does not train with it "
                    "(stylegan2 does)",
                )


def _check_range(name: str, value: float, lowest: float, highest: float, unit: str) -> None:
    if value < lowest or value > highest:
        limit = f"at least {lowest}" if highest == math.inf else f"from {lowest} to {highest}"
        refuse(name, value, f"{limit}{unit}")


def _check_batch(options: TrainingOptions) -> None:
    batch, group = options.batch, options.mbstd_group
    if not 1 <= batch <= MAX_BATCH:
        refuse("batch", batch, f"from 1 to {MAX_BATCH}")
    if batch > group and batch % group:
        nearest = batch // group * group
        refuse(
            "batch",
            batch,
            f"a multiple of {group}, because D compares images in groups of {group} "
            f"(the nearest are {nearest} and {nearest + group})",
        )
    _check_micro_batch(options.micro_batch, batch, group)
    if options.kimg * 1000 < batch:
        refuse("kimg", options.kimg, f"at least one batch, {batch / 1000:g}")


def _check_micro_batch(size: int, batch: int, group: int) -> None:
    if size == 0:
        return
    # What divides the batch, and does not cut a group in two.
    fitting = [n for n in range(1, batch + 1) if batch % n == 0 and (n <= group or n % group == 0)]
    if size not in fitting:
        refuse(
            "micro_batch",
            size,
            f"0 (the whole batch) or, for a batch of {batch} that D compares in groups of {group}, "
            f"one of {', '.join(map(str, fitting[-8:]))}",
        )


def _check_scores(options: TrainingOptions) -> None:
    if options.score_samples and options.score_samples < LEAST_SCORED:
        refuse("score_samples", options.score_samples, f"0 or at least {LEAST_SCORED}")
    trial = options.gamma_trial_kimg
    if options.gamma_auto and not options.batch / 1000 <= trial <= options.kimg:
        least = f"{options.batch / 1000:g} (a batch)"
        refuse("gamma_trial_kimg", trial, f"from {least} to {options.kimg:g} (the run)")
    if options.gamma_auto and not options.r1_gamma:
        refuse("r1_gamma", options.r1_gamma, "left out or above 0 where it is chosen by trials")
    if not options.gamma_auto and trial:
        refuse("gamma_trial_kimg", trial, "left out, because r1_gamma is not chosen by trials")


def _check_adam(options: TrainingOptions) -> None:
    for name in ("adam_beta1", "adam_beta2"):
        if not 0 <= getattr(options, name) < 1:
            refuse(name, getattr(options, name), "from 0 to less than 1")
    if not options.adam_epsilon > 0:
        refuse("adam_epsilon", options.adam_epsilon, "above 0")


def refuse(name: str, value: object, wanted: str) -> NoReturn:
    """Raises InvalidArgument (TRAINING_OPTION_INVALID)."""
    raise InvalidArgument(
        f"{name} is {value}, but should be {wanted}.",
        reason="TRAINING_OPTION_INVALID",
        option=name,
        value=value,
    )
