"""EAST and YuNet with files that a user brings: OpenCV's own classes run stand-in networks."""

from __future__ import annotations

from importlib import resources

import detector_nets
import numpy as np
import pytest

from services.filter.checks import faces_yunet, text_east
from services.filter.decode import Photo
from tagloom.errors import FailedPrecondition

CHECKS = [text_east.CHECK, faces_yunet.CHECK]


@pytest.fixture
def painted(photo) -> Photo:
    """A grey photo twice as large, with a red sign and a green face."""
    rgb = np.full((480, 640, 3), 120, np.uint8)
    rgb[96:160, 64:320] = (255, 0, 0)
    rgb[320:352, 480:512] = (0, 255, 0)
    return Photo(rgb, 1280, 960, "JPEG")


def test_text_is_where_east_says(painted, monkeypatch, tmp_path):
    monkeypatch.setenv("TAGLOOM_EAST_WEIGHTS", str(detector_nets.east(tmp_path / "east.onnx")))
    score = text_east.CHECK.score(painted)
    assert score.boxes
    grown = 2 * detector_nets.EAST_BOX  # in pixels of the whole photo
    for box in score.boxes:
        assert box.left >= 128 - grown - 8
        assert box.right <= 640 + grown + 8
        assert box.top >= 192 - grown - 8
        assert box.bottom <= 320 + grown + 8
    assert 0.02 < score.value < 256 * 64 / (640 * 480) * 1.6
    assert f"{len(score.boxes)} boxes" in score.detail


def test_faces_are_where_yunet_says(painted, monkeypatch, tmp_path):
    monkeypatch.setenv("TAGLOOM_YUNET_WEIGHTS", str(detector_nets.yunet(tmp_path / "yunet.onnx")))
    score = faces_yunet.CHECK.score(painted)
    assert score.value > 0.99
    for box in score.boxes:
        assert 960 - 90 <= box.left < box.right <= 1024 + 90
        assert 640 - 90 <= box.top < box.bottom <= 704 + 90
    grey = Photo(np.full((50, 90, 3), 120, np.uint8), 90, 50, "JPEG")
    assert faces_yunet.CHECK.score(grey).value == 0


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_which_weights_is_part_of_where_scores_lie(check, monkeypatch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    versions = []
    for file in (first, second):
        monkeypatch.setenv(check.weights.environment, str(file))
        versions.append(check.stored_version)
    assert versions[0] != versions[1]
    assert all(version.startswith(f"{check.version}-") for version in versions)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_file_that_is_no_network(check, monkeypatch, tmp_path, painted):
    for name in ("text.pb", "text.onnx"):
        (tmp_path / name).write_bytes(b"this is no network")
        monkeypatch.setenv(check.weights.environment, str(tmp_path / name))
        with pytest.raises(FailedPrecondition, match="switch the check off"):
            check.score(painted)
    # Another network, which OpenCV reads: of the package that finds text.
    another = resources.files("rapidocr") / "models" / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
    monkeypatch.setenv(check.weights.environment, str(another))
    with pytest.raises(FailedPrecondition, match="switch the check off") as caught:
        check.score(painted)
    assert caught.value.reason == "WEIGHTS_UNREADABLE"
    monkeypatch.setenv(check.weights.environment, str(tmp_path / "gone"))
    with pytest.raises(FailedPrecondition, match="no file is"):
        check.score(painted)
