"""The search, against trying every combination; and what it does where marks say nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.filter.tuning.thresholds import Goal, Problem, fit, predict, quality, sweep

OFF = -np.inf


def random_problem(random, photos, checks, noise=0.3):
    """Photos of which each check alone sees a share of the bad ones."""
    keep = random.random(photos) < 0.6
    keep[:2] = (True, False)
    blame = random.integers(0, checks, photos)
    scores = random.normal(1, noise, (photos, checks))
    for index in np.flatnonzero(~keep):
        scores[index, blame[index]] -= 1
    return Problem.of(np.round(scores, 2), np.ones(photos, bool), keep)


def starts(problem):
    """As `tune` searches: from all off, and from each check alone."""
    checks = problem.scores.shape[1]
    places = [np.full(checks, OFF)]
    for index in range(checks):
        only = Problem.of(problem.scores[:, [index]], problem.possible, problem.keep)
        place = np.full(checks, OFF)
        (place[index],) = fit(only, Goal(), np.array([OFF]))
        places.append(place)
    return places


def worth(problem, goal, least):
    stays = predict(problem, least)
    good = float((stays & problem.keep).sum())
    value = goal.value(np.array(good), np.array(stays.sum() - good), float(problem.keep.sum()))
    return float(value)


@pytest.mark.parametrize("goal", [Goal(), Goal(0.8), Goal(0.95), Goal(1.0)], ids=str)
def test_it_finds_what_trying_everything_finds(goal):
    """Two checks, 20 problems: the search may miss the best place, but rarely and by little."""
    random = np.random.default_rng(0)
    missed = []
    for _ in range(20):
        problem = random_problem(random, 18, 2)
        every = [sweep(problem, check, np.ones(18))[0] for check in range(2)]
        best = max(worth(problem, goal, np.array(place)) for place in itertools.product(*every))
        found = fit(problem, goal, np.array([0.5, 0.5]), starts(problem))
        missed.append(best - worth(problem, goal, found))
    assert min(missed) >= -1e-9  # never better than all there is
    assert np.mean(np.array(missed) < 1e-9) >= 0.8
    assert max(missed) < 0.12


def test_separable_marks_are_separated():
    random = np.random.default_rng(1)
    problem = random_problem(random, 200, 4, noise=0.1)
    least = fit(problem, Goal(), np.zeros(4), starts(problem))
    assert quality(predict(problem, least), problem.keep).f1 == 1
    assert ((least > 0.2) & (least < 0.8)).all()


def test_what_marks_say_nothing_about_stays_where_it_is():
    random = np.random.default_rng(2)
    problem = random_problem(random, 60, 1, noise=0.05)
    constant = np.full((60, 1), 0.7)
    absent = np.full((60, 1), np.inf)
    wide = Problem.of(np.hstack([problem.scores, constant, absent]), problem.possible, problem.keep)
    begin = np.array([5.0, 0.4, 3.0])
    least = fit(wide, Goal(), begin, starts(wide))
    assert least[1:].tolist() == [0.4, 3.0]
    assert quality(predict(wide, least), wide.keep).f1 == 1


def test_damaged_files_never_stay():
    keep = np.array([True, True, False])
    problem = Problem.of(np.array([[1.0], [np.inf], [0.0]]), np.array([True, False, True]), keep)
    least = fit(problem, Goal(), np.array([0.5]))
    assert predict(problem, least).tolist() == [True, False, False]


def test_precision_is_held_where_it_can_be():
    random = np.random.default_rng(3)
    problem = random_problem(random, 300, 3, noise=0.6)
    begin = np.zeros(3)
    reached = []
    for target in (0.7, 0.8, 0.9, 0.97):
        got = quality(
            predict(problem, fit(problem, Goal(target), begin, starts(problem))), problem.keep
        )
        assert got.precision >= target
        reached.append(got.recall)
    assert reached == sorted(reached, reverse=True)
    assert reached[0] > reached[-1]


def test_a_precision_out_of_reach_gives_the_best_there_is():
    keep = np.array([True, False, True, False])
    problem = Problem.of(np.array([[1.0], [1.0], [0.0], [0.0]]), np.ones(4, bool), keep)
    least = fit(problem, Goal(0.9), np.array([OFF]))
    assert quality(predict(problem, least), keep).precision == 0.5


def test_weights_count_as_copies_do():
    random = np.random.default_rng(4)
    problem = random_problem(random, 40, 2)
    counts = random.integers(0, 4, 40)
    copies = np.repeat(np.arange(40), counts)
    repeated = Problem.of(problem.scores[copies], problem.possible[copies], problem.keep[copies])
    begin = np.array([0.5, 0.5])
    weighted = fit(problem, Goal(), begin, weights=counts.astype(float))
    np.testing.assert_allclose(weighted, fit(repeated, Goal(), begin))


columns = st.lists(
    st.tuples(st.one_of(st.floats(-5, 5), st.just(np.inf)), st.booleans()), min_size=1, max_size=30
)


@settings(deadline=None)
@given(photos=columns)
@example(photos=[(-5.0, False), (np.nextafter(-5.0, 0), False)])  # whose middle is one of them
def test_a_sweep_counts_what_each_cut_keeps(photos):
    scores = np.array([[score] for score, _ in photos])
    keep = np.array([good for _, good in photos])
    problem = Problem.of(scores, np.ones(len(keep), bool), keep)
    cuts, good, bad = sweep(problem, 0, np.ones(len(keep)))
    assert cuts[-1] == OFF
    assert (np.diff(cuts) < 0).all()
    for cut, right, wrong in zip(cuts, good, bad, strict=True):
        stays = scores[:, 0] >= cut
        assert ((stays & keep).sum(), (stays & ~keep).sum()) == (right, wrong)
