"""Durable operations, through a real server and a real store."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import echo_service
import grpc
import pytest
from echo_service import EchoClient, Serve
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.struct_pb2 import Struct
from google.rpc import code_pb2

from tagloom.errors import DataLoss, InvalidArgument
from tagloom.rpc import records
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.errors import from_rpc_error, from_status
from tagloom.rpc.job import Job
from tagloom.rpc.service import Kit
from tagloom.rpc.settings import Settings
from tagloom.store import Store, open_store
from tagloom.store.lease import acquire
from tagloom.v1 import operation_pb2


class Operations:
    """The google.longrunning.Operations of a server, plainly."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = operations_pb2_grpc.OperationsStub(channel)

    def wait(self, name: str, seconds: float = 20) -> operations_pb2.Operation:
        request = operations_pb2.WaitOperationRequest(name=name)
        request.timeout.FromMilliseconds(round(seconds * 1000))
        answer: operations_pb2.Operation = self.stub.WaitOperation(request, timeout=seconds + 5)
        return answer

    def get(self, name: str) -> operations_pb2.Operation:
        answer: operations_pb2.Operation = self.stub.GetOperation(
            operations_pb2.GetOperationRequest(name=name)
        )
        return answer

    def list(self, **fields: Any) -> operations_pb2.ListOperationsResponse:
        answer: operations_pb2.ListOperationsResponse = self.stub.ListOperations(
            operations_pb2.ListOperationsRequest(**fields)
        )
        return answer

    def cancel(self, name: str) -> None:
        self.stub.CancelOperation(operations_pb2.CancelOperationRequest(name=name))

    def delete(self, name: str) -> None:
        self.stub.DeleteOperation(operations_pb2.DeleteOperationRequest(name=name))

    def until(self, name: str, phase: str) -> operation_pb2.OperationMetadata:
        """Poll until the operation is in this phase, with some of it done."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            metadata = metadata_of(self.get(name))
            if metadata.phase == phase and (metadata.done or phase == "queued"):
                return metadata
            time.sleep(0.05)
        raise AssertionError(f"{name} never came to {phase}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operations")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[BackgroundServer]:
    """One server for all tests that need none of their own; each counts under its own name."""
    settings = Settings(store=str(folder), address="127.0.0.1:0", grace_s=6.0, workers=2)
    with BackgroundServer({"echo": echo_service.register}, settings) as running:
        yield running


@pytest.fixture(scope="module")
def store(server: BackgroundServer, folder: Path) -> Store:
    return open_store(str(folder))


@pytest.fixture(scope="module")
def channel(server: BackgroundServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def operations(channel: grpc.Channel) -> Operations:
    return Operations(channel)


def metadata_of(operation: operations_pb2.Operation) -> operation_pb2.OperationMetadata:
    metadata = operation_pb2.OperationMetadata()
    assert operation.metadata.Unpack(metadata)
    return metadata


def total_of(operation: operations_pb2.Operation) -> float:
    assert operation.done, operation
    assert not operation.HasField("error"), operation.error
    response = Struct()
    assert operation.response.Unpack(response)
    return float(response["total"])


def traces(store: Store, name: str) -> list[str]:
    """Units in the order of their doing; one that was done twice is there twice."""
    found = [info.key.rpartition("/")[2] for info in store.iterate(f"counts/{name}/traces/")]
    return [trace.partition("-")[0] for trace in found]


@contextlib.contextmanager
def refused(code: grpc.StatusCode, reason: str) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() is code
    assert from_rpc_error(caught.value).reason == reason


# The ordinary life


def test_an_operation_runs_and_keeps_its_result(
    echo: EchoClient, operations: Operations, store: Store
) -> None:
    accepted = echo.count("plain", units=5)
    assert not accepted.done
    metadata = metadata_of(accepted)
    assert (metadata.method, metadata.target, metadata.phase) == ("Count", "counts/plain", "queued")
    done = operations.wait(accepted.name)
    assert total_of(done) == 0 + 1 + 2 + 3 + 4
    metadata = metadata_of(done)
    assert (metadata.phase, metadata.done, metadata.total) == ("succeeded", 5, 5)
    assert metadata.last_message == "counted"
    assert (metadata.fence, metadata.owner != "") == (1, True)
    assert operations.get(accepted.name) == done
    assert traces(store, "plain") == ["0000", "0001", "0002", "0003", "0004"]


def test_progress_and_its_eta_are_seen_while_it_runs(
    echo: EchoClient, operations: Operations
) -> None:
    name = echo.count("eta", units=40, seconds=0.1).name
    end = time.monotonic() + 15
    while not (metadata := metadata_of(operations.get(name))).HasField("eta"):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert metadata.phase == "count"
    assert 0 < metadata.done < metadata.total == 40
    assert 0 < metadata.eta.ToMilliseconds() < 10_000
    operations.cancel(name)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("missing", code_pb2.NOT_FOUND, "NOTHING"),
        ("crash", code_pb2.INTERNAL, "WORKER_CRASHED"),
        ("die", code_pb2.INTERNAL, "WORKER_DIED"),
    ],
)
def test_failures_are_kept_with_their_reason(
    echo: EchoClient, operations: Operations, name: str, code: int, reason: str
) -> None:
    failed = operations.wait(echo.count(name).name)
    assert failed.done
    assert failed.error.code == code
    assert from_status(failed.error).reason == reason
    assert "secret" not in failed.error.message
    assert metadata_of(failed).phase == "failed"
    assert (
        total_of(operations.wait(echo.count(f"after-{name}").name)) == 3
    )  # the next one is not harmed


def test_waiting_ends_with_its_timeout_or_the_deadline(
    echo: EchoClient, operations: Operations
) -> None:
    name = echo.count("timeout", units=100, seconds=0.1).name
    started = time.monotonic()
    assert not operations.wait(name, seconds=0.3).done
    assert time.monotonic() - started < 3
    request = operations_pb2.WaitOperationRequest(name=name)
    request.timeout.seconds = 600
    assert not operations.stub.WaitOperation(request, timeout=2).done
    operations.cancel(name)


# AIP-155


def test_the_same_request_id_gives_the_same_operation(
    echo: EchoClient, operations: Operations, store: Store
) -> None:
    request_id = str(uuid.uuid4())
    first = echo.count("same-id", request_id=request_id)
    assert echo.count("same-id", request_id=request_id).name == first.name
    done = operations.wait(first.name)
    again = echo.count("same-id", request_id=request_id)
    assert again == done  # though a new request would be refused now
    with refused(grpc.StatusCode.ALREADY_EXISTS, "COUNTED"):
        echo.count("same-id", request_id=str(uuid.uuid4()))
    assert len(traces(store, "same-id")) == 3


def test_racing_requests_with_one_id_are_one_operation(
    echo: EchoClient, operations: Operations, store: Store
) -> None:
    request_id = str(uuid.uuid4())
    names: list[str] = []
    racers = [
        threading.Thread(
            target=lambda: names.append(echo.count("race", request_id=request_id).name)
        )
        for _ in range(16)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(names) == 16
    assert len(set(names)) == 1
    operations.wait(names[0])
    assert len(traces(store, "race")) == 3
    found = [each for each in records.iterate(store) if each.target == "counts/race"]
    assert len(found) == 1


def test_a_request_id_cannot_stand_for_two_requests(echo: EchoClient) -> None:
    request_id = str(uuid.uuid4())
    echo.count("reused", request_id=request_id)
    with refused(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        echo.count("b", request_id=request_id)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_INVALID"):
        echo.count("reused", request_id="tomorrow")


def test_a_server_that_died_between_claim_and_record_is_made_good(
    echo: EchoClient, operations: Operations, store: Store
) -> None:
    request_id = str(uuid.uuid4())
    first = operations.wait(echo.count("claim", request_id=request_id).name)
    # As if the record had never been written, and so nothing been done.
    store.delete("counts/claim/manifest.json")
    store.delete(records.record_key(*records.parse_name(first.name)))
    again = echo.count("claim", request_id=request_id)
    assert again.name == first.name
    assert total_of(operations.wait(again.name)) == total_of(first)


# Cancelling and deleting


def test_a_running_operation_is_cancelled(
    echo: EchoClient, operations: Operations, store: Store
) -> None:
    name = echo.count("cancelled", units=1000, seconds=0.05).name
    operations.until(name, "count")
    started = time.monotonic()
    operations.cancel(name)
    ended = operations.wait(name)
    assert time.monotonic() - started < 3
    assert ended.error.code == code_pb2.CANCELLED
    assert metadata_of(ended).phase == "cancelled"
    done = len(traces(store, "cancelled"))
    assert 0 < done < 1000
    time.sleep(0.3)
    assert len(traces(store, "cancelled")) == done  # it really stopped
    operations.cancel(name)  # nothing to do any more, and no error


def test_one_that_does_not_listen_is_cancelled_all_the_same(serve: Serve) -> None:
    with serve(grace_s=1.0) as server, grpc.insecure_channel(server.address) as channel:
        operations = Operations(channel)
        name = EchoClient(channel).count("deaf").name
        end = time.monotonic() + 10
        while metadata_of(operations.get(name)).phase == "queued":
            assert time.monotonic() < end
            time.sleep(0.05)
        operations.cancel(name)
        assert operations.wait(name).error.code == code_pb2.CANCELLED


def test_one_in_the_queue_is_cancelled_at_once(serve: Serve) -> None:
    with serve(max_operations=1) as server, grpc.insecure_channel(server.address) as channel:
        echo, operations = EchoClient(channel), Operations(channel)
        first = echo.count("a", units=1000, seconds=0.05).name
        operations.until(first, "count")
        second = echo.count("b").name
        assert metadata_of(operations.wait(second, 0.3)).phase == "queued"
        operations.cancel(second)
        ended = operations.get(second)
        assert ended.done
        assert ended.error.code == code_pb2.CANCELLED
        operations.cancel(first)


def test_as_many_run_at_once_as_allowed_and_the_rest_follow(serve: Serve, tmp_path: Path) -> None:
    with serve(max_operations=2) as server, grpc.insecure_channel(server.address) as channel:
        echo, operations = EchoClient(channel), Operations(channel)
        names = [echo.count(f"n{index}", units=4, seconds=0.1).name for index in range(5)]
        seen = set()
        while not operations.get(names[-1]).done:
            states = [operations.get(name) for name in names]
            running = [o for o in states if not o.done and metadata_of(o).phase != "queued"]
            seen.add(len(running))
            time.sleep(0.03)
        assert max(seen) == 2
        assert [total_of(operations.wait(name)) for name in names] == [6.0] * 5


def test_only_finished_operations_can_be_deleted(
    echo: EchoClient, operations: Operations, store: Store
) -> None:
    name = echo.count("deleted", units=100, seconds=0.05).name
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "OPERATION_NOT_DONE"):
        operations.delete(name)
    operations.cancel(name)
    operations.wait(name)
    operations.delete(name)
    with refused(grpc.StatusCode.NOT_FOUND, "OPERATION_NOT_FOUND"):
        operations.get(name)
    with refused(grpc.StatusCode.NOT_FOUND, "OPERATION_NOT_FOUND"):
        operations.cancel(name)
    assert not store.exists(records.record_key(*records.parse_name(name)))


@pytest.mark.parametrize("name", ["", "operations/", "operations/echo", "operations/a.b/c", "x"])
def test_names_that_are_none(operations: Operations, name: str) -> None:
    for method in (operations.get, operations.cancel, operations.delete, operations.wait):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "OPERATION_NAME_INVALID"):
            method(name)


# Listing


@pytest.fixture
def empty(serve: Serve) -> Iterator[tuple[EchoClient, Operations]]:
    """A server whose store holds no operations yet."""
    with serve() as server, grpc.insecure_channel(server.address) as channel:
        yield EchoClient(channel), Operations(channel)


def test_listing_pages_and_filters(empty: tuple[EchoClient, Operations]) -> None:
    echo, operations = empty
    names = [echo.count(f"n{index}").name for index in range(5)]
    for name in names:
        operations.wait(name)
    failed = operations.wait(echo.count("missing").name).name
    found, token = [], ""
    while True:
        page = operations.list(name="operations", page_size=2, page_token=token)
        assert len(page.operations) <= 2
        found += [operation.name for operation in page.operations]
        token = page.next_page_token
        if not token:
            break
    assert found == [*names, failed]  # oldest first
    for text, expected in [
        ("done = true", [*names, failed]),
        ("done=false", []),
        ('state = failed AND target = "counts/missing"', [failed]),
        ("service = echo AND method = Count AND target = counts/n3", [names[3]]),
        ("service = other", []),
    ]:
        page = operations.list(filter=text)
        assert [operation.name for operation in page.operations] == expected, text
    assert len(operations.list(name="operations/echo").operations) == 6


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"page_size": -1}, "PAGE_SIZE_INVALID"),
        ({"page_token": "rubbish"}, "PAGE_TOKEN_INVALID"),
        ({"filter": "name = x"}, "FILTER_INVALID"),
        ({"filter": "done = true OR done = false"}, "FILTER_INVALID"),
    ],
)
def test_lists_that_cannot_be(operations: Operations, fields: dict[str, Any], reason: str) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, reason):
        operations.list(**fields)


def test_a_page_token_belongs_to_its_filter(echo: EchoClient, operations: Operations) -> None:
    for index in range(3):
        operations.wait(echo.count(f"n{index}").name)
    token = operations.list(filter="done = true", page_size=1).next_page_token
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        operations.list(filter="done = false", page_size=1, page_token=token)


# Servers come and go


def test_a_server_that_stops_hands_its_work_to_the_next(serve: Serve, tmp_path: Path) -> None:
    with serve(lease_s=60.0) as server, grpc.insecure_channel(server.address) as channel:
        name = EchoClient(channel).count("a", units=30, seconds=0.05).name
        Operations(channel).until(name, "count")
        waiting = threading.Thread(target=lambda: _ignore(Operations(channel).wait, name))
        waiting.start()
        started = time.monotonic()
    assert time.monotonic() - started < 5  # nobody's waiting kept it
    waiting.join()
    store = open_store(str(tmp_path / "store"))
    (key,) = (info.key for info in store.iterate("operations/"))
    left = records.Record.from_json(store.get(key), key)
    assert (left.state, left.attempts) == (records.State.QUEUED, 0)
    assert 0 < len(traces(store, "a")) < 30
    # The lease would have lasted a minute: it was given back.
    with serve(lease_s=60.0) as server, grpc.insecure_channel(server.address) as channel:
        done = Operations(channel).wait(name)
        assert total_of(done) == sum(range(30))
        assert metadata_of(done).fence == 2
    assert traces(store, "a") == [f"{unit:04d}" for unit in range(30)]


def test_two_servers_share_one_queue(serve: Serve, tmp_path: Path) -> None:
    with (
        serve(max_operations=1) as one,
        serve(max_operations=1) as two,
        grpc.insecure_channel(one.address) as channel_one,
        grpc.insecure_channel(two.address) as channel_two,
    ):
        echo = EchoClient(channel_one)
        names = [echo.count(f"n{index}", units=10, seconds=0.1).name for index in range(4)]
        done = [Operations(channel_two).wait(name) for name in names]  # asked of the other one
        assert [total_of(each) for each in done] == [45.0] * 4
        assert len({metadata_of(each).owner for each in done}) == 2
    store = open_store(str(tmp_path / "store"))
    for index in range(4):
        assert len(traces(store, f"n{index}")) == 10


def test_what_a_draining_server_accepts_another_does(serve: Serve, tmp_path: Path) -> None:
    """Balancers send calls to a server for some seconds after it was told to end: none may be lost,
    and none begun there only to be broken off."""
    with serve(drain_s=2.0) as old, grpc.insecure_channel(old.address) as channel:
        stopper = threading.Thread(target=old.stop)
        stopper.start()
        time.sleep(0.5)
        accepted = EchoClient(channel).count("late", units=3)
        time.sleep(0.5)
        assert metadata_of(Operations(channel).get(accepted.name)).phase == "queued"
        stopper.join()
    with serve() as new, grpc.insecure_channel(new.address) as channel:
        assert total_of(Operations(channel).wait(accepted.name)) == 3
    assert traces(open_store(str(tmp_path / "store")), "late") == ["0000", "0001", "0002"]


@pytest.mark.minio
def test_operations_live_on_s3_as_well(serve: Serve, s3_url: str) -> None:
    request_id = str(uuid.uuid4())
    with serve(store=s3_url) as server, grpc.insecure_channel(server.address) as channel:
        name = EchoClient(channel).count("a", units=30, seconds=0.02, request_id=request_id).name
        Operations(channel).until(name, "count")
    with serve(store=s3_url) as server, grpc.insecure_channel(server.address) as channel:
        assert total_of(Operations(channel).wait(name)) == sum(range(30))
        assert EchoClient(channel).count("a", 30, 0.02, request_id).name == name
        assert [each.name for each in Operations(channel).list().operations] == [name]
    done = traces(open_store(s3_url), "a")
    assert len(set(done)) == 30
    assert len(done) <= 31


def test_an_operation_that_kills_its_servers_ends(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    record = _record(store, name="a", attempts=1000)
    with serve() as server, grpc.insecure_channel(server.address) as channel:
        ended = Operations(channel).wait(record.name)
    assert from_status(ended.error).reason == "ATTEMPTS_EXHAUSTED"
    assert traces(store, "a") == []


def test_a_cancel_outlives_the_server_it_was_asked_of(serve: Serve, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    record = _record(store, name="a", state=records.State.RUNNING, cancel_requested=True)
    with serve() as server, grpc.insecure_channel(server.address) as channel:
        assert Operations(channel).wait(record.name).error.code == code_pb2.CANCELLED
    assert traces(store, "a") == []


def test_damaged_records_do_not_stop_the_others(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(str(tmp_path / "store"))
    good = _record(store, name="a")
    fields = json.loads(good.to_json())
    rubbish = {
        "000-empty": b"",
        "000-text": b"not json",
        "000-old": json.dumps(fields | {"schema_version": 0}).encode(),
        "000-alien": json.dumps(fields | {"id": "000-alien", "method": "Unheard"}).encode(),
        "000-request": json.dumps(
            fields | {"id": "000-request", "request": {"@type": "type.googleapis.com/x.Y"}}
        ).encode(),
    }
    for name, data in rubbish.items():
        store.put(records.record_key("echo", name), data)
    with (
        caplog.at_level(logging.WARNING, "tagloom"),
        serve() as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        operations = Operations(channel)
        assert total_of(operations.wait(good.name)) == 3
        with refused(grpc.StatusCode.DATA_LOSS, "OPERATION_DAMAGED"):
            operations.get("operations/echo.000-text")
        failed = operations.wait("operations/echo.000-request")
        assert from_status(failed.error).reason == "OPERATION_DAMAGED"
        listed = [operation.name for operation in operations.list().operations]
        assert good.name in listed
        assert "operations/echo.000-alien" in listed
    assert "000-text" in caplog.text
    assert "no handler for Unheard" in caplog.text
    for name in ("000-empty", "000-text", "000-old"):
        assert store.get(records.record_key("echo", name)) == rubbish[name]  # left as they are


def test_a_record_that_was_taken_over_refuses_the_late_owner(serve: Serve, tmp_path: Path) -> None:
    """The lease and the record are both somebody else's while the job runs."""
    with serve() as server, grpc.insecure_channel(server.address) as channel:
        echo, operations = EchoClient(channel), Operations(channel)
        store = open_store(str(tmp_path / "store"))
        name = echo.count("a", units=1000, seconds=0.02).name
        operations.until(name, "count")
        key = records.lease_key(*records.parse_name(name))
        document = json.loads(store.get(key))
        document |= {"owner": "somebody else", "fence": 7}
        store.put(key, json.dumps(document).encode())

        def take(record: records.Record) -> bool:
            record.fence, record.owner = 7, "somebody else"
            return True

        records.swap(store, *records.parse_name(name), take)
        time.sleep(1.0)
        done = len(traces(store, "a"))
        time.sleep(0.5)
        assert len(traces(store, "a")) == done  # the worker's writes are refused
        metadata = metadata_of(operations.get(name))
        assert (metadata.owner, metadata.fence) == ("somebody else", 7)
        # That owner never gives a sign of life: after its lease, the server takes it (back).
        operations.cancel(name)
        assert metadata_of(operations.wait(name)).fence == 8


