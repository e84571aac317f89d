"""From marks to a profile, on scores that are known: the photos behind them are never decoded."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from services.filter.checks import CHECKS, FORMAT, Measured, Score
from services.filter.profile import profile
from services.filter.scores import add_scores
from services.filter.tuning.marks import Mark
from services.filter.tuning.proposal import advice
from services.filter.tuning.tune import TuneRequest, tune
from tagloom.artifacts.dataset import Threshold
from tagloom.errors import FailedPrecondition, InvalidArgument, NotFound
from tagloom.progress import silent

CHECKED = ("resolution", "sharpness", "grayscale", "text", "faces", "duplicates")
OFF = tuple(
    Threshold(check=check, enabled=False, value=0)
    for check in CHECKS
    if check not in (FORMAT, *CHECKED)
)
DEFAULT = profile(OFF)
GOOD = {"resolution": 512.0, "sharpness": 0.8, "grayscale": 120.0, "text": 0.0, "faces": -0.5}


def score_of(check, value, number):
    vector = b""
    if check == "duplicates":  # every photo another one
        value, vector = 1000.0, hashlib.sha256(str(number).encode()).digest()
    return Measured(600, 600, Score(value, vector=vector))


@pytest.fixture
def collection(store, add_collection):
    """`collection(rows)`: a photo for each (name, scores that differ from good ones)."""

    def make(rows, collection_id="c"):
        files = {name: f"photo {name}".encode() for name, _ in rows}
        add_collection(store, collection_id, files)
        known = {}
        sources = {CHECKS[check].source for check in CHECKED} | {FORMAT}
        for number, (name, differs) in enumerate(rows):
            sha256 = hashlib.sha256(files[name]).hexdigest()
            broken = differs.get(FORMAT) == 0
            known[sha256] = {
                check: score_of(check, {FORMAT: 1.0, **GOOD, **differs}.get(check, 1.0), number)
                for check in ([FORMAT] if broken else sources)
            }
        add_scores(store, known)
        return store

    return make


def blurred(photos=120, seed=0, cut=0.7, noise=0.03):
    """Photos a person rejects below a sharpness of `cut`, not quite reliably; all marked."""
    random = np.random.default_rng(seed)
    rows, marks = [], []
    for number in range(photos):
        value = float(random.uniform(0.2, 0.9))
        name = f"{number}.jpg"
        rows.append((name, {"sharpness": value}))
        marks.append(Mark(name, value + random.normal(0, noise) > cut))
    return rows, tuple(marks)


def ask(marks, off=(), **settings):
    """By the checks of this module's scores, but for those that are off."""
    return TuneRequest("c", tuple(marks), thresholds=(*OFF, *off), **settings)


def bound(proposal, check):
    return next(each for each in proposal.thresholds if each.check == check)


def test_the_threshold_a_person_has_in_mind_is_found(collection):
    rows, marks = blurred()
    store = collection(rows)
    proposal = tune(store, ask(marks), silent)
    assert bound(proposal, "sharpness").value == pytest.approx(0.7, abs=0.05)
    (sharp,) = [each for each in proposal.checks if each.after.check == "sharpness"]
    assert sharp.low <= 0.7 <= sharp.high
    assert sharp.high - sharp.low < 0.2
    assert sharp.separation > 0.95
    # Nothing was said about the others: they stay.
    default = {each.check: each for each in DEFAULT}
    for each in proposal.thresholds:
        if each.check != "sharpness":
            assert each == default[each.check]
    assert proposal.before.f1.value < proposal.expected.f1.value <= proposal.fitted.f1.value
    assert proposal.gain.low > 0
    assert advice(proposal, None) == []


def test_photos_that_change_sides_are_named_marked_or_not(collection):
    rows, marks = blurred()
    store = collection(rows)
    some = marks[:90]
    proposal = tune(store, ask(some), silent)
    between = {
        name
        for name, differs in rows
        if CHECKS["sharpness"].threshold
        <= differs["sharpness"]
        < bound(proposal, "sharpness").value
    }
    assert {change.source for change in proposal.changes} == between
    assert proposal.change_count == len(between) == proposal.kept_before - proposal.kept_after
    marked = {mark.image: "keep" if mark.keep else "reject" for mark in some}
    for change in proposal.changes:
        assert not change.kept
        assert change.checks == ("sharpness",)
        assert change.mark == marked.get(change.source, "")
    assert any(not change.mark for change in proposal.changes)
    # Those against a mark come first, then those without one.
    order = [(change.mark == "keep", not change.mark) for change in proposal.changes]
    assert order == sorted(order, reverse=True)


def test_the_profile_it_writes_judges_as_it_says(collection, store):
    rows, marks = blurred()
    collection(rows)
    proposal = tune(store, ask(marks), silent)
    again = TuneRequest("c", marks, thresholds=proposal.thresholds)
    second = tune(store, again, silent)
    assert second.kept_before == proposal.kept_after
    assert second.change_count == 0
    assert second.before.f1 == proposal.fitted.f1


