"""One server process: listening, health, protection, limits, draining. Real sockets throughout."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import echo_service
import grpc
import pytest
import trustme
from echo_service import EchoClient, Serve
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.rpc import server as rpc_server
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.logs import JsonFormatter
from tagloom.rpc.server import Server
from tagloom.rpc.service import Kit
from tagloom.rpc.settings import Settings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def text(value: str) -> StringValue:
    return StringValue(value=value)


def health(channel: grpc.Channel, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status)


def wait_until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def reason(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    status = rpc_status.from_call(error.value)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


# Calls


def test_all_kinds_of_calls_pass_through(echo: EchoClient) -> None:
    assert echo.echo(text("hello")).value == "hello"
    assert [answer.value for answer in echo.repeat(text("a"))] == ["0 a", "1 a", "2 a"]
    assert echo.join(text(part) for part in "abc").value == "abc"


def test_an_error_in_a_stream_arrives_after_its_messages(echo: EchoClient) -> None:
    answers = echo.repeat(text("fail"))
    assert next(answers).value == "0 fail"
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert (caught.value.code(), reason(caught)) == (grpc.StatusCode.NOT_FOUND, "TEST_REASON")


def test_a_deliberate_error_carries_its_reason(echo: EchoClient) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        echo.echo(text("raise ResourceExhausted"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(caught) == "TEST_REASON"


def test_an_unexpected_error_tells_nothing(
    echo: EchoClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.RpcError) as caught:
        echo.echo(text("crash password 1234"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "1234" not in str(caught.value)
    assert "password 1234" in caplog.text


def test_a_call_without_a_deadline_gets_one(serve: Serve) -> None:
    with serve(deadline_s=0.3) as server, grpc.insecure_channel(server.address) as channel:
        echo = EchoClient(channel)
        with pytest.raises(grpc.RpcError) as caught:
            echo.echo(text("sleep 30"))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert reason(caught) == "DEADLINE_EXCEEDED"
        assert echo.echo(text("sleep 0.5"), timeout=10).value  # one of its own wins


def test_messages_are_limited_both_ways(serve: Serve) -> None:
    with (
        serve(max_message_mib=1) as server,
        grpc.insecure_channel(server.address, [("grpc.max_send_message_length", -1)]) as channel,
    ):
        echo = EchoClient(channel)
        assert echo.echo(text("x" * 900_000)).value
        with pytest.raises(grpc.RpcError) as caught:
            echo.echo(text("x" * 2_000_000))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_request_id_is_kept_logged_and_returned(
    echo: EchoClient, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonFormatter().format(record)))

    handler = Keep()
    logger = logging.getLogger("tagloom")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "tagloom"):
            _, call = echo.echo.with_call(text("a"), metadata=(("x-request-id", "abc-1"),))
            assert dict(call.trailing_metadata())["x-request-id"] == "abc-1"
            with pytest.raises(grpc.RpcError) as caught:
                echo.echo(text("raise NotFound"), metadata=(("x-request-id", "no spaces"),))
            given = dict(caught.value.trailing_metadata())["x-request-id"]
            wait_until(lambda: len(lines) >= 2)
    finally:
        logger.removeHandler(handler)
    assert given != "no spaces"
    first, second = (line for line in lines if "grpc_code" in line)
    assert (first["request_id"], first["grpc_code"], first["grpc_method"]) == (
        "abc-1",
        "OK",
        "Echo",
    )
    assert (second["request_id"], second["grpc_code"]) == (given, "NOT_FOUND")
    assert first["seconds"] >= 0
    assert first["severity"] == "INFO"
    assert first["time"].endswith("Z")


def test_an_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/tagloom.test.Echo/Nothing")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_bytes_that_are_no_message_are_said_to_be(channel: grpc.Channel) -> None:
    unary: Any = channel.unary_unary("/tagloom.test.Echo/Echo")
    streaming: Any = channel.unary_stream("/tagloom.test.Echo/Repeat")
    joining: Any = channel.stream_unary("/tagloom.test.Echo/Join")
    for call in (
        lambda: unary(b"\x0a\x01\xff", timeout=10),
        lambda: list(streaming(b"\xff", timeout=10)),
        lambda: joining(iter([b"", b"\xff"]), timeout=10),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason(caught) == "REQUEST_MALFORMED"


def answers_during(echo: EchoClient, order: str) -> int:
    """How many other calls, one after the other, are answered while this one is worked on."""
    working = echo.echo.future(text(order), timeout=120)
    answers = 0
    while not working.done():
        assert echo.echo(text("a"), timeout=120).value == "a"
        answers += 1
    assert working.result().value == order
    return answers


def test_the_loop_answers_while_processors_work(echo: EchoClient) -> None:
    echo.echo(text("pid"), timeout=60)  # a worker process is there
    # In processor time, so that neither side of the comparison depends on who else is busy.
    assert answers_during(echo, "burn 1.0") >= 20
    assert answers_during(echo, "block 1.0") <= 5, "this test would not see a blocked loop"


# Health, reflection, metrics


def test_services_become_ready_and_liveness_is_the_empty_name(channel: grpc.Channel) -> None:
    assert health(channel, "") == SERVING
    wait_until(lambda: health(channel, echo_service.SERVICE) == SERVING)
    assert health(channel, "google.longrunning.Operations") == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health(channel, "nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_not_ready_while_the_store_does_not_answer(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagloom.rpc.server._READY_INTERVAL_S", 0.2)
    with serve() as server, grpc.insecure_channel(server.address) as channel:
        wait_until(lambda: health(channel, echo_service.SERVICE) == SERVING)
        store = tmp_path / "store"
        (tmp_path / "store").rename(tmp_path / "away")
        store.write_text("a file where the folder was")
        wait_until(lambda: health(channel, echo_service.SERVICE) == NOT_SERVING, 15)
        assert health(channel, "") == SERVING  # alive: a restart would not help
        store.unlink()
        (tmp_path / "away").rename(store)
        wait_until(lambda: health(channel, echo_service.SERVICE) == SERVING, 15)


def test_an_unforeseen_error_ends_neither_the_watch_nor_the_closing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tagloom.rpc.server._READY_INTERVAL_S", 0.2)
    opened = rpc_server.open_store
    broken = threading.Event()

    def open_store(*arguments: Any, **options: Any) -> Any:
        if broken.is_set():
            raise RuntimeError("nobody thought of this")
        return opened(*arguments, **options)

    monkeypatch.setattr("tagloom.rpc.server.open_store", open_store)
    closed: list[str] = []

    async def closes() -> None:
        closed.append("one")

    async def fails() -> None:
        raise RuntimeError("it would not close")

    with serve() as server, grpc.insecure_channel(server.address) as channel:
        wait_until(lambda: health(channel, echo_service.SERVICE) == SERVING)
        broken.set()
        wait_until(lambda: health(channel, echo_service.SERVICE) == NOT_SERVING)
        broken.clear()
        wait_until(lambda: health(channel, echo_service.SERVICE) == SERVING)
        assert server.server is not None
        for closer in (closes, fails):  # the last one first
            server.server._kits[0].on_close(closer)
    assert closed == ["one"]
    assert "nobody thought of this" in caplog.text
    assert "the echo service did not close cleanly" in caplog.text
    assert "it would not close" in caplog.text


def test_reflection_lists_and_describes_services(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) >= {
        echo_service.SERVICE,
        "google.longrunning.Operations",
        "grpc.health.v1.Health",
    }
    file = database.FindFileContainingSymbol("google.longrunning.Operations")
    assert "WaitOperation" in {method.name for method in file.service[0].method}


def test_reflection_can_be_left_out(serve: Serve) -> None:
    with serve(reflection=False) as server, grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(channel).get_services()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_metrics_are_scraped_over_http(serve: Serve) -> None:
    with serve(metrics_address="127.0.0.1:0") as server:
        with grpc.insecure_channel(server.address) as channel:
            echo = EchoClient(channel)
            echo.echo(text("a"))
            with pytest.raises(grpc.RpcError):
                echo.echo(text("raise NotFound"))
            list(echo.repeat(text("a")))
            echo.join(text(part) for part in "abc")
        assert server.server is not None
        port = server.server.metrics_port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            page = answer.read().decode()
    service = f'grpc_service="{echo_service.SERVICE}"'
    unary = f'grpc_method="Echo",{service},grpc_type="unary"'
    assert f"grpc_server_started_total{{{unary}}} 2.0" in page
    assert f'grpc_server_handled_total{{grpc_code="OK",{unary}}} 1.0' in page
    assert f'grpc_server_handled_total{{grpc_code="NOT_FOUND",{unary}}} 1.0' in page
    assert f"grpc_server_handling_seconds_count{{{unary}}} 2.0" in page
    stream = f'grpc_method="Repeat",{service},grpc_type="server_stream"'
    assert f"grpc_server_msg_sent_total{{{stream}}} 3.0" in page
    stream = f'grpc_method="Join",{service},grpc_type="client_stream"'
    assert f"grpc_server_msg_received_total{{{stream}}} 3.0" in page
    assert "process_resident_memory_bytes" in page


# Protection


def test_a_token_is_asked_for_on_every_call(serve: Serve) -> None:
    with serve(token="open sesame", health_address="127.0.0.1:0") as server:
        with grpc.insecure_channel(server.address) as channel:
            echo = EchoClient(channel)
            for metadata, expected in [
                ((), "TOKEN_MISSING"),
                ((("authorization", "Bearer wrong"),), "TOKEN_INVALID"),
                ((("authorization", "open sesame"),), "TOKEN_INVALID"),
            ]:
                with pytest.raises(grpc.RpcError) as caught:
                    echo.echo(text("a"), metadata=metadata)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert reason(caught) == expected
            with pytest.raises(grpc.RpcError):
                list(echo.repeat(text("a")))
            with pytest.raises(grpc.RpcError):
                health(channel, "")
            right = (("authorization", "Bearer open sesame"),)
            assert echo.echo(text("a"), metadata=right).value == "a"
        # A kubelet can say neither: health alone is also to be had without.
        assert server.server is not None
        with grpc.insecure_channel(f"127.0.0.1:{server.server.health_port}") as plain:
            wait_until(lambda: health(plain, echo_service.SERVICE) == SERVING)
            with pytest.raises(grpc.RpcError) as caught:
                EchoClient(plain).echo(text("a"))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """PEM files of a CA, a server and a client, and of a stranger's CA."""
    authority, stranger = trustme.CA(), trustme.CA()
    issued = {"server": authority.issue_cert("127.0.0.1"), "client": authority.issue_cert("me")}
    files = {"ca": tmp_path / "ca.pem", "strange_ca": tmp_path / "strange.pem"}
    authority.cert_pem.write_to_path(str(files["ca"]))
    stranger.cert_pem.write_to_path(str(files["strange_ca"]))
    for name, certificate in issued.items():
        files[f"{name}_cert"] = tmp_path / f"{name}.pem"
        files[f"{name}_key"] = tmp_path / f"{name}.key"
        certificate.private_key_pem.write_to_path(str(files[f"{name}_key"]))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(files[f"{name}_cert"]), append=True)
    return {name: str(path) for name, path in files.items()}


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def test_tls(serve: Serve, certificates: dict[str, str]) -> None:
    settings = {"tls_cert": certificates["server_cert"], "tls_key": certificates["server_key"]}
    with serve(**settings) as server:
        trusted = grpc.ssl_channel_credentials(read(certificates["ca"]))
        with grpc.secure_channel(server.address, trusted) as channel:
            assert EchoClient(channel).echo(text("a"), timeout=5).value == "a"
        strange = grpc.ssl_channel_credentials(read(certificates["strange_ca"]))
        with grpc.secure_channel(server.address, strange) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                EchoClient(channel).echo(text("a"), timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError):
            EchoClient(channel).echo(text("a"), timeout=5)


