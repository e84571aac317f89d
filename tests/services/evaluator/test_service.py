"""The service over real gRPC: a real server, a real worker process, a real run."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from services.evaluator.service import register
from tagloom.artifacts import layout
from tagloom.artifacts.evaluation import Evaluation
from tagloom.client.clients import Clients, connect
from tagloom.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TagloomError,
)
from tagloom.features.weights import INCEPTION_ENVIRONMENT
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings
from tagloom.store import Store, open_store
from tagloom.v1 import evaluator_pb2 as pb


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def clients(store: Store) -> Iterator[Clients]:
    """One server for all: what takes long is a worker's import of PyTorch."""
    settings = Settings(store=store.url, address="127.0.0.1:0", workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(INCEPTION_ENVIRONMENT, raising=False)
        with (
            BackgroundServer({"evaluator": register}, settings) as server,
            connect(server.address) as clients,
        ):
            yield clients


def test_a_run_is_scored_through_the_service(
    make, store: Store, clients: Clients, tmp_path: Path
) -> None:
    dataset = make.dataset(store, "cats", train=4, held_out=8)
    make.run(store, "r", dataset, {0: make.generator(0), 1.5: make.generator(1)}, tmp_path)
    request = pb.CreateEvaluationRequest(
        evaluation_id="e",
        run="runs/r",
        metrics=[pb.METRIC_RECALL, pb.METRIC_FRECHET],
        samples=8,
        request_id=str(uuid.uuid4()),
    )
    operation = clients.evaluator.CreateEvaluation(request)
    assert operation.name.startswith("operations/evaluator.")
    # The same command again, after Ctrl-C, has a request id of its own.
    again = pb.CreateEvaluationRequest()
    again.MergeFrom(request)
    again.request_id = str(uuid.uuid4())
    assert clients.evaluator.CreateEvaluation(again).name == operation.name
    seen = []
    evaluation = clients.wait(
        operation, pb.Evaluation, on_progress=seen.append, timeout_s=120
    )  # fmt: skip
    assert evaluation.name == "evaluations/e"
    assert [s.kimg for s in evaluation.snapshots] == [0, 1.5]
    assert [score.metric for score in evaluation.snapshots[1].scores] == [
        "frechet_efficientnet_lite0",
        "kernel_efficientnet_lite0",
        "recall_efficientnet_lite0",
    ]
    assert evaluation.snapshots[0].real_count == 8
    assert evaluation.snapshots[0].generated_count == 8
    assert evaluation.gate.sentence
    assert evaluation.held_out
    assert evaluation.features.dimensions == 1280
    assert evaluation.create_time.seconds > 1_700_000_000
    assert seen[-1].target == "evaluations/e"
    # What was sent is what lies in the store.
    stored = Evaluation.load(store, layout.evaluation("e"), "evaluations/e")
    assert evaluation.gate.passed == stored.gate.passed
    kernel = evaluation.snapshots[1].scores[1]
    assert (kernel.low, kernel.value, kernel.high) == (
        stored.snapshots[1].scores[1].low,
        stored.snapshots[1].scores[1].value,
        stored.snapshots[1].scores[1].high,
    )

    assert clients.evaluator.CreateEvaluation(request).name == operation.name  # AIP-155
    assert clients.evaluator.GetEvaluation(
        pb.GetEvaluationRequest(name="evaluations/e")
    ) == evaluation  # fmt: skip
    with pytest.raises(AlreadyExists) as caught:
        clients.evaluator.CreateEvaluation(
            pb.CreateEvaluationRequest(evaluation_id="e", run="runs/r")
        )
    assert caught.value.reason == "RESOURCE_EXISTS"
    clients.evaluator.DeleteEvaluation(pb.DeleteEvaluationRequest(name="evaluations/e"))
    with pytest.raises(NotFound):
        clients.evaluator.GetEvaluation(pb.GetEvaluationRequest(name="evaluations/e"))


def test_folders_are_compared_through_the_service(make, clients: Clients, tmp_path: Path) -> None:
    for name, seed in (("real", 0), ("fake", 1)):
        (tmp_path / name).mkdir()
        for index, tile in enumerate(make.tiles(6, seed=seed)):
            Image.fromarray(tile).save(tmp_path / name / f"{index}.png")
    operation = clients.evaluator.CompareFolders(
        pb.CompareFoldersRequest(
            real_path=str(tmp_path / "real"), generated_path=str(tmp_path / "fake")
        )
    )
    score = clients.wait(operation, pb.SnapshotScore, timeout_s=120)
    assert (score.real_count, score.generated_count) == (6, 6)
    assert [s.metric for s in score.scores] == [
        "frechet_efficientnet_lite0",
        "kernel_efficientnet_lite0",
    ]
    bad = tmp_path / "fake" / "0.png"
    bad.write_text("not an image")
    operation = clients.evaluator.CompareFolders(
        pb.CompareFoldersRequest(
            real_path=str(tmp_path / "real"), generated_path=str(tmp_path / "fake")
        )
    )
    with pytest.raises(InvalidArgument, match=r"0\.png cannot be measured") as caught:
        clients.wait(operation, pb.SnapshotScore, timeout_s=120)
    assert caught.value.reason == "IMAGE_UNREADABLE"


@pytest.fixture(scope="module")
def empty_run(make, store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset = make.dataset(store, "empty", train=1, held_out=0)
    make.run(store, "empty", dataset, {}, tmp_path_factory.mktemp("weights"))


@pytest.mark.usefixtures("empty_run")
@pytest.mark.parametrize(
    ("request_", "error", "reason"),
    [
        (
            pb.CreateEvaluationRequest(evaluation_id="A!", run="runs/empty"),
            InvalidArgument,
            "INVALID_ID",
        ),
        (pb.CreateEvaluationRequest(evaluation_id="e", run="r"), InvalidArgument, "INVALID_NAME"),
        (
            pb.CreateEvaluationRequest(evaluation_id="e", run="runs/empty", samples=-4),
            InvalidArgument,
            "SAMPLES_INVALID",
        ),
        (
            pb.CreateEvaluationRequest(evaluation_id="e", run="runs/empty", metrics=[77]),
            InvalidArgument,
            "METRIC_UNKNOWN",
        ),
        (
            pb.CreateEvaluationRequest(evaluation_id="e", run="runs/none"),
            NotFound,
            "RESOURCE_NOT_FOUND",
        ),
        (
            pb.CreateEvaluationRequest(evaluation_id="e", run="runs/empty"),
            FailedPrecondition,
            "RUN_HAS_NO_SNAPSHOT",
        ),
    ],
)
def test_a_senseless_request_is_refused_at_once(
    clients: Clients,
    request_: pb.CreateEvaluationRequest,
    error: type[TagloomError],
    reason: str,
) -> None:
    before = len(list(clients.list_operations("evaluator")))
    with pytest.raises(error) as caught:
        clients.evaluator.CreateEvaluation(request_)
    assert caught.value.reason == reason
    assert len(list(clients.list_operations("evaluator"))) == before  # nothing was accepted


def test_folders_may_be_restricted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    monkeypatch.setenv("TAGLOOM_FOLDERS", str(tmp_path / "public"))
    settings = Settings(store=store.url, address="127.0.0.1:0", workers=1)
    private = str(tmp_path / "private")
    with (
        BackgroundServer({"evaluator": register}, settings) as server,
        connect(server.address) as clients,
        pytest.raises(PermissionDenied) as caught,
    ):
        clients.evaluator.CompareFolders(
            pb.CompareFoldersRequest(real_path=private, generated_path=private)
        )
    assert caught.value.reason == "FOLDER_NOT_ALLOWED"


def test_pages_of_evaluations(make, store: Store, clients: Clients, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from tagloom.artifacts.evaluation import Features, Gate, SnapshotScore

    for evaluation_id in ("a", "a-b", "b", "c"):
        Evaluation(
            id=evaluation_id,
            create_time=datetime(2026, 11, 22, tzinfo=UTC),
            run="runs/r",
            dataset="datasets/d",
            held_out=True,
            features=Features(
                extractor="efficientnet_lite0", version="1", weights_sha256="0" * 64, dimensions=9
            ),
            snapshots=(SnapshotScore(scores=(), real=1, generated=1, seconds=1),),
            gate=Gate(passed=False, sentence="Failed."),
            best_snapshot="",
        ).create(store, layout.evaluation(evaluation_id), evaluation_id)
    found: list[str] = []
    token = ""
    for size in (2, 1, 5):
        page = clients.evaluator.ListEvaluations(
            pb.ListEvaluationsRequest(page_size=size, page_token=token)
        )
        assert len(page.evaluations) <= size
        found += [evaluation.name.removeprefix("evaluations/") for evaluation in page.evaluations]
        token = page.next_page_token
    assert token == ""
    assert sorted(found) == ["a", "a-b", "b", "c"]
    for bad in (
        pb.ListEvaluationsRequest(page_size=-1),
        pb.ListEvaluationsRequest(page_token="../x"),
    ):
        with pytest.raises(InvalidArgument):
            clients.evaluator.ListEvaluations(bad)


def test_the_server_process_stays_free_of_pytorch() -> None:
    """It starts at once and stays small; PyTorch lives in the workers."""
    code = "import services.evaluator.service, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
