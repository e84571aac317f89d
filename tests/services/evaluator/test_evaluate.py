"""A whole run is scored, once, against what was held out of its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from services.evaluator.evaluate import evaluate_run
from services.evaluator.requests import EvaluationRequest, check_evaluation
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.evaluation import Evaluation
from tagloom.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from tagloom.features.weights import INCEPTION_ENVIRONMENT
from tagloom.networks.build import build_generator
from tagloom.store import Store

FRECHET, KERNEL = "frechet_efficientnet_lite0", "kernel_efficientnet_lite0"


@pytest.fixture(autouse=True)
def no_inception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INCEPTION_ENVIRONMENT, raising=False)


@pytest.fixture
def dataset(make, store: Store) -> Dataset:
    return make.dataset(store, "cats", train=4, held_out=8)


def fitted(generator: torch.nn.Module, tiles: list[np.ndarray]) -> torch.nn.Module:
    """The generator after 20 steps toward these photos: a blur of them, but nearer than noise."""
    target_NCHW = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2) / 127.5 - 1
    draws = [np.random.RandomState(seed).randn(1, 16) for seed in range(len(tiles))]
    z_NZ = torch.from_numpy(np.concatenate(draws)).float()
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        (generator(z_NZ, None, noise_mode="const") - target_NCHW).square().mean().backward()
        optimizer.step()
    return generator


def request(evaluation_id: str = "e", run: str = "runs/r", **more) -> EvaluationRequest:
    return EvaluationRequest(evaluation_id=evaluation_id, run=run, **({"samples": 8} | more))


def test_a_run_that_came_nearer_passes(make, store: Store, tmp_path: Path) -> None:
    dataset = make.dataset(store, "cats", train=4, held_out=24)
    generators = {0: make.generator(0), 2: fitted(make.generator(0), make.tiles(24, seed=1))}
    make.run(store, "r", dataset, generators, tmp_path)
    told: list[tuple[str, int, int]] = []
    evaluation = evaluate_run(
        store,
        request(samples=24, metrics=("recall", "frechet", "precision")),
        lambda phase, done, total, message="": told.append((phase, done, total)),
    )
    assert [s.kimg for s in evaluation.snapshots] == [0, 2]
    assert evaluation.snapshots[1].snapshot == "runs/r/snapshots/000002.000"
    for scored in evaluation.snapshots:
        assert [score.metric for score in scored.scores] == [
            FRECHET, KERNEL, "precision_efficientnet_lite0", "recall_efficientnet_lite0",
        ]  # fmt: skip
        assert (scored.real, scored.generated) == (24, 24)
        assert scored.seconds > 0
        assert all(score.low <= score.value <= score.high for score in scored.scores)
        kernel = scored.scores[1]
        assert kernel.low < kernel.value < kernel.high
    assert evaluation.held_out
    assert evaluation.features.extractor == "efficientnet_lite0"
    assert len(evaluation.features.weights_sha256) == 64
    values = [s.scores[1].value for s in evaluation.snapshots]
    assert values[1] < values[0]
    assert evaluation.gate.passed, evaluation.gate.sentence
    assert evaluation.best_snapshot == "runs/r/snapshots/000002.000"
    assert Evaluation.load(store, layout.evaluation("e"), "evaluations/e") == evaluation
    scores = [entry for entry in told if entry[0] == "score"]
    assert scores[0] == ("score", 0, 48)
    assert scores[-1] == ("score", 48, 48)
    assert [done for _, done, _ in scores] == sorted(done for _, done, _ in scores)


def test_a_run_that_learned_nothing_fails(make, store, dataset, tmp_path) -> None:
    """Learning rate 0: every snapshot has the start's weights."""
    make.run(store, "r", dataset, {k: make.generator(0) for k in (0, 1, 2)}, tmp_path)
    evaluation = evaluate_run(store, request())
    assert [score.metric for score in evaluation.snapshots[0].scores] == [FRECHET, KERNEL]
    assert evaluation.snapshots[0].scores == evaluation.snapshots[2].scores
    assert not evaluation.gate.passed
    assert "not below the start's" in evaluation.gate.sentence
    assert evaluation.best_snapshot == "runs/r/snapshots/000000.000"


