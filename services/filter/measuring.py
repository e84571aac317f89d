"""One image, in a worker process: decoded once, then every check that is asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass

from services.filter.checks import CHECKS, FORMAT, SCORING_LONG_SIDE, SCORING_SIDE, Measured
from services.filter.checks.image_format import undecodable
from services.filter.decode import Undecodable, decode
from services.filter.images import read_image
from services.filter.processes import worker_store

__all__ = ["ToMeasure", "Measurement", "measure"]


@dataclass(frozen=True, slots=True)
class ToMeasure:
    """An image, and the checks whose scores are not known."""

    sha256: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found."""

    measured: dict[str, Measured]
    """by check; an undecodable image has that of `format` alone"""
    seconds: dict[str, float]
    """processor time by check, and of `decode`, reading included"""


def measure(piece: ToMeasure) -> Measurement:
    """Looks at one image of the worker's store. Raises DataLoss, as `read_image` does."""
    started = time.process_time()
    data = read_image(worker_store(), piece.sha256)
    try:
        photo = decode(data, at_least=SCORING_SIDE, at_least_long=SCORING_LONG_SIDE)
    except Undecodable as error:
        return Measurement({FORMAT: Measured(error.width, error.height, undecodable(error))}, {})
    seconds = {"decode": time.process_time() - started}
    measured = {}
    for name in piece.checks:
        started = time.process_time()
        measured[name] = Measured(photo.width, photo.height, CHECKS[name].score(photo))
        seconds[name] = time.process_time() - started
    return Measurement(measured, seconds)
