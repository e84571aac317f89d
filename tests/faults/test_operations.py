"""Operations while their servers are killed and suspended. Real processes, real signals."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import echo_server
import grpc
import psutil
import pytest
from echo_service import EchoClient
from google.protobuf.struct_pb2 import Struct

from tagloom.client import Clients, Credentials, connect
from tagloom.rpc import records
from tagloom.store import Store, open_store
from tagloom.v1 import operation_pb2

LEASE_S = 2.0


class Process:
    """A server process on a port of its own, which stays the same over restarts."""

    logged = 0
    """bytes of the log that earlier lives wrote"""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.log = folder / f"{name}.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.start()

    def start(self) -> None:
        path = os.pathsep.join([str(Path(echo_server.__file__).parent), *sys.path])
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [
                    *(sys.executable, echo_server.__file__),
                    *("--store", str(self.folder / "store"), "--address", self.address),
                    *("--lease-s", str(LEASE_S), "--grace-s", "2", "--workers", "1"),
                ],
                env={**os.environ, "PYTHONPATH": path},
                stderr=log,
            )
        end = time.monotonic() + 30
        while b"serving echo" not in self.log.read_bytes()[self.logged :]:
            assert self.popen.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """As a power cut would, for this process; its workers die with it."""
        self.logged = self.log.stat().st_size
        workers = psutil.Process(self.popen.pid).children()
        self.popen.kill()
        self.popen.wait()
        psutil.wait_procs(workers, timeout=5)
        assert not any(worker.is_running() for worker in workers)

    def everything(self) -> list[psutil.Process]:
        server = psutil.Process(self.popen.pid)
        return [server, *server.children()]


Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def one(name: str) -> Process:
        started.append(Process(tmp_path, name))
        return started[-1]

    yield one
    for process in started:
        with contextlib.suppress(psutil.Error):
            for each in process.everything():
                each.send_signal(signal.SIGCONT)
        process.popen.terminate()
    for process in started:
        process.popen.wait(20)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def progress(clients: Clients, name: str) -> operation_pb2.OperationMetadata:
    metadata = operation_pb2.OperationMetadata()
    assert clients.get_operation(name).metadata.Unpack(metadata)
    return metadata


def traces(store: Store, name: str) -> list[tuple[str, int]]:
    """(unit, process) of each doing of a unit."""
    found = [info.key.rpartition("/")[2] for info in store.iterate(f"counts/{name}/traces/")]
    return [(unit, int(number)) for unit, number, _ in (each.split("-") for each in found)]


def until_units(store: Store, name: str, count: int) -> None:
    end = time.monotonic() + 30
    while len(list(store.iterate(f"counts/{name}/units/"))) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def survive(start: Start, store: Store, kills: int) -> None:
    """Kill the server so many times while it works; the client only ever waits."""
    units = 20 * kills
    server = start("server")
    clients = connect(server.address, Credentials())
    request_id = str(uuid.uuid4())
    echo = EchoClient(clients.channel("echo"))
    accepted = echo.count("a", units=units, seconds=0.02, request_id=request_id)
    answers: list[Struct] = []
    waiting = threading.Thread(
        target=lambda: answers.append(clients.wait(accepted, Struct, patience_s=60))
    )
    waiting.start()
    rng = random.Random(1)
    for kill in range(kills):
        until_units(store, "a", rng.randrange(20 * kill + 1, 20 * kill + 18))
        time.sleep(rng.random() * 0.05)  # anywhere: in a unit, in a write, in a renewal
        server.kill()
        server.start()
        assert echo.count("a", units, 0.02, request_id).name == accepted.name
    waiting.join(120)
    assert [answer["total"] for answer in answers] == [sum(range(units))]
    clients.close()
    done = Counter(unit for unit, _ in traces(store, "a"))
    assert len(done) == units
    record, _ = records.read(store, *records.parse_name(accepted.name))
    assert record.state is records.State.SUCCEEDED
    assert 1 < record.attempts <= record.fence
    # A change of hands can only cost the unit that was under way.
    assert sum(done.values()) - units < record.fence
    assert len(list(store.iterate("operations/"))) == 1


def test_a_killed_server_finishes_what_it_accepted(start: Start, store: Store) -> None:
    survive(start, store, kills=3)


@pytest.mark.long
def test_fifty_kills(start: Start, store: Store) -> None:
    survive(start, store, kills=50)


@pytest.mark.parametrize("stopped", ["server and workers", "server alone"])
def test_a_suspended_owner_is_replaced_and_refused_when_it_wakes(
    start: Start, store: Store, stopped: str
) -> None:
    one, two = start("one"), start("two")
    with connect(one.address, Credentials()) as clients:
        name = EchoClient(clients.channel("echo")).count("a", units=100, seconds=0.05).name
        until_units(store, "a", 10)
        begun = progress(clients, name)
    assert begun.fence == 1
    first, second = (one, two) if f":{one.popen.pid}:" in begun.owner else (two, one)
    frozen = first.everything() if stopped == "server and workers" else first.everything()[:1]
    old = {process.pid for process in first.everything()}
    for process in frozen:
        process.suspend()

    with connect(second.address, Credentials()) as clients:
        assert clients.wait(name, Struct)["total"] == sum(range(100))
        final = progress(clients, name)
        assert final.fence == 2
        assert f":{second.popen.pid}:" in final.owner
        record = store.get_with_etag(records.record_key(*records.parse_name(name)))
        before = traces(store, "a")
        assert len({number for _, number in before} - old) == 1  # the second one's worker
        # No unit was done by both, but for the one that was under way when the lease changed
        # hands: the late writes of a worker that went on alone were refused.
        assert sum(Counter(unit for unit, _ in before).values()) - 100 <= 1

        for process in frozen:
            process.resume()
        end = time.monotonic() + 30
        while b'"reason": "LEASE_LOST"' not in first.log.read_bytes():
            assert time.monotonic() < end, first.log.read_text()
            time.sleep(0.05)
        time.sleep(1.5 * LEASE_S)  # it had time for more renewals and reports
        assert store.get_with_etag(records.record_key(*records.parse_name(name))) == record
        assert traces(store, "a") == before
        assert progress(clients, name).fence == 2

    # The first one is none the worse for it: it works on.
    with connect(first.address, Credentials()) as clients:
        again = EchoClient(clients.channel("echo")).count("b", units=2)
        assert clients.wait(again, Struct)["total"] == 1


def test_a_worker_killed_by_the_kernel_fails_its_operation_alone(
    start: Start, store: Store
) -> None:
    server = start("server")
    with connect(server.address, Credentials()) as clients:
        echo = EchoClient(clients.channel("echo"))
        name = echo.count("a", units=1000, seconds=0.05).name
        until_units(store, "a", 2)
        for worker in server.everything()[1:]:
            worker.kill()
        with pytest.raises(Exception, match="ran out of memory") as caught:
            clients.wait(name, Struct)
        assert getattr(caught.value, "reason", "") == "WORKER_DIED"
        assert clients.wait(echo.count("b"), Struct)["total"] == 3


def test_killed_before_anything_was_accepted_nothing_is_left(start: Start, store: Store) -> None:
    server = start("server")
    server.kill()
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError):
        EchoClient(channel).count("a")
    assert list(store.iterate("operations/")) == []
    server.start()