def test_several_checks_share_the_work(collection):
    random = np.random.default_rng(1)
    rows, marks = [], []
    for number in range(150):
        kind = number % 3
        differs = {
            "sharpness": random.uniform(0.2, 0.5) if kind == 1 else random.uniform(0.6, 0.9),
            "text": random.uniform(0.03, 0.3) if kind == 2 else random.uniform(0, 0.02),
        }
        rows.append((f"{number}.jpg", differs))
        marks.append(Mark(f"{number}.jpg", kind == 0))
    store = collection(rows)
    proposal = tune(store, ask(tuple(marks)), silent)
    assert proposal.fitted.f1.value == 1
    assert 0.5 <= bound(proposal, "sharpness").value <= 0.6
    assert 0.02 <= bound(proposal, "text").value <= 0.03


def test_a_reason_speaks_for_one_check_alone(collection):
    rows = [(f"{n}.jpg", {"sharpness": 0.7, "text": 0.0}) for n in range(20)]
    rows += [(f"b{n}.jpg", {"sharpness": 0.45, "text": 0.0}) for n in range(20)]
    marks = [
        Mark(name, not name.startswith("b"), "sharpness" * name.startswith("b")) for name, _ in rows
    ]
    store = collection(rows)
    by_check = {each.after.check: each for each in tune(store, ask(tuple(marks)), silent).checks}
    assert by_check["sharpness"].marked == 40
    assert by_check["text"].marked == 20
    assert by_check["text"].curve == ()
    assert by_check["sharpness"].separation == 1


def test_precision_is_held_and_costs_recall(collection):
    rows, marks = blurred(noise=0.15, photos=200)
    store = collection(rows)
    best = tune(store, ask(marks), silent)
    held = tune(store, ask(marks, precision=0.98), silent)
    assert held.fitted.precision.value >= 0.98 > best.fitted.precision.value
    assert held.fitted.recall.value < best.fitted.recall.value
    assert any("may fall below 98%" in sentence for sentence in advice(held, 0.98))
    recalls = [point.recall for point in best.frontier]
    assert recalls == sorted(recalls, reverse=True)
    assert best.frontier[-1].precision > best.frontier[0].precision


def test_few_marks_are_called_few(collection):
    rows, marks = blurred(photos=14, seed=3)
    store = collection(rows)
    proposal = tune(store, ask(marks), silent)
    said = " ".join(advice(proposal, None))
    assert "mark at least 20" in said
    assert proposal.expected.f1.high - proposal.expected.f1.low > 0.1


def test_one_reject_cannot_be_held_back(collection):
    rows = [(f"{n}.jpg", {"sharpness": 0.3 if n == 0 else 0.7}) for n in range(9)]
    marks = tuple(Mark(f"{n}.jpg", n != 0) for n in range(9))
    proposal = tune(collection(rows), ask(marks), silent)
    assert proposal.expected is None
    assert proposal.gain is None
    assert any("single mark" in sentence for sentence in advice(proposal, None))


def test_what_no_check_can_see_is_said(collection):
    rows = [(f"{n}.jpg", {}) for n in range(40)]
    marks = tuple(Mark(f"{n}.jpg", n % 2 == 0) for n in range(40))
    store = collection(rows)
    proposal = tune(store, ask(marks), silent)
    assert proposal.thresholds == DEFAULT
    assert any("do not show that" in sentence for sentence in advice(proposal, None))
    held = tune(store, ask(marks, precision=0.9), silent)
    assert any("No thresholds reach a precision of 90%" in s for s in advice(held, 0.9))


def test_damaged_photos_go_whatever_is_marked(collection):
    rows, marks = blurred(photos=60)
    rows.append(("broken.jpg", {FORMAT: 0}))
    proposal = tune(collection(rows), ask((*marks, Mark("broken.jpg", True))), silent)
    assert proposal.fitted.recall.value < 1
    assert all(change.source != "broken.jpg" for change in proposal.changes)


def test_the_resolution_counts_only_when_it_is_given(collection):
    rows = [(f"{n}.jpg", {"resolution": 300.0 if n % 2 else 900.0}) for n in range(60)]
    marks = tuple(Mark(f"{n}.jpg", n % 2 == 0) for n in range(60))
    store = collection(rows)
    without = tune(store, ask(marks), silent)
    assert "resolution" not in [check.after.check for check in without.checks]
    assert bound(without, "resolution") == Threshold(check="resolution", value=0.8)
    given = tune(store, ask(marks, resolution=256), silent)
    assert 300 / 256 < bound(given, "resolution").value <= 900 / 256


def test_checks_that_are_off_stay_off(collection):
    rows, marks = blurred(photos=60)
    off = (Threshold(check="sharpness", enabled=False, value=0.4),)
    store = collection(rows)
    proposal = tune(store, ask(marks, off), silent)
    assert not bound(proposal, "sharpness").enabled
    every = tuple(
        Threshold(check=check, enabled=False, value=0) for check in CHECKS if check != FORMAT
    )
    with pytest.raises(FailedPrecondition, match="no check on"):
        tune(store, TuneRequest("c", marks, thresholds=every), silent)


def test_mistakes_are_named(store, collection):
    rows, marks = blurred(photos=10)
    with pytest.raises(NotFound, match="collections/none"):
        tune(store, TuneRequest("none", marks), silent)
    collection(rows)
    for change, field in (
        ({"precision": 1.5}, "precision"),
        ({"precision": float("nan")}, "precision"),
        ({"resolution": -1}, "resolution"),
        ({"collection": "C!"}, "collection"),
        ({"profile": "none"}, "profile"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            tune(store, replace(ask(marks), **change), silent)
        assert caught.value.metadata["field"] == field