def test_the_outcome_of_a_late_owner_is_refused_by_the_record(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing but the record's fencing number tells it: its lease is as it was."""
    with (
        caplog.at_level(logging.WARNING, "tagloom"),
        serve() as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        operations = Operations(channel)
        name = EchoClient(channel).count("idle", units=20, seconds=0.1).name
        operations.until(name, "count")

        def take(record: records.Record) -> bool:
            record.fence, record.owner = 7, "somebody else"
            return True

        records.swap(open_store(str(tmp_path / "store")), *records.parse_name(name), take)
        metadata = metadata_of(operations.wait(name))
    assert "taken over by another server" in caplog.text
    assert (metadata.fence, metadata.owner == "somebody else") == (7, False)  # done anew


# Records


def test_records_survive_their_own_json() -> None:
    record = _unstored(name="a", eta_s=1.5, response=records.pack(Struct()))
    assert records.Record.from_json(record.to_json(), "k") == record


def test_a_record_of_an_unknown_message_type_is_said_to_be(tmp_path: Path) -> None:
    record = _unstored(name="a", response={"@type": "type.googleapis.com/no.Such", "a": 1})
    with pytest.raises(DataLoss, match="does not know"):
        record.to_operation()
    with pytest.raises(DataLoss, match=r"google\.protobuf\.Struct"):
        record.unpack_request(operation_pb2.OperationMetadata)


def _newer(record: records.Record) -> dict[str, Any]:
    """The record as a server of a later version writes it."""
    document: dict[str, Any] = json.loads(record.to_json())
    document["priority"] = {"class": "low", "rank": 2**70, "finish": None}
    document["wait"] = {"reason": "QUOTA", "quota": 3.5}
    return document


def test_what_a_newer_server_wrote_survives_an_older_ones_change(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    record = _unstored(name="a")
    key = records.record_key(record.service, record.id)
    written = _newer(record)
    store.put(key, json.dumps(written).encode())

    def advance(record: records.Record) -> bool:
        record.done = 7
        return True

    changed = records.swap(store, record.service, record.id, advance)
    assert metadata_of(changed.to_operation()).wait.reason == "QUOTA"
    kept = json.loads(store.get(key))
    assert (kept["done"], kept["priority"]) == (7, written["priority"])
    assert kept["wait"]["quota"] == 3.5
    assert kept.keys() == written.keys()


def test_a_newer_servers_operation_is_done_and_its_fields_stay(
    store: Store, operations: Operations
) -> None:
    record = _unstored(name="newer")
    written = _newer(record)
    store.put(records.record_key(record.service, record.id), json.dumps(written).encode())
    assert total_of(operations.wait(record.name)) == 3
    kept = json.loads(store.get(records.record_key(record.service, record.id)))
    assert (kept["state"], kept["priority"]) == ("succeeded", written["priority"])
    assert kept["wait"] is None  # the owner's own word


def test_a_newer_claim_of_a_request_id_is_read() -> None:
    claim = records.RequestRecord(service="echo", operation_id="1", method="Count", fingerprint="f")
    newer = json.dumps(json.loads(claim.to_json()) | {"caller": "somebody"}).encode()
    assert records.RequestRecord.from_json(newer, "id") == claim


def test_another_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    record = _unstored(name="a")
    key = records.record_key(record.service, record.id)
    data = json.dumps(_newer(record) | {"schema_version": 2}).encode()
    store.put(key, data)
    with pytest.raises(DataLoss, match="left as it is"):
        records.swap(store, record.service, record.id, lambda record: True)
    assert store.get(key) == data


def test_a_request_with_more_than_this_version_knows_is_left_to_a_newer_one() -> None:
    packed = records.pack(operation_pb2.OperationMetadata(method="Count"))
    for asked in (packed | {"deadline": "1s"}, packed | {"wait": {"reason": "x", "quota": 1}}):
        record = _unstored(name="a", request=asked)
        assert record.asks_for_more_than(operation_pb2.OperationMetadata)
    for asked in (packed, packed | {"phase": 3}, {"@type": "type.googleapis.com/no.Such"}):
        record = _unstored(name="a", request=asked)
        assert not record.asks_for_more_than(operation_pb2.OperationMetadata)
    assert not _unstored(name="a").asks_for_more_than(Struct)


def test_a_server_takes_no_request_that_it_would_do_by_half(tmp_path: Path) -> None:
    """Unless it is to be cancelled: that, every version knows."""
    begun: list[str] = []

    async def work(request: operation_pb2.OperationMetadata, job: Job) -> Struct:
        begun.append(request.method)
        return Struct()

    def register(kit: Kit) -> None:
        kit.operations.handle("Work", operation_pb2.OperationMetadata, Struct, work)

    store = open_store(str(tmp_path))
    known = records.pack(operation_pb2.OperationMetadata(method="known"))
    newer = records.pack(operation_pb2.OperationMetadata(method="newer")) | {"deadline": "1s"}
    first = _record(store, name="a", method="Work", request=newer)
    second = _record(store, name="b", method="Work", request=known)
    settings = Settings(store=str(tmp_path), address="127.0.0.1:0", grace_s=2.0)
    with (
        BackgroundServer({"echo": register}, settings) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        operations = Operations(channel)
        assert operations.wait(second.name).done  # the queue is not held up
        assert records.read(store, "echo", first.id)[0].state is records.State.QUEUED
        operations.cancel(first.name)
        assert operations.wait(first.name).error.code == code_pb2.CANCELLED
        assert begun == ["known"]


def test_ids_sort_by_age() -> None:
    ids = []
    for _ in range(5):
        ids.append(records.new_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    for each in ids:
        assert records.parse_name(f"operations/echo.{each}") == ("echo", each)


def test_parse_name_refuses() -> None:
    with pytest.raises(InvalidArgument, match=r"operations/SERVICE\.ID"):
        records.parse_name("operations/a")


def test_swap_loses_no_update(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    record = _record(store, name="a")

    def add_one(record: records.Record) -> bool:
        record.done += 1
        return True

    def work() -> None:
        for _ in range(10):
            records.swap(store, record.service, record.id, add_one)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records.read(store, record.service, record.id)[0].done == 40


def _unstored(name: str, **fields: Any) -> records.Record:
    request = Struct()
    request.update({"name": name, "units": 3, "seconds": 0})
    now = records.now()
    defaults: dict[str, Any] = {
        "service": "echo",
        "id": records.new_id(),
        "method": "Count",
        "request": records.pack(request),
        "create_time": now,
        "update_time": now,
    }
    return records.Record(**defaults | fields)


def _record(store: Store, name: str, **fields: Any) -> records.Record:
    """A record as a server that is gone left it."""
    record = _unstored(name, **fields)
    store.put(records.record_key(record.service, record.id), record.to_json())
    lease = acquire(store, records.lease_key(record.service, record.id), "gone", 1.0)
    lease.release()
    return record


def _ignore(function: Any, *args: Any) -> None:
    with contextlib.suppress(grpc.RpcError):
        function(*args)
