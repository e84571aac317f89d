"""Amounts and alarms in words."""

from __future__ import annotations

from tagloom.v1 import trainer_pb2

__all__ = ["MISSING", "TIMES", "alarm_sentence", "count", "duration", "size"]

MISSING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"


def count(amount: int, noun: str) -> str:
    """`1 photo`, `2 photos`, `1,200 photos`."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `4 min 12 s`, `3 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(amount: int) -> str:
    """Bytes in binary units: `812 B`, `1.4 MiB`."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def alarm_sentence(alarm: trainer_pb2.Alarm) -> str:
    """What a training warned of, and when: `The discriminator overfits: … (2.5 to 2.9 kimg)`."""
    when = f"{alarm.first_kimg:g}"
    if alarm.last_kimg > alarm.first_kimg:
        when += f" to {alarm.last_kimg:g}"
    still = ", still so at the end" if alarm.active else ""
    return f"{alarm.message.rstrip('.')} (at {when} kimg{still})."
