"""Scores on the way: the best snapshot stays, patience ends, gamma is chosen by what was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.trainer import records
from services.trainer.convert import run_message, snapshot_message
from services.trainer.loop import Interrupted, train
from services.trainer.options import RequestedOptions, plan_run
from services.trainer.ranks import Ranks
from services.trainer.runs import continuing, get_run
from services.trainer.selection import (
    best_snapshot,
    is_exhausted,
    read_snapshots,
    remove_superfluous,
    score_rises,
)
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Run, Snapshot, TrainingScore
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.progress import silent
from tagloom.store import Store


def score(value: float) -> TrainingScore:
    return TrainingScore(
        metric="kid", value=value, low=value, high=value, generated=16, real=16, held_out=True
    )


def snapshot(kimg: float, value: float | None) -> Snapshot:
    return Snapshot(
        run="runs/r",
        id=layout.snapshot_id(kimg),
        create_time=now(),
        kimg=kimg,
        architecture="stylegan2",
        resolution=16,
        generator={},
        discriminator={},
        weights_sha256="",
        score=None if value is None else score(value),
    )


def snapshots(*values: float | None) -> list[Snapshot]:
    return [snapshot(float(kimg), value) for kimg, value in enumerate(values)]


def test_the_lowest_score_is_the_best_and_the_earliest_of_equals() -> None:
    best = best_snapshot(snapshots(3.0, None, 1.0, 1.0, 2.0))
    assert best is not None
    assert best.kimg == 2
    assert best_snapshot(snapshots(None, None)) is None


@pytest.mark.parametrize(
    ("values", "patience", "since", "exhausted"),
    [
        ((3, 2, 1), 1, 0, False),
        ((3, 1, 2), 1, 0, True),
        ((3, 1, 2), 2, 0, False),
        ((3, 1, 2, None), 2, 0, False),  # not scored (an interruption's): does not count
        ((3, 1, 2, None, 2), 2, 0, True),
        ((1, 2, 3, 4), 3, 0, True),
        ((1, 2, 3, 4), 0, 0, False),  # off
        ((1, 2, 3, 4), 2, 3, False),  # asked to go on at 3: patience is new
        ((1, 2, 3, 4, 5, 6), 2, 3, True),
        ((None, None, None), 1, 0, False),
    ],
)
def test_patience(values: Any, patience: int, since: float, exhausted: bool) -> None:
    assert is_exhausted(snapshots(*values), patience, since_kimg=since) is exhausted


@pytest.mark.parametrize(
    ("values", "rises"),
    [
        ([], 0),
        ([1.0], 0),
        ([2.0, 1.0], 0),
        ([1.0, 2.0, 3.0], 2),
        ([9.0, 1.0, 2.0, 2.0, 3.0], 1),
        ([1.0, None, 2.0, 3.0], 2),
        ([1.0, 2.0, 3.0, 2.5], 0),
    ],
)
def test_how_often_the_score_rose_in_a_row(values: Any, rises: int) -> None:
    assert score_rises(snapshots(*values)) == rises


def test_superfluous_snapshots_go_and_needed_ones_stay(
    store: Store, make_run: Callable[..., Run]
) -> None:
    run = make_run("r")
    for entry in snapshots(5.0, 4.0, 1.0, 3.0, 3.0, 3.0, 3.0):
        for key in (layout.snapshot_weights, layout.snapshot_samples, layout.snapshot_manifest):
            store.put(key("r", entry.id), entry.to_bytes())
    other = run.model_copy(update={"id": "other", "start": "runs/r/snapshots/000003.000"})
    other.create(store, layout.run_document("other"), "runs/other")
    for _ in range(2):
        remove_superfluous(store, "r", keep=2)
        kept = read_snapshots(store, "r", until_kimg=9)
        assert [entry.kimg for entry in kept] == [0, 2, 3, 5, 6]
        assert len(list(store.iterate("runs/r/snapshots/"))) == 3 * 5
    assert [entry.kimg for entry in read_snapshots(store, "r", until_kimg=2)] == [0, 2]


def test_a_run_that_does_not_get_better_ends_early_and_can_be_continued(
    store: Store, make_run: Callable[..., Run], make_dataset: Callable[..., Dataset]
) -> None:
    """Nothing is learnt at these rates: all snapshots are alike, and the first is the best."""
    make_dataset(store, held_out=16)
    make_run(
        "r",
        patience=2,
        keep_snapshots=1,
        score_samples=16,
        g_learning_rate=0.0,
        d_learning_rate=0.0,
        snapshot_kimg=0.008,
        path_length_weight=0.0,
    )
    train(store, "r", silent)
    run = records.read_run(store, "r")
    assert run.state == "succeeded"
    assert run.message == (
        "Stopped early at 0.016 of 0.064 kimg: 2 snapshots in a row were not better than "
        "runs/r/snapshots/000000.000."
    )
    view = get_run(store, "runs/r")
    assert run_message(view).best_snapshot == "runs/r/snapshots/000000.000"
    assert view.progress is not None
    assert view.progress.snapshot_score is not None
    kept = read_snapshots(store, "r", until_kimg=1)
    assert [entry.kimg for entry in kept] == [0, 0.016]
    shown = snapshot_message(kept[0]).score
    assert (shown.generated, shown.real, shown.held_out) == (16, 16, True)
    assert shown.low <= shown.value <= shown.high
    assert shown.metric == "kernel_efficientnet_lite0"

    continuing("operations/trainer.x", 0.08)(store, run)
    train(store, "r", silent)
    run = records.read_run(store, "r")
    assert run.message.startswith("Stopped early at 0.032 of 0.08 kimg")


def test_gamma_is_chosen_by_trials_that_outlive_the_process(
    store: Store, make_run: Callable[..., Run], make_dataset: Callable[..., Dataset]
) -> None:
    make_dataset(store, held_out=16)
    options = {"gamma_auto": True, "gamma_trial_kimg": 0.008, "score_samples": 16, "kimg": 0.016}
    heuristic = make_run("r", **options).options.r1_gamma
    trained: list[str] = []

    def tell(phase: str, done: int, total: int, message: str = "") -> None:
        if phase == "gamma":
            trained.append(message)

    with pytest.raises(Interrupted, match="Trial 2 of 3"):
        train(store, "r", tell, stop=lambda: len(trained) == 4)
    run = records.read_run(store, "r")
    assert (run.state, len(run.gamma_trials)) == ("queued", 1)
    assert trained[-1].endswith("0.004 of 0.008 kimg.")
    first = run.gamma_trials[0]
    assert [info.key for info in store.iterate("runs/r/state/")] == []
    assert list(store.iterate("runs/r/trials/1/")) == []

    train(store, "r", tell)
    run = records.read_run(store, "r")
    assert run.state == "succeeded"
    assert run.gamma_trials[0].score == first.score, "the first trial was not repeated"
    # Nothing twice, but for the word of where the second one was interrupted, and went on.
    assert [message.partition(",")[0] for message in trained].count("Trial 1 of 3") == 2
    assert [message.partition(",")[0] for message in trained].count("Trial 2 of 3") == 3
    assert trained[4] == trained[3]
    assert list(store.iterate("runs/r/trials/")) == []
    whole = make_run("whole", **options)
    train(store, "whole", silent)
    trials = records.read_run(store, whole.id).gamma_trials
    assert [trial.score for trial in trials] == [trial.score for trial in run.gamma_trials]
    assert [t.r1_gamma / heuristic for t in run.gamma_trials] == [0.25, 1, 4]
    (chosen,) = [trial for trial in run.gamma_trials if trial.chosen]
    assert chosen.score.value == min(trial.score.value for trial in run.gamma_trials)
    assert run.options.r1_gamma == chosen.r1_gamma
    message = run_message(get_run(store, "runs/r"))
    assert [trial.chosen for trial in message.gamma_trials].count(True) == 1
    assert message.gamma_trials[0].score.metric == "kernel_efficientnet_lite0"

    make_run("several", **options)
    with pytest.raises(FailedPrecondition, match="one process makes alone"):
        train(store, "several", silent, ranks=Ranks(rank=0, size=2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patience": -1}, "patience is -1, but should be at least 0"),
        ({"patience": 1, "score_samples": 3}, "score_samples is 3, but should be 0 or at least 16"),
        ({"keep_states": -1}, "keep_states is -1, but should be at least 1"),
        ({"keep_snapshots": -1}, "keep_snapshots is -1"),
        ({"gamma_auto": True, "gamma_trial_kimg": 99.0}, r"from 0\.004 \(a batch\) to 0\.064"),
        ({"gamma_trial_kimg": 0.01}, "left out, because r1_gamma is not chosen by trials"),
    ],
)
def test_wrong_options(
    store: Store,
    make_dataset: Callable[..., Dataset],
    tiny: dict[str, Any],
    options: Any,
    words: str,
) -> None:
    make_dataset(store)
    with pytest.raises(InvalidArgument, match=words):
        plan_run(store, "r", "datasets/d", "", RequestedOptions(**tiny, **options))