def test_asking_again_gives_the_same_evaluation(make, store, dataset, tmp_path) -> None:
    make.run(store, "r", dataset, {0: make.generator(0), 1: make.generator(1)}, tmp_path)
    first = evaluate_run(store, request())
    etag = store.head(layout.evaluation("e")).etag
    assert evaluate_run(store, request()) == first
    assert store.head(layout.evaluation("e")).etag == etag
    with pytest.raises(AlreadyExists):
        evaluate_run(store, request(samples=9))
    assert store.head(layout.evaluation("e")).etag == etag


def test_stopped_work_goes_on_at_the_snapshot_it_was_at(make, store, dataset, tmp_path) -> None:
    make.run(store, "r", dataset, {k: make.generator(k) for k in (0, 1, 2)}, tmp_path)
    whole = evaluate_run(store, request("whole"))
    for info in list(store.iterate("statistics/")):
        store.delete(info.key)

    def stop_in_the_second(phase: str, done: int, total: int, message: str = "") -> None:
        if phase == "score" and done > 8:
            raise Cancelled("Stop.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        evaluate_run(store, request(), stop_in_the_second)
    assert not store.exists(layout.evaluation("e"))
    durable = {i.key: i.etag for i in store.iterate("statistics/") if i.key.endswith(".json")}
    assert len(durable) == 1
    evaluation = evaluate_run(store, request())
    # The first snapshot's scores are those that were kept, seconds included; the rest is new.
    assert all(store.head(key).etag == etag for key, etag in durable.items())
    assert [s.scores for s in evaluation.snapshots] == [s.scores for s in whole.snapshots]
    assert evaluation.gate == whole.gate


def test_without_held_out_images_it_says_so(make, store, tmp_path) -> None:
    dataset = make.dataset(store, "few", train=4, held_out=0)
    make.run(store, "r", dataset, {0: make.generator(0), 1: make.generator(0)}, tmp_path)
    evaluation = evaluate_run(store, request(samples=0))
    assert not evaluation.held_out
    assert evaluation.snapshots[0].real == 4
    assert evaluation.snapshots[0].generated == 40  # ten per real image
    assert "none were held out" in evaluation.gate.sentence


def test_the_start_network_is_scored_when_no_snapshot_of_it_was_kept(
    make, store, dataset, tmp_path
) -> None:
    make.run(store, "source", dataset, {5: make.generator(0)}, tmp_path)
    run = make.run(store, "r", dataset, {1: make.generator(1)}, tmp_path)
    start = run.model_copy(update={"start": "runs/source/snapshots/000005.000"})
    store.put(layout.run_document("r"), start.to_bytes())
    evaluation = evaluate_run(store, request())
    assert [(s.snapshot, s.kimg) for s in evaluation.snapshots] == [
        ("runs/source/snapshots/000005.000", 0),
        ("runs/r/snapshots/000001.000", 1),
    ]


def test_what_cannot_be_scored_is_refused_before_any_work(make, store, dataset, tmp_path) -> None:
    with pytest.raises(NotFound):
        check_evaluation(store, request())
    make.run(store, "r", dataset, {}, tmp_path)
    with pytest.raises(FailedPrecondition) as caught:
        check_evaluation(store, request())
    assert caught.value.reason == "RUN_HAS_NO_SNAPSHOT"
    for bad in (
        request("Not An Id"),
        request(run="networks/r"),
        request(samples=-1),
        request(samples=3),
        request(samples=10**7),
    ):
        with pytest.raises(InvalidArgument):
            check_evaluation(store, bad)
    assert not list(store.iterate("statistics/"))


def test_too_few_real_images_a_changed_dataset_and_unknown_features(make, store, tmp_path) -> None:
    few = make.dataset(store, "few", train=8, held_out=3)
    make.run(store, "r", few, {0: make.generator(0)}, tmp_path)
    with pytest.raises(FailedPrecondition, match="There are 3 images") as caught:
        evaluate_run(store, request())
    assert caught.value.reason == "TOO_FEW_IMAGES"
    changed = few.model_copy(update={"content_sha256": "f" * 64})
    store.put(layout.dataset_manifest("few"), changed.to_bytes())
    with pytest.raises(FailedPrecondition) as caught:
        evaluate_run(store, request())
    assert caught.value.reason == "DATASET_CHANGED"
    # A takedown leaves what is held out where it was.
    taken_down = changed.model_copy(update={"former_content": (few.content_sha256,)})
    store.put(layout.dataset_manifest("few"), taken_down.to_bytes())
    with pytest.raises(FailedPrecondition) as caught:
        evaluate_run(store, request())
    assert caught.value.reason == "TOO_FEW_IMAGES"
    other = make.dataset(store, "other", train=4, held_out=4)
    make.run(store, "s", other, {0: make.generator(0)}, tmp_path)
    with pytest.raises(InvalidArgument, match="no feature extractor 'clip'"):
        evaluate_run(store, request(run="runs/s", features="clip"))
    with pytest.raises(FailedPrecondition, match=INCEPTION_ENVIRONMENT):
        evaluate_run(store, request(run="runs/s", features="inception_v3"))
    assert not store.exists(layout.evaluation("e"))


def test_equivariance_of_a_stylegan3_run_and_of_no_other(make, store, dataset, tmp_path) -> None:
    run = make.run(store, "r", dataset, {0: make.generator(0)}, tmp_path)
    with pytest.raises(FailedPrecondition, match="runs/r trains stylegan2") as caught:
        check_evaluation(store, request(metrics=("eqr",)))
    assert caught.value.reason == "METRIC_NEEDS_STYLEGAN3"
    generator = build_generator(
        "stylegan3-t", resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=4
    )
    make.snapshot(store, "s", 0, generator.eval(), tmp_path)
    options = run.options.model_copy(update={"config": "stylegan3-t"})
    other = run.model_copy(update={"id": "s", "options": options})
    other.create(store, layout.run_document("s"), "runs/s")
    told: list[tuple[int, int]] = []
    evaluation = evaluate_run(
        store,
        request(run="runs/s", samples=4, metrics=("eqr", "eqt_int")),
        lambda phase, done, total, message="": told.append((done, total)),
    )
    scores = {score.metric: score.value for score in evaluation.snapshots[0].scores}
    assert list(scores) == [KERNEL, "eqt_int", "eqr"]
    assert scores["eqt_int"] > scores["eqr"] > 0
    assert told[-1] == (8, 8)


def test_a_run_on_labels_is_scored_with_the_mixture_of_its_dataset(
    make, store: Store, tmp_path: Path
) -> None:
    generators = {2: make.generator(3, c_dim=3)}
    values = {}
    for name, labels, conditional in (
        ("one", [2] * 8, True),
        ("mixed", [0, 1, 2, 0, 1, 2, 0, 1], True),
        ("same", [0, 1, 2, 0, 1, 2, 0, 1], True),
        ("turn", [0, 1, 2, 0, 1, 2, 0, 1], False),
    ):
        dataset = make.dataset(store, name, train=8, held_out=8, labels=labels)
        make.run(store, name, dataset, generators, tmp_path, conditional)
        evaluation = evaluate_run(store, request(name, run=f"runs/{name}"))
        values[name] = evaluation.snapshots[0].scores[0].value
    assert values["mixed"] == values["same"]
    assert len({values["one"], values["mixed"], values["turn"]}) == 3
