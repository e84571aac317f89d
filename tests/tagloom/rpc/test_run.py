"""The server as a program: flags, signals, exit codes, one sentence on stderr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import echo_server
import grpc
import pytest
from click.testing import CliRunner
from echo_service import EchoClient
from google.protobuf.wrappers_pb2 import StringValue

from tagloom.cli.app import main as tagloom
from tagloom.rpc.run import run
from tagloom.rpc.service import Register


def start(*flags: str, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(echo_server.__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, echo_server.__file__, "--address", "127.0.0.1:0", *flags],
        env={**os.environ, "PYTHONPATH": path, "TAGLOOM_LOG_FORMAT": "text", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def until_serving(process: subprocess.Popen[str]) -> str:
    """Read the log to where it serves; the address."""
    assert process.stderr is not None
    for line in process.stderr:
        if "serving echo at " in line:
            return line.strip().rpartition(" ")[2]
    raise AssertionError("it never served")


def test_sigterm_drains_and_exits_0(tmp_path: Path) -> None:
    with start("--store", str(tmp_path)) as process:
        address = until_serving(process)
        with grpc.insecure_channel(address) as channel:
            call = EchoClient(channel).echo.future(StringValue(value="sleep 1"), timeout=30)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert call.result().value == "sleep 1"  # what was under way is answered
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "draining" in log
    assert log.strip().endswith("stopped")


def test_a_second_signal_cuts_the_drain_short(tmp_path: Path) -> None:
    with start("--store", str(tmp_path), "--grace-s", "60") as process:
        address = until_serving(process)
        with grpc.insecure_channel(address) as channel:
            call = EchoClient(channel).echo.future(StringValue(value="sleep 50"), timeout=55)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            assert call.code() is not grpc.StatusCode.OK
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"address": "nowhere"}, "host:port"),
        ({"address": "0.0.0.0:0"}, "--insecure"),
        ({"address": "192.0.2.1:0"}, "--insecure"),
        ({"address": "192.0.2.1:50051", "insecure": True}, "another address"),
        ({"store": "ftp://x"}, "store"),
        ({"workers": -1}, "0 or more"),
        ({"tls_cert": "a.pem"}, "--tls-key"),
    ],
)
def test_what_cannot_be_served_exits_1_with_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], given: dict[str, object], words: str
) -> None:
    services: dict[str, Register] = {"echo": lambda kit: None}
    assert run(services, {"store": str(tmp_path), "address": "127.0.0.1:0"} | given) == 1
    (line,) = capfd.readouterr().err.splitlines()  # nothing of gRPC's own before it
    assert words in line


def test_flags_are_documented_and_unknown_services_refused() -> None:
    command = [sys.executable, "-m", "services.scraper.server", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for flag in ("--store", "--address", "--tls-cert", "--insecure", "--lease-s"):
        assert flag in shown
    assert "--token " not in shown  # seen by every user of the machine
    refused = CliRunner().invoke(tagloom, ["up", "--service", "weaver"])
    assert refused.exit_code == 1
    assert "tagloom[weaver]" in refused.output
