"""Honesty: held-back marks judge lower than the marks that chose, and intervals cover the truth."""

from __future__ import annotations

import numpy as np

from services.filter.tuning.thresholds import Goal, Problem, fit, predict, quality
from services.filter.tuning.trust import cross_validated, estimates, gain, spread


def problem(random, photos, checks=5, signal=0.8):
    """One check that tells, the others noise."""
    keep = np.arange(photos) % 2 == 0
    scores = random.normal(0, 1, (photos, checks))
    scores[:, 0] += signal * keep
    return Problem.of(scores, np.ones(photos, bool), keep)


def test_marks_held_back_judge_lower_than_the_marks_that_chose():
    random = np.random.default_rng(0)
    begin = np.full(5, -np.inf)
    fitted, expected, real = [], [], []
    for seed in range(12):
        few = problem(random, 40)
        least = fit(few, Goal(), begin)
        fitted.append(quality(predict(few, least), few.keep).f1)
        decisions = cross_validated(few, Goal(), begin, seed)
        expected.append(estimates(decisions, few.keep).f1.value)
        fresh = problem(random, 4000)
        real.append(quality(predict(fresh, least), fresh.keep).f1)
    assert np.mean(fitted) > np.mean(real) + 0.03  # what one would report without holding back
    assert abs(np.mean(expected) - np.mean(real)) < 0.03


def test_intervals_cover_and_shrink():
    random = np.random.default_rng(1)
    widths, covered = [], []
    for photos in (40, 400):
        for _ in range(10):
            some = problem(random, photos, checks=1, signal=1.5)
            stays = predict(some, np.array([0.75]))
            found = estimates(stays[None], some.keep).precision
            fresh = problem(random, 20_000, checks=1, signal=1.5)
            truth = quality(predict(fresh, np.array([0.75])), fresh.keep).precision
            covered.append(found.low <= truth <= found.high)
            widths.append((photos, found.high - found.low))
            assert found.low <= found.value <= found.high
    assert np.mean(covered) >= 0.85
    few, many = (np.mean([w for n, w in widths if n == photos]) for photos in (40, 400))
    assert many < few / 2


def test_nothing_to_gain_is_said_so():
    """Of 20 problems without a signal at most one may look like a gain."""
    random = np.random.default_rng(2)
    begin = np.full(5, -np.inf)
    fooled = 0
    for seed in range(20):
        some = problem(random, 40, signal=0.0)
        decisions = cross_validated(some, Goal(), begin, seed)
        fooled += gain(decisions, predict(some, begin), some.keep, seed).low > 0
    assert fooled <= 1


def test_much_to_gain_too():
    random = np.random.default_rng(3)
    some = problem(random, 100, signal=4.0)
    begin = np.full(5, -np.inf)
    decisions = cross_validated(some, Goal(), begin, 0)
    assert gain(decisions, predict(some, begin), some.keep, 0).low > 0.1


def test_every_photo_is_judged_by_thresholds_that_never_saw_it():
    """A photo that could only stay if its own mark were seen must go."""
    keep = np.array([True] * 6 + [False] * 6)
    scores = np.array([2.0, 2.1, 2.2, 2.3, 2.4, 0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0])[:, None]
    some = Problem.of(scores, np.ones(12, bool), keep)
    decisions = cross_validated(some, Goal(1.0), np.array([1.5]), 0)
    assert not decisions[:, 5].any()
    assert decisions[:, :5].all()


def test_one_photo_of_a_kind_cannot_be_held_back():
    keep = np.array([True, True, False])
    some = Problem.of(np.array([[2.0], [3.0], [1.0]]), np.ones(3, bool), keep)
    assert cross_validated(some, Goal(), np.array([0.0]), 0).shape == (0, 3)


def test_thresholds_lie_closer_together_with_more_marks():
    random = np.random.default_rng(5)
    begin = np.array([-np.inf])
    widths = []
    for photos in (30, 600):
        some = problem(random, photos, checks=1, signal=3.0)
        low, high = spread(some, Goal(), begin, 0)
        assert low[0] < high[0]
        assert low[0] > -1
        assert high[0] < 4
        widths.append(high[0] - low[0])
    assert widths[1] < widths[0]


def test_the_same_seed_gives_the_same_answer():
    some = problem(np.random.default_rng(6), 30)
    begin = np.full(5, -np.inf)
    first, second = (cross_validated(some, Goal(), begin, 7) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    before = predict(some, begin)
    assert gain(first, before, some.keep, 1) == gain(second, before, some.keep, 1)


def test_ten_of_ten_do_not_prove_all():
    keep = np.array([True] * 10 + [False] * 4)
    found = estimates(keep[None], keep)
    for estimate in (found.precision, found.recall, found.f1):
        assert estimate.value == estimate.high == 1
        assert 0.65 < estimate.low < 0.87
    nothing = estimates(np.zeros((1, 14), bool), keep)
    assert (nothing.recall.value, nothing.f1.value) == (0, 0)
    assert nothing.recall.high > 0.2
