"""Ctrl-C in the middle of `tagloom scrape`, and the same command again: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from instagram_server import Answer, InstagramServer, Request
from instagram_world import Profile, make_posts

from services.scraper.service import register
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings

POSTS = 24


class SlowInstagram(InstagramServer):
    """Takes its time with images: there is a middle to be interrupted in."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.held_from = POSTS * 9
        """images from this one on are shown when `opened` is set"""

    def _route(self, request: Request) -> Answer:
        if request.kind == "image":
            time.sleep(0.08)
            if self.counts["image"] >= self.held_from:
                self.opened.wait(120)
        return super()._route(request)


@contextmanager
def start(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = subprocess.Popen(
        [sys.executable, "-m", "tagloom.cli", "scrape", "--json", *arguments],
        env={**os.environ, "TAGLOOM_TARGET": "", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with command:
        try:
            yield command
        finally:
            command.kill()


def interrupt(command: subprocess.Popen[str]) -> tuple[int, str]:
    """As Ctrl-C does: the whole group hears it. The exit code, and the last line said."""
    os.killpg(command.pid, signal.SIGINT)
    _, said = command.communicate(timeout=60)
    return command.returncode, said.splitlines()[-1]


def wait_until(server: InstagramServer, images: int) -> None:
    end = time.monotonic() + 60
    while server.counts["image"] < images:
        assert time.monotonic() < end, "too few images were asked for"
        time.sleep(0.02)


@pytest.fixture
def slow(
    instagram: InstagramServer, logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlowInstagram]:
    with SlowInstagram() as server:
        server.world.add_hashtag("betta", make_posts(Profile("catlady", "1001"), POSTS))
        monkeypatch.setenv("TAGLOOM_INSTAGRAM_URL", server.url)
        monkeypatch.setenv("TAGLOOM_INSTAGRAM_TIMEOUT_S", "120")
        monkeypatch.setenv("TAGLOOM_INSTAGRAM_TRANSFER_S", "120")
        yield server
        server.opened.set()


ASKED = ("--collection", "betta", "--hashtag", "betta", "--posts", str(POSTS))


def test_the_same_command_continues(tmp_path: Path, slow: SlowInstagram) -> None:
    arguments = [*ASKED, "--store", str(tmp_path / "store")]
    for images in (3, 8):
        with start(*arguments) as command:
            wait_until(slow, images)
            code, said = interrupt(command)
        assert code == 130, said
        assert said == "Stopped. What was durable stays; the same command continues."
    with start(*arguments) as command:
        answer, errors = command.communicate(timeout=120)
    assert command.returncode == 0, errors
    images_asked = check(slow, answer)
    # No post is begun anew but the one that it was at.
    assert sum(number > 1 for number in images_asked.values()) <= 2


def test_a_server_goes_on_and_the_same_command_joins_it(
    tmp_path: Path, slow: SlowInstagram
) -> None:
    slow.held_from = 6
    wanted = Settings(
        store=str(tmp_path / "store"), address="127.0.0.1:0", metrics_address="", workers=1
    )
    with BackgroundServer({"scraper": register}, wanted) as running:
        arguments = [*ASKED, "--target", running.address]
        with start(*arguments) as command:
            wait_until(slow, 3)
            code, said = interrupt(command)
        assert code == 130, said
        assert said.startswith("Stopped waiting. What the server accepted goes on there")
        wait_until(slow, slow.held_from)
        with start(*arguments) as command:
            assert command.stderr is not None
            assert command.stderr.readline().startswith("scrape: ")  # it has joined
            slow.opened.set()
            answer, errors = command.communicate(timeout=120)
        assert command.returncode == 0, errors
    assert set(check(slow, answer).values()) == {1}


def check(slow: SlowInstagram, answer: str) -> Counter[str]:
    """Nothing is lost. How often each image was asked for."""
    asked = Counter(request.path for request in slow.requests if request.kind == "image")
    made = json.loads(answer)
    assert (made["stored_count"], made["refused_count"]) == (len(asked), 0)
    assert len(asked) >= POSTS
    return asked


def test_another_command_for_the_same_collection_waits_for_nothing(
    tmp_path: Path, jpeg: bytes
) -> None:
    """What is under way was asked for otherwise: it is not joined, and says whose it is."""
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4000):
            archive.writestr(f"{number}.jpg", jpeg[:3] + number.to_bytes(4, "big") + jpeg[3:])
    store = ["--store", str(tmp_path / "store")]
    end = time.monotonic() + 60
    with start("--collection", "x", "--zip", str(path), *store) as first:
        while not list((tmp_path / "store").glob("images/*/*")):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert interrupt(first)[0] == 130
    with start("--collection", "x", "--folder", str(tmp_path), *store) as other:
        answer, errors = other.communicate(timeout=60)
    assert other.returncode == 1
    error = json.loads(answer)["error"]
    assert error["reason"] == "COLLECTION_IN_PROGRESS"
    assert error["metadata"]["operation"] in errors
