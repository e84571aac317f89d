"""How long does tuning take, and does it say honestly how good its proposal is?

    python -m benchmarks.tuning [--repeats 20]

Ten checks, of which three see a kind of bad photo each (scores of good and bad ones overlap), the
others nothing. A person's marks are right but for 2 %. For 30 to 3,000 marks: the F1 of the
proposal on the marks that chose it, the F1 that cross-validation expects, and the real one on
20,000 fresh photos, means over the repeats; how often the real one lies in the interval that was
given; seconds of processor time (search, cross-validation and intervals; scoring is not in it), of
one run with 20,000 marks as well. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from services.filter.tuning.thresholds import Goal, Problem, fit, predict, quality
from services.filter.tuning.trust import cross_validated, estimates, spread

_CHECKS = 10
_KINDS = 3
_FRESH = 20_000


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    begin = np.full(_CHECKS, -1.0)
    rows = []
    for marks in (30, 100, 300, 1000, 3000):
        runs = [_run(marks, seed, begin) for seed in range(arguments.repeats)]
        rows.append(
            {
                "marks": marks,
                **{key: round(float(np.mean([run[key] for run in runs])), 3) for key in runs[0]},
            }
        )
    largest = _run(20_000, 0, begin)
    print(json.dumps({"by_marks": rows, "seconds_of_20000_marks": round(largest["seconds"], 1)}))


def _photos(random: np.random.Generator, count: int) -> Problem:
    keep = random.random(count) < 0.6
    keep[:4] = (True, True, False, False)
    scores = random.normal(1.0, 0.5, (count, _CHECKS))
    kind = random.integers(0, _KINDS, count)
    bad = np.flatnonzero(~keep)
    scores[bad, kind[bad]] -= 2.0
    return Problem.of(scores, np.ones(count, np.bool_), keep)


def _run(marks: int, seed: int, begin: Any) -> dict[str, float]:
    random = np.random.default_rng(1000 * marks + seed)
    photos = _photos(random, marks)
    mistaken = random.random(marks) < 0.02
    problem = Problem.of(photos.scores, photos.possible, photos.keep ^ mistaken)
    start = time.process_time()
    least = fit(problem, Goal(), begin, [np.full(_CHECKS, -np.inf)])
    decisions = cross_validated(problem, Goal(), begin, seed)
    expected = estimates(decisions, problem.keep, held_back=True).f1
    spread(problem, Goal(), begin, seed)
    seconds = time.process_time() - start
    fresh = _photos(random, _FRESH)
    said = fresh.keep ^ (random.random(_FRESH) < 0.02)
    real = quality(predict(fresh, least), said).f1
    return {
        "f1_on_its_marks": quality(predict(problem, least), problem.keep).f1,
        "f1_expected": expected.value,
        "f1_real": real,
        "real_in_interval": float(expected.low <= real <= expected.high),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
