"""The service over real gRPC: real servers, real training processes under torchrun."""

from __future__ import annotations

import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from services.trainer.service import register
from tagloom.client.clients import Clients, connect
from tagloom.client.paging import iterate
from tagloom.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tagloom.paging import token_of
from tagloom.rpc import records as operations
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings
from tagloom.store import Store, open_store
from tagloom.v1 import operation_pb2
from tagloom.v1 import trainer_pb2 as pb
from tests.plugins.training_pieces import TINY, write_dataset

PATIENCE_S = 300.0


def options(**changes: Any) -> pb.TrainingOptions:
    values = {**TINY, **changes}
    values["config"] = f"CONFIG_{values['config'].upper().replace('-', '_')}"
    return pb.TrainingOptions(**values)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    write_dataset(store)
    return store


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[BackgroundServer]:
    """One for all: what takes long is the training process's import of PyTorch, twice."""
    settings = Settings(
        store=store.url, address="127.0.0.1:0", metrics_address="127.0.0.1:0", workers=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAGLOOM_TORCH_THREADS", "1")
        with BackgroundServer({"trainer": register}, settings) as server:
            yield server


@pytest.fixture(scope="module")
def clients(server: BackgroundServer) -> Iterator[Clients]:
    with connect(server.address) as clients:
        yield clients


def test_a_run_is_followed_and_stopped(clients: Clients, server: BackgroundServer) -> None:
    request = pb.CreateRunRequest(
        run_id="long",
        dataset="datasets/d",
        options=options(kimg=40.0, snapshot_kimg=20.0),
        request_id=str(uuid.uuid4()),
    )
    operation = clients.trainer.CreateRun(request)
    assert clients.trainer.CreateRun(request).name == operation.name, "asked twice, run twice"
    # The same command again, after Ctrl-C, has a request id of its own.
    again = pb.CreateRunRequest()
    again.MergeFrom(request)
    again.request_id = str(uuid.uuid4())
    assert clients.trainer.CreateRun(again).name == operation.name
    created = clients.trainer.GetRun(pb.GetRunRequest(name="runs/long"))
    assert created.state == pb.Run.STATE_QUEUED
    assert created.options.ada_target == 0.6, "defaults are shown"
    with pytest.raises(AlreadyExists, match="runs/long exists already"):
        clients.trainer.CreateRun(pb.CreateRunRequest(run_id="long", dataset="datasets/d"))
    with pytest.raises(FailedPrecondition, match="being trained already"):
        clients.trainer.ResumeRun(pb.ResumeRunRequest(name="runs/long"))
    with pytest.raises(FailedPrecondition, match="stop it first"):
        clients.trainer.DeleteRun(pb.DeleteRunRequest(name="runs/long"))
    # One training at a time: the second waits, and can be stopped before it was begun.
    waiting = clients.trainer.CreateRun(
        pb.CreateRunRequest(run_id="waiting", dataset="datasets/d", options=options())
    )
    clients.trainer.StopRun(pb.StopRunRequest(name="runs/waiting"))

    scraped: list[str] = []

    def follow(metadata: operation_pb2.OperationMetadata) -> None:
        if metadata.phase == "train" and metadata.done > 0 and not scraped:
            assert metadata.total == 40_000
            scraped.append(scrape(server))
            clients.trainer.StopRun(pb.StopRunRequest(name="runs/long"))

    run = clients.wait(operation, pb.Run, on_progress=follow, timeout_s=PATIENCE_S)
    assert run.state == pb.Run.STATE_STOPPED
    assert 0 < run.images_seen < 40_000
    assert run.images_seen == run.steps * run.options.batch
    assert 'tagloom_training_images_seen{run="long"}' in scraped[0]
    assert 'tagloom_training_images_wanted{run="long"} 40000.0' in scraped[0]
    assert 'tagloom_training_images_seen{run="long"}' not in scrape(server), "outlived its run"
    with pytest.raises(InvalidArgument, match="less than the 40"):
        clients.trainer.ResumeRun(pb.ResumeRunRequest(name="runs/long", kimg=0.01))

    stopped = clients.wait(waiting, pb.Run, timeout_s=PATIENCE_S)
    assert (stopped.state, stopped.attempts) == (pb.Run.STATE_STOPPED, 0)


def test_a_run_is_trained_and_then_trained_longer(clients: Clients) -> None:
    operation = clients.trainer.CreateRun(
        pb.CreateRunRequest(run_id="short", dataset="datasets/d", options=options())
    )
    run = clients.wait(operation, pb.Run, timeout_s=PATIENCE_S)
    assert (run.state, run.images_seen, run.steps) == (pb.Run.STATE_SUCCEEDED, 64, 16)
    with pytest.raises(FailedPrecondition, match=r"trained to its 0\.064 kimg"):
        clients.trainer.ResumeRun(pb.ResumeRunRequest(name="runs/short"))

    operation = clients.trainer.ResumeRun(pb.ResumeRunRequest(name="runs/short", kimg=0.08))
    run = clients.wait(operation, pb.Run, timeout_s=PATIENCE_S)
    assert (run.state, run.images_seen, run.attempts) == (pb.Run.STATE_SUCCEEDED, 80, 2)
    names: list[str] = []
    token = ""
    while True:
        page = clients.trainer.ListSnapshots(
            pb.ListSnapshotsRequest(parent="runs/short", page_size=2, page_token=token)
        )
        names += [snapshot.name for snapshot in page.snapshots]
        if not (token := page.next_page_token):
            break
    assert [name.rsplit("/", 1)[1] for name in names] == [
        f"000000.{images:03d}" for images in (0, 32, 64, 80)
    ]
    ticks = clients.trainer.ListTicks(pb.ListTicksRequest(parent="runs/short")).ticks
    assert [tick.kimg for tick in ticks] == [0.016, 0.032, 0.048, 0.064, 0.08]
    one_by_one = iterate(
        clients.trainer.ListRuns, pb.ListRunsRequest(page_size=1), lambda p: p.runs
    )
    at_once = clients.trainer.ListRuns(pb.ListRunsRequest()).runs
    assert [run.name for run in one_by_one] == sorted(run.name for run in at_once)
    listings: list[tuple[Any, Any]] = [
        (clients.trainer.ListRuns, pb.ListRunsRequest()),
        (clients.trainer.ListSnapshots, pb.ListSnapshotsRequest(parent="runs/short")),
        (clients.trainer.ListTicks, pb.ListTicksRequest(parent="runs/short")),
    ]
    for call, request in listings:
        for bogus in ("%%%bogus", "zzz", "999999", token_of("runs/other/ticks", "000000.016")):
            request.page_token = bogus
            with pytest.raises(InvalidArgument) as caught:
                call(request)
            assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_a_run_that_others_start_from_stays(clients: Clients, store: Store) -> None:
    start = "runs/short/snapshots/000000.064"
    operation = clients.trainer.CreateRun(
        pb.CreateRunRequest(
            run_id="next",
            dataset="datasets/d",
            start=start,
            options=pb.TrainingOptions(kimg=0.008, batch=4),
        )
    )
    run = clients.wait(operation, pb.Run, timeout_s=PATIENCE_S)
    assert (run.start, run.options.channel_max) == (start, 8)
    with pytest.raises(FailedPrecondition, match=f"runs/next starts from {start}"):
        clients.trainer.DeleteRun(pb.DeleteRunRequest(name="runs/short"))
    clients.trainer.DeleteRun(pb.DeleteRunRequest(name="runs/next"))
    clients.trainer.DeleteRun(pb.DeleteRunRequest(name="runs/short"))
    assert not list(store.iterate("runs/short/"))
    with pytest.raises(NotFound, match="runs/short"):
        clients.trainer.GetRun(pb.GetRunRequest(name="runs/short"))


def test_a_run_whose_server_died_before_it_entered_it_is_trained(
    clients: Clients, store: Store
) -> None:
    """Killed between accepting and entering: nothing but the record is left, of one attempt."""
    request = pb.CreateRunRequest(
        run_id="orphan", dataset="datasets/d", options=options(kimg=0.008, snapshot_kimg=0.008)
    )
    record = operations.Record(
        service="trainer",
        id=operations.new_id(),
        method="CreateRun",
        target="runs/orphan",
        request=operations.pack(request),
        state=operations.State.RUNNING,
        attempts=1,
        create_time=operations.now(),
        update_time=operations.now(),
    )
    store.put(operations.record_key(record.service, record.id), record.to_json())
    run = clients.wait(record.to_operation(), pb.Run, timeout_s=PATIENCE_S)
    assert (run.name, run.state, run.images_seen) == ("runs/orphan", pb.Run.STATE_SUCCEEDED, 8)


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        ({"run_id": "Bad Id"}, InvalidArgument, "run_id 'Bad Id' is not valid"),
        ({"dataset": "datasets/nothing"}, NotFound, "datasets/nothing"),
        ({"dataset": "d"}, InvalidArgument, "write datasets/ID"),
        ({"start": "networks/nothing"}, NotFound, "There is no networks/nothing"),
        ({"options": options(kimg=0)}, InvalidArgument, "kimg is 0"),
        ({"options": options(batch=64)}, FailedPrecondition, "has 12 training images"),
        ({"options": options(batch=6)}, InvalidArgument, "a multiple of 4"),
        ({"request_id": "not-a-uuid"}, InvalidArgument, "UUID"),
    ],
)
def test_wrong_requests_are_refused_at_once_and_leave_nothing(
    clients: Clients, store: Store, request_: dict[str, Any], error: Any, words: str
) -> None:
    request = {"run_id": "wrong", "dataset": "datasets/d", "options": options(), **request_}
    with pytest.raises(error, match=words):
        clients.trainer.CreateRun(pb.CreateRunRequest(**request))
    assert not list(store.iterate("runs/wrong/"))
    with pytest.raises(NotFound, match="There is no runs/wrong"):
        clients.trainer.StopRun(pb.StopRunRequest(name="runs/wrong"))
    with pytest.raises(NotFound, match="There is no runs/wrong"):
        clients.trainer.DeleteRun(pb.DeleteRunRequest(name="runs/wrong"))


def scrape(server: BackgroundServer) -> str:
    assert server.server is not None
    port = server.server.metrics_port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
