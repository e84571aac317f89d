"""Image sets: every image counts, in a fixed order, and a bad one is named."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.evaluator.images import FolderImages, ZipImages
from tagloom.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    TagloomError,
)
from tagloom.store import ObjectNotFound, Store

SHA = "a" * 64


def zipped(store: Store, data: bytes) -> ZipImages:
    store.put("datasets/d/held_out.zip", data)
    return ZipImages(store, "datasets/d/held_out.zip", SHA, "the held-out images of datasets/d")


def test_a_zip_gives_its_pngs_in_order(make, store: Store) -> None:
    tiles = make.tiles(5, seed=0)
    images = zipped(store, make.zip(tiles))
    assert len(images) == 5
    assert images.content_sha256 == SHA
    for _ in range(2):  # it can be read again
        found = [image.permute(1, 2, 0).numpy() for image in images]
        np.testing.assert_array_equal(np.stack(found), np.stack(tiles))


def test_gray_pngs_become_rgb(make, store: Store) -> None:
    gray = make.tiles(1, seed=0)[0][..., 0]
    (image,) = zipped(store, make.zip([gray]))
    np.testing.assert_array_equal(image.numpy(), np.stack([gray] * 3))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "png"])
def test_a_damaged_zip_is_a_clear_error(make, store: Store, damage: str) -> None:
    data = bytearray(make.zip(make.tiles(3, seed=0)))
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 3] ^= 0xFF
    elif damage == "text":
        data = bytearray(b"this was never a zip")
    else:  # a sound zip around a broken PNG
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.png", make.png(make.tiles(1, seed=0)[0])[:-200])
        data = bytearray(buffer.getvalue())
    with pytest.raises(DataLoss, match="held-out images of datasets/d is damaged") as caught:
        list(zipped(store, bytes(data)))
    assert caught.value.reason == "DATASET_DAMAGED"


def test_a_zip_without_images_and_no_zip(make, store: Store) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        zipped(store, make.zip([]))
    assert caught.value.reason == "NO_IMAGES"
    with pytest.raises(ObjectNotFound):
        ZipImages(store, "datasets/other/held_out.zip", SHA, "x")


def fill(make, folder: Path, count: int = 3) -> list[np.ndarray]:
    folder.mkdir(parents=True)
    tiles = make.tiles(count, seed=3)
    for index, tile in enumerate(tiles):
        Image.fromarray(tile).save(folder / f"{index}.png")
    return tiles


def test_a_folder_gives_its_images_by_path(make, tmp_path: Path) -> None:
    tiles = fill(make, tmp_path / "a")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "below").mkdir()
    Image.fromarray(tiles[0]).save(tmp_path / "a" / "below" / "Photo.JPG", quality=95)
    images = FolderImages(tmp_path / "a")
    assert len(images) == 4
    found = [image.permute(1, 2, 0).numpy() for image in images]
    np.testing.assert_array_equal(np.stack(found[:3]), np.stack(tiles))
    assert np.abs(found[3].astype(int) - tiles[0]).mean() < 8  # the JPEG, last by its path


def test_a_folders_digest_is_its_content(make, tmp_path: Path) -> None:
    fill(make, tmp_path / "a")
    fill(make, tmp_path / "b")
    digest = FolderImages(tmp_path / "a").content_sha256
    assert FolderImages(tmp_path / "b").content_sha256 == digest
    with (tmp_path / "b" / "1.png").open("ab") as stream:
        stream.write(b"\0")
    assert FolderImages(tmp_path / "b").content_sha256 != digest


def bad_file(make, path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("not a JPEG")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(make.png(make.tiles(1, seed=0)[0])[:500])
    elif kind == "sixteen bits":
        Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 256).save(path, "PNG")
    else:  # 30,000 x 30,000 pixels in a header, no pixel behind it
        header = bytearray(make.png(np.zeros((1, 1, 3), np.uint8)))
        header[16:24] = (30_000).to_bytes(4, "big") * 2
        crc = zlib.crc32(bytes(header[12:29]))
        header[29:33] = crc.to_bytes(4, "big")
        path.write_bytes(bytes(header))


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "sixteen bits", "huge"])
def test_a_file_that_cannot_be_measured_is_named(make, tmp_path: Path, kind: str) -> None:
    fill(make, tmp_path / "a")
    bad_file(make, tmp_path / "a" / "bad.png", kind)
    with pytest.raises(InvalidArgument, match=r"bad\.png cannot be measured") as caught:
        list(FolderImages(tmp_path / "a"))
    assert caught.value.reason == "IMAGE_UNREADABLE"


def test_no_image_and_a_link_out_of_it(make, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FailedPrecondition, match="no image"):
        FolderImages(tmp_path / "empty")
    fill(make, tmp_path / "a")
    Image.fromarray(make.tiles(1, seed=0)[0]).save(tmp_path / "secret.png")
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(PermissionDenied, match=r"link\.png") as caught:
        FolderImages(tmp_path / "a")
    assert isinstance(caught.value, TagloomError)
    (tmp_path / "a" / "link.png").unlink()
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "a" / "0.png")
    assert len(FolderImages(tmp_path / "a")) == 4