def test_mutual_tls(serve: Serve, certificates: dict[str, str]) -> None:
    settings = {
        "tls_cert": certificates["server_cert"],
        "tls_key": certificates["server_key"],
        "tls_client_ca": certificates["ca"],
    }
    with serve(**settings) as server:
        ours = grpc.ssl_channel_credentials(
            read(certificates["ca"]),
            read(certificates["client_key"]),
            read(certificates["client_cert"]),
        )
        with grpc.secure_channel(server.address, ours) as channel:
            assert EchoClient(channel).echo(text("a"), timeout=5).value == "a"
        nobody = grpc.ssl_channel_credentials(read(certificates["ca"]))
        with grpc.secure_channel(server.address, nobody) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                EchoClient(channel).echo(text("a"), timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_other_machines_are_not_served_unprotected(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="--insecure") as caught:
        serve(address="0.0.0.0:0").__enter__()
    assert caught.value.reason == "ADDRESS_UNPROTECTED"
    for protection in ({"token": "a"}, {"insecure": True}):
        with serve(address="0.0.0.0:0", **protection):
            pass


# Failing to start


def test_a_port_in_use_is_one_sentence(serve: Serve) -> None:
    with serve() as first:
        with pytest.raises(FailedPrecondition, match="Stop the other program") as caught:
            serve(address=first.address).__enter__()
        assert caught.value.reason == "ADDRESS_IN_USE"
        with grpc.insecure_channel(first.address) as channel:
            assert EchoClient(channel).echo(text("still here")).value
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(FailedPrecondition, match="Metrics cannot be served"):
            serve(metrics_address=address).__enter__()


def test_tls_files_that_are_missing_or_rubbish(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        serve(tls_cert="/none.pem", tls_key="/none.key").__enter__()
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(InvalidArgument, match="PEM"):
        serve(tls_cert=str(rubbish), tls_key=str(rubbish)).__enter__()


def test_no_service_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="No service"):
        Server({}, Settings())


# Draining


def test_draining_tells_lets_calls_end_and_refuses_new_ones(serve: Serve) -> None:
    with serve(drain_s=0.5) as server, grpc.insecure_channel(server.address) as channel:
        echo = EchoClient(channel)
        wait_until(lambda: health(channel, echo_service.SERVICE) == SERVING)
        seen: list[int] = []
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=echo_service.SERVICE)
        )
        slow = echo.echo.future(text("sleep 1.5"), timeout=20)
        seen.append(next(watch).status)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        seen.append(next(watch).status)
        assert seen == [SERVING, NOT_SERVING]
        assert echo.echo(text("during the pause")).value  # balancers may not know yet
        assert slow.result().value == "sleep 1.5"
        watch.cancel()
        stopper.join()
        with pytest.raises(grpc.RpcError) as caught:
            echo.echo(text("too late"), timeout=3)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_closers_run_last_in_first_out(tmp_path: Path) -> None:
    closed: list[str] = []

    def register(kit: Kit) -> None:
        async def close(name: str) -> None:
            closed.append(name)
            if name == "second":
                raise RuntimeError("one that fails does not keep the other from its turn")

        kit.on_close(lambda: close("first"))
        kit.on_close(lambda: close("second"))

    settings = Settings(store=str(tmp_path), address="127.0.0.1:0")
    with BackgroundServer({"echo": register}, settings):
        pass
    assert closed == ["second", "first"]


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    async def body() -> None:
        server = Server(
            {"echo": echo_service.register}, Settings(store=str(tmp_path), address="127.0.0.1:0")
        )
        await server.start()
        await server.stop()
        await server.stop()

    asyncio.run(body())
