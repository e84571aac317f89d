"""What the store says of an experiment, from its begin to its end and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.spec import parse_experiment
from pipelines.steps.ledger import Ledger, earlier, open_ledger
from tagloom.artifacts import layout
from tagloom.artifacts.experiment import Outcome
from tagloom.store import open_store

SPEC = parse_experiment(
    "experiment: cats\ncollect: {hashtag: cats}\nfilter: {resolution: 256}\ntrain: {kimg: 2}\n", "x"
)
OUTCOME = Outcome(
    label="scratch, ada",
    run="runs/r",
    evaluation="evaluations/e",
    best_snapshot="runs/r/snapshots/000002.000",
    kernel_distance=0.5,
    gate_passed=True,
    gate_sentence="It fell.",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_store(str(tmp_path)), SPEC, "inputs", "salt")


def test_only_a_complete_run_of_the_same_inputs_counts(ledger: Ledger) -> None:
    assert ledger.completed() is None
    ledger.begin()
    assert ledger.completed() is None
    ledger.complete("collections/c", "datasets/d", [OUTCOME], "<html>")
    document = ledger.completed()
    assert document is not None
    assert (document.collection, document.dataset) == ("collections/c", "datasets/d")
    assert document.outcomes == (OUTCOME,)
    assert Ledger(ledger.store, SPEC, "others", "salt").completed() is None
    assert Ledger(ledger.store, SPEC, "inputs", "other").completed() is None
    ledger.store.delete(layout.experiment_report("cats"))
    assert ledger.completed() is None


def test_what_ends_without_a_word_is_marked_and_what_was_said_stays(ledger: Ledger) -> None:
    ledger.abandon("Nothing was begun.")
    assert earlier(ledger.store, "cats") is None
    ledger.complete("collections/c", "datasets/d", [OUTCOME], "<html>")
    ledger.abandon("It was complete.")
    assert ledger.completed() is not None
    ledger.begin()
    ledger.abandon("It died.")
    document = earlier(ledger.store, "cats")
    assert document is not None
    assert (document.state, document.error) == ("failed", "It died.")
    assert document.outcomes == (OUTCOME,)  # the last complete run's stay named
    ledger.fail("A better reason.", "", "", [], "")
    ledger.abandon("A worse one.")
    document = earlier(ledger.store, "cats")
    assert document is not None
    assert document.error == "A better reason."


def test_while_it_is_done_again_the_last_complete_one_stays_named(ledger: Ledger) -> None:
    ledger.complete("collections/c", "datasets/d", [OUTCOME], "<html>")
    first = earlier(ledger.store, "cats")
    assert first is not None
    Ledger(ledger.store, SPEC, "others", "salt").begin()
    second = earlier(ledger.store, "cats")
    assert second is not None
    assert (second.state, second.outcomes) == ("running", (OUTCOME,))
    assert second.create_time == first.create_time
    assert second.update_time >= first.update_time


def test_a_failure_keeps_a_page_of_its_own_until_one_succeeds(ledger: Ledger) -> None:
    ledger.complete("collections/c", "datasets/d", [OUTCOME], "<complete>")
    ledger.begin()
    ledger.fail("It broke.", "collections/c", "", [], "<partial>")
    document = earlier(ledger.store, "cats")
    assert document is not None
    assert (document.state, document.error, document.outcomes) == ("failed", "It broke.", ())
    assert ledger.store.get(layout.experiment_report("cats")) == b"<complete>"
    assert ledger.store.get(layout.experiment_partial_report("cats")) == b"<partial>"
    assert ledger.partial_report_url.endswith("/experiments/cats/partial-report.html")
    ledger.complete("collections/c", "datasets/d", [OUTCOME], "<again>")
    assert not ledger.store.exists(layout.experiment_partial_report("cats"))
    assert earlier(ledger.store, "cats").error == ""  # type: ignore[union-attr]


def test_without_a_store_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGLOOM_STORE", raising=False)
    assert open_ledger(SPEC, "", "") is None
