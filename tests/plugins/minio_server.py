"""A real MinIO server on loopback for tests marked `minio`; without its program they are skipped.

Skipping is loud: a red line ends the run, and where CI is set the run fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagloom.store.provision import Provision, provision
from tools.minio_build import minio_path

_SKIPPED = pytest.StashKey[int]()
_WHY = "there is no MinIO server to test against; run `make minio` (3 to 5 minutes, once)"


class MinioServer:
    """One server process over one folder; can be killed and started again on the same port."""

    ACCESS_KEY = "tagloom-tests"
    SECRET_KEY = "not-a-secret-only-loopback"

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What `open_store("s3://…")` needs."""
        return {
            "MINIO_ENDPOINT": self.endpoint,
            "MINIO_ACCESS_KEY": self.ACCESS_KEY,
            "MINIO_SECRET_KEY": self.SECRET_KEY,
        }

    def start(self) -> None:
        """Start, or start again, and wait until it is ready."""
        for _ in range(3):  # another process may take the free port before the server does
            self.port = self.port or _free_port()
            if self._try_to_start():
                return
            self.port = 0
        raise RuntimeError(f"MinIO did not start:\n{self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _try_to_start(self) -> bool:
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        environment = {
            "HOME": str(self._folder),
            "MINIO_BROWSER": "off",
            "MINIO_PROMETHEUS_AUTH_TYPE": "public",  # metrics, for whoever asks
            "MINIO_ROOT_PASSWORD": self.SECRET_KEY,
            "MINIO_ROOT_USER": self.ACCESS_KEY,
            "MINIO_UPDATE": "off",
            "PATH": os.environ["PATH"],
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._program),
                    "server",
                    *("--address", f"127.0.0.1:{self.port}"),
                    *("--certs-dir", str(self._folder / "certs")),
                    str(data),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.endpoint}/minio/health/ready", timeout=2).close()
                return True
            time.sleep(0.05)
        self.kill()
        return False


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """The session's server. Do not kill or pause it: `own_minio` is for that."""
    with _running(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def minio_user(minio: MinioServer) -> dict[str, str]:
    """The environment of a user who may do what Tagloom needs in the bucket `tests`, no more: made
    by the program that prepares a cluster's MinIO."""
    environment = {
        "MINIO_ENDPOINT": minio.endpoint,
        "MINIO_ACCESS_KEY": "tagloom-user",
        "MINIO_SECRET_KEY": "not-a-secret-either",
    }
    root = {"MINIO_ROOT_USER": minio.ACCESS_KEY, "MINIO_ROOT_PASSWORD": minio.SECRET_KEY}
    plan = Provision.from_environment({"TAGLOOM_STORE": "s3://tests", **environment, **root})
    provision(plan, timeout_s=10, say=lambda _: None)
    return environment


@pytest.fixture
def own_minio(tmp_path: Path) -> Iterator[MinioServer]:
    """A server for one test, which may do with it what it likes."""
    with _running(tmp_path / "minio") as server:
        yield server


@pytest.fixture
def s3_url(minio_user: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a fresh, empty store on the session's server, with MINIO_* set to reach it as a
    user with no right too many: every test of a store on S3 shows that these rights are enough."""
    for name, value in minio_user.items():
        monkeypatch.setenv(name, value)
    return f"s3://tests/{uuid.uuid4().hex}"


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[MinioServer]:
    program = minio_path()
    if not program.exists():
        pytest.skip(_WHY)
    server = MinioServer(program, folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def die_with_parent() -> None:
    """A test run that is killed must not leave servers behind (Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if _needs_minio(item)]
    if marked and not minio_path().exists():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=_WHY))
        config.stash[_SKIPPED] = len(marked)


def _needs_minio(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(item.get_closest_marker("minio") or fixtures & {"minio", "minio_user", "own_minio"})


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if session.config.stash.get(_SKIPPED, 0) and os.environ.get("CI") and passed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    count = config.stash.get(_SKIPPED, 0)
    if count:
        verdict = " CI is set: the run fails." if os.environ.get("CI") else ""
        terminalreporter.write_line(f"{count} tests NOT RUN: {_WHY}.{verdict}", red=True, bold=True)
