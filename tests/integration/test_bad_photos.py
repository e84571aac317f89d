"""Files that are no use, and a disk without room, through running servers: said, and survived."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Place, copy_photos
from .test_bad_input import refused

JUDGE = ("--resolution", "256", "--held-out", "0")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("photos")).served("scraper", "filter", "trainer") as served:
        yield served


def bomb() -> bytes:
    """A whole, valid PNG of 30,000 x 30,000 one-bit pixels: a few KB, gigabytes when decoded."""
    packer, row = zlib.compressobj(1), bytes(1 + 30_000 // 8)
    body = b"".join(packer.compress(row * 100) for _ in range(300)) + packer.flush()
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def write_broken(folder: Path) -> None:
    """Two JPEGs that end too early, and the bomb."""
    copy_photos(folder, "rocket.jpg")
    whole = (folder / "rocket.jpg").read_bytes()
    (folder / "rocket.jpg").unlink()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "third.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "bomb.png").write_bytes(bomb())


def test_truncated_photos_and_a_bomb_alone(place: Place) -> None:
    write_broken(place.folder / "broken")
    assert place.tagloom("scrape", "--collection", "broken", "--folder", "broken").code == 0
    answer = place.tagloom("filter", "--collection", "broken", "--dataset", "broken", *JUDGE)
    refused(
        answer,
        "NO_IMAGES_LEFT",
        "None of the 3 images can be decoded",
        "jpg: The image data are damaged",
        "bomb.png: The image has 900 million pixels; at most 50 million are decoded",
    )
    assert "switch off" not in answer.err
    refused(place.tagloom("get", "datasets/broken"), "RESOURCE_NOT_FOUND", "datasets/broken")
    # What was collected is still there, every byte of it.
    kept = place.tagloom("get", "collections/broken", "--json").document
    assert (kept["item_count"], kept["stored_count"]) == (3, 3)


def test_beside_a_good_photo_they_are_verdicts_and_too_few_images_are_refused(
    place: Place,
) -> None:
    write_broken(place.folder / "mixed")
    copy_photos(place.folder / "mixed", "chelsea.png")
    assert place.tagloom("scrape", "--collection", "mixed", "--folder", "mixed").code == 0
    made = place.tagloom("filter", "--collection", "mixed", "--dataset", "mixed", *JUDGE)
    assert made.code == 0, made.err
    verdicts = place.tagloom("verdicts", "mixed", "--json").document["verdicts"]
    failed = {verdict["source"]: verdict["failed_checks"] for verdict in verdicts}
    assert failed == {
        "bomb.png": ["format"],
        "chelsea.png": [],
        "half.jpg": ["format"],
        "third.jpg": ["format"],
    }
    train = ["train", "--run", "few", "--dataset", "mixed", "--kimg", "1"]
    refused(place.tagloom(*train), "[A-Z_]+", "datasets/mixed has 1 training image", "batch")
    refused(place.tagloom("get", "runs/few"), "[A-Z_]*NOT_FOUND", "runs/few")


def test_links_out_of_the_folder(place: Place, tmp_path: Path) -> None:
    copy_photos(tmp_path, "coffee.png")
    folder = place.folder / "links"
    folder.mkdir()
    (folder / "out.png").symlink_to(tmp_path / "coffee.png")
    scrape = ["scrape", "--collection", "links", "--folder", "links"]
    refused(place.tagloom(*scrape), "NO_PHOTOS", "SYMLINK_OUTSIDE", "the files themselves")
    copy_photos(folder, "chelsea.png")
    assert place.tagloom(*scrape).code == 0
    kept = place.tagloom("get", "collections/links", "--json").document
    assert (kept["item_count"], kept["stored_count"], kept["refused_count"]) == (2, 1, 1)
    assert (tmp_path / "coffee.png").is_file()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"this machine lets root mount nothing: {done.stderr}")
    assert done.returncode == 0, done.stderr
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, room: int) -> Path:
    """A file that leaves so many bytes of the disk."""
    path = disk / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65_536))
    assert os.statvfs(disk).f_bavail == 0
    os.truncate(path, path.stat().st_size - room)
    return path


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    copy_photos(tmp_path / "first", "chelsea.png")
    copy_photos(tmp_path / "second", "astronaut.png")  # 800 KB
    second = ["scrape", "--collection", "second", "--folder", str(tmp_path / "second")]
    with Place(small_disk).served("scraper") as place:
        first = ["scrape", "--collection", "first", "--folder", str(tmp_path / "first")]
        assert place.tagloom(*first).code == 0
        before = place.tagloom("get", "collections/first", "--json").document
        # For the records of an operation but not for the photo, and then for nothing at all.
        for room in (400_000, 0):
            filler = fill(small_disk, room)
            refused(place.tagloom(*second), "STORE_FULL|DISK_FULL", "full")
            refused(place.tagloom("get", "collections/second"), "RESOURCE_NOT_FOUND")
            assert place.tagloom("get", "collections/first", "--json").document == before
            filler.unlink()
        done = place.tagloom(*second)
        assert done.code == 0, done.err
        assert place.tagloom("get", "collections/first", "--json").document == before
