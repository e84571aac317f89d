"""Real photos, and files that pretend to be some."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from instagram_server import SESSION, InstagramServer
from PIL import Image

from tagloom.store import Store, open_store


def encode(name: str, size: tuple[int, int], format: str = "JPEG", quality: int = 85) -> bytes:
    """A photo that scikit-image ships, reduced to `size` and encoded."""
    with files("skimage").joinpath("data", name).open("rb") as file:
        image = Image.open(file).convert("RGB").resize(size)
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return encode("chelsea.png", (320, 240))


@pytest.fixture(scope="session")
def png() -> bytes:
    return encode("coffee.png", (200, 160), "PNG")


@pytest.fixture(scope="session")
def webp() -> bytes:
    return encode("rocket.jpg", (240, 160), "WEBP")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def photo_folder(tmp_path: Path, jpeg: bytes, png: bytes, webp: bytes) -> Path:
    """Three photos in two folders, and files that are none."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / "cat.jpg").write_bytes(jpeg)
    (folder / "b" / "coffee.png").write_bytes(png)
    (folder / "b" / "rocket").write_bytes(webp)  # no suffix: the bytes decide
    (folder / "b" / "cat again.jpeg").write_bytes(jpeg)
    (folder / "notes.txt").write_text("not a photo\n")
    return folder


@pytest.fixture
def instagram(monkeypatch: pytest.MonkeyPatch) -> Iterator[InstagramServer]:
    """A local Instagram that the scraper is pointed at, nobody logged in, with short waits."""
    with InstagramServer() as server:
        for name, value in instagram_environment(server).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("TAGLOOM_INSTAGRAM_SESSION", raising=False)
        yield server


@pytest.fixture
def logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session of the local Instagram's account, as a file that the scraper is given."""
    path = tmp_path / "session.json"
    path.write_text(json.dumps(SESSION))
    path.chmod(0o600)
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_SESSION", str(path))
    return path


def instagram_environment(server: InstagramServer) -> dict[str, str]:
    """How the scraper finds the server, and how patient it is: the real waits, shortened."""
    return {
        "TAGLOOM_INSTAGRAM_URL": server.url,
        "TAGLOOM_INSTAGRAM_PAUSE_S": "0",
        "TAGLOOM_INSTAGRAM_RETRY_S": "0.02",
        "TAGLOOM_INSTAGRAM_COOLDOWN_S": "0.2",
        "TAGLOOM_INSTAGRAM_MAX_WAIT_S": "1",
        "TAGLOOM_INSTAGRAM_TIMEOUT_S": "2",
        "TAGLOOM_INSTAGRAM_TRANSFER_S": "3",
        "TAGLOOM_INSTAGRAM_LEASE_S": "1",
    }
