"""The clients against a real server: errors, deadlines, waiting, paging."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path

import echo_service
import pytest
from echo_service import EchoClient
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import StringValue

from tagloom import errors
from tagloom.client import Clients, Credentials, connect
from tagloom.client.channel import _with_request_id
from tagloom.errors import (
    Cancelled,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TagloomError,
    Unauthenticated,
    Unavailable,
)
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings
from tagloom.v1 import filter_pb2, operation_pb2

CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "TagloomError"]


def text(value: str) -> StringValue:
    return StringValue(value=value)


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_arrive_as_the_class_that_was_raised(
    echo: EchoClient, cls: type[TagloomError]
) -> None:
    with pytest.raises(cls, match="It is so") as caught:
        echo.echo(text(f"raise {cls.__name__}"))
    assert type(caught.value) is cls
    assert caught.value.reason == "TEST_REASON"
    assert caught.value.metadata == {"field": "value"}


def test_errors_of_streams_arrive_after_their_messages(echo: EchoClient) -> None:
    answers = echo.repeat(text("fail"))
    assert next(answers).value == "0 fail"
    with pytest.raises(NotFound, match="It ends here"):
        next(answers)
    assert [answer.value for answer in echo.repeat(text("a"))] == ["0 a", "1 a", "2 a"]


def test_a_stream_can_be_cancelled(echo: EchoClient) -> None:
    answers = echo.repeat(text("a"))
    next(answers)
    answers.cancel()
    with pytest.raises(Cancelled):
        list(answers)


def test_every_call_has_a_deadline(server: BackgroundServer) -> None:
    with connect(server.address, Credentials(), timeout_s=0.3) as clients:
        echo = EchoClient(clients.channel("echo"))
        with pytest.raises(Unavailable, match="deadline") as caught:
            echo.echo(text("sleep 20"))
        assert caught.value.reason == "DEADLINE_EXCEEDED"
        assert echo.echo(text("sleep 0.5"), timeout=10).value == "sleep 0.5"


def test_nobody_there_is_one_sentence() -> None:
    with connect("127.0.0.1:1", Credentials()) as clients:
        with pytest.raises(Unavailable, match=r"No server answers at 127\.0\.0\.1:1") as caught:
            EchoClient(clients.channel("echo")).echo(text("a"))
        assert caught.value.reason == "SERVER_UNREACHABLE"


def test_a_service_that_is_not_there_is_one_sentence(clients: Clients) -> None:
    with pytest.raises(FailedPrecondition, match="right service"):
        clients.filter.GetDataset(filter_pb2.GetDatasetRequest(name="datasets/a"))


def test_the_token_is_sent(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path), address="127.0.0.1:0", token="open sesame")
    with BackgroundServer({"echo": echo_service.register}, settings) as server:
        given = Credentials.from_environment({"TAGLOOM_TOKEN": "open sesame"})
        with connect(server.address, given) as clients:
            assert EchoClient(clients.channel("echo")).echo(text("a")).value == "a"
        with connect(server.address, Credentials()) as clients:
            with pytest.raises(Unauthenticated, match="TAGLOOM_TOKEN"):
                EchoClient(clients.channel("echo")).echo(text("a"))
            with pytest.raises(Unauthenticated):
                list(EchoClient(clients.channel("echo")).repeat(text("a")))


def test_targets(server: BackgroundServer) -> None:
    with connect("dns:///{service}.example:1", Credentials()) as clients:
        assert clients.channel("filter") is not clients.channel("trainer")
        assert clients.channel("filter") is clients.channel("filter")
    with connect(server.address, Credentials()) as clients:
        assert clients.channel("filter") is clients.channel("trainer")
    for wrong in ("", "{", "{}:1", "{service", "{other}:1"):
        with pytest.raises(InvalidArgument, match="is not a target"):
            connect(wrong, Credentials())


def test_credentials_that_cannot_be_read() -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        Credentials.from_environment({"TAGLOOM_TOKEN_FILE": "/none"})
    with pytest.raises(InvalidArgument, match="cannot be read"):
        connect("a:1", Credentials(tls_ca="/none")).channel("echo")
    with pytest.raises(InvalidArgument, match="needs its key"):
        connect("a:1", Credentials(tls_client_cert="/none")).channel("echo")


def test_creates_get_a_request_id() -> None:
    request = filter_pb2.CreateDatasetRequest(dataset_id="a")
    sent = _with_request_id(request)
    assert uuid.UUID(sent.request_id).version == 4
    assert request.request_id == ""  # the caller's is left as it is
    assert _with_request_id(sent) is sent
    for other in (filter_pb2.GetDatasetRequest(), text("a")):
        assert _with_request_id(other) is other


# Waiting


def test_wait_returns_the_response_and_tells_progress(clients: Clients, echo: EchoClient) -> None:
    seen: list[operation_pb2.OperationMetadata] = []
    accepted = echo.count("a", units=25, seconds=0.1)
    assert clients.wait(accepted, Struct, on_progress=seen.append)["total"] == sum(range(25))
    assert [metadata.done for metadata in seen] == sorted(metadata.done for metadata in seen)
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == ("succeeded", 25, 25)
    assert len(seen) >= 2
    assert clients.wait(accepted.name, Struct)["name"] == "a"  # by name, as often as one likes


def test_wait_raises_what_the_operation_failed_with(clients: Clients, echo: EchoClient) -> None:
    with pytest.raises(NotFound, match="name another") as caught:
        clients.wait(echo.count("missing"), Struct)
    assert caught.value.reason == "NOTHING"


def test_wait_gives_up_and_the_operation_goes_on(clients: Clients, echo: EchoClient) -> None:
    accepted = echo.count("b", units=1000, seconds=0.05)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="goes on") as caught:
        clients.wait(accepted, Struct, timeout_s=0.5)
    assert time.monotonic() - started < 5
    assert caught.value.reason == "WAIT_TIMED_OUT"
    assert not clients.get_operation(accepted.name).done
    clients.cancel_operation(accepted.name)
    with pytest.raises(Cancelled):
        clients.wait(accepted, Struct)


def test_wait_refuses_another_type(clients: Clients, echo: EchoClient) -> None:
    with pytest.raises(DataLoss, match="expected"):
        clients.wait(echo.count("c"), StringValue)


def test_wait_refuses_what_is_no_name(clients: Clients) -> None:
    with pytest.raises(InvalidArgument, match=r"operations/SERVICE\.ID"):
        clients.wait("counts/a", Struct)


def test_wait_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path), address="127.0.0.1:0", lease_s=60.0, grace_s=6.0)
    services = {"echo": echo_service.register}
    with BackgroundServer(services, settings) as first:
        address = first.address
        clients = connect(address, Credentials())
        accepted = EchoClient(clients.channel("echo")).count("a", units=40, seconds=0.1)
        answers: list[Struct] = []
        running = threading.Event()
        waiting = threading.Thread(
            target=lambda: answers.append(
                clients.wait(accepted, Struct, on_progress=lambda _: running.set())
            )
        )
        waiting.start()
        assert running.wait(20)
    time.sleep(1.0)
    settings = Settings(store=str(tmp_path), address=address, lease_s=60.0, grace_s=6.0)
    with BackgroundServer(services, settings):
        waiting.join(60)
        assert [answer["total"] for answer in answers] == [sum(range(40))]
    clients.close()


def test_wait_loses_patience_with_a_server_that_stays_away(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path), address="127.0.0.1:0")
    with BackgroundServer({"echo": echo_service.register}, settings) as server:
        clients = connect(server.address, Credentials())
        accepted = EchoClient(clients.channel("echo")).count("a", units=1000, seconds=0.05)
    with pytest.raises(Unavailable):
        clients.wait(accepted, Struct, patience_s=0.5)
    clients.close()


def test_listing_goes_through_all_pages(clients: Clients, echo: EchoClient) -> None:
    names = [echo.count(f"list-{index}").name for index in range(5)]
    for name in names:
        clients.wait(name, Struct)
    for size in (0, 1, 2, 5, 100):
        listed = [each.name for each in clients.list_operations("echo", page_size=size)]
        assert [name for name in listed if name in names] == names
    found = clients.list_operations("echo", filter="target = counts/list-3")
    assert [each.name for each in found] == [names[3]]
