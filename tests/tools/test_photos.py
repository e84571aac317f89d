"""The photos of the start network and of the demo: real, listed, and never the same file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tagloom.errors import DataLoss
from tools import photos


def test_source_and_target_share_no_file(tmp_path: Path) -> None:
    photos.copy_photos(photos.SOURCE, tmp_path / "source")
    photos.copy_demo_folder(tmp_path / "demo")
    sources = {digest(path) for path in (tmp_path / "source").iterdir()}
    demo = {digest(path) for path in (tmp_path / "demo").iterdir()}
    assert len(sources) == len(photos.SOURCE)
    assert {photo.sha256 for photo in photos.TARGET} <= demo
    assert not sources & demo


def test_every_photo_has_a_licence() -> None:
    assert all(photo.license for photo in photos.SOURCE + photos.TARGET)


def test_another_file_under_a_listed_name_is_refused(tmp_path: Path) -> None:
    wrong = photos.Photo("rocket.jpg", "scikit-image", "0" * 64, "")
    with pytest.raises(DataLoss, match=r"rocket\.jpg of scikit-image is not the file"):
        photos.copy_photos((wrong,), tmp_path)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
