"""Frames of videos: evenly spread, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from films import film

from services.scraper.collect import CollectRequest, collect
from services.scraper.films import sample
from services.scraper.intake import Refusal
from tagloom.artifacts.collection import FolderSource
from tagloom.errors import FailedPrecondition
from tagloom.store import Store


def test_frames_are_evenly_spread() -> None:
    frames = sample(film(), 3)
    assert not isinstance(frames, Refusal)
    assert [second for second, _ in frames] == [0.5, 1.5, 2.5]
    assert all(data.startswith(b"\xff\xd8\xff") for _, data in frames)


@pytest.mark.parametrize("kept", [0.005, 0.5, 0.9])
def test_a_broken_film_is_refused(kept: float) -> None:
    data = film()
    refusal = sample(data[: int(kept * len(data))], 3)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "VIDEO_UNREADABLE"


@pytest.mark.parametrize(
    "module",
    [
        "raise ImportError",
        "CAP_FFMPEG = 1900\nclass videoio_registry:\n    getBackends = staticmethod(lambda: [])",
    ],
)
def test_without_a_decoder_no_film_is_blamed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jpeg: bytes, module: str
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "cv2.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))  # the child gets this path
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(jpeg)
    (tmp_path / "photos" / "b.mp4").write_bytes(film())
    source = FolderSource(path=str(tmp_path / "photos"))
    with pytest.raises(FailedPrecondition, match="collect without frames") as caught:
        collect(store, CollectRequest("x", source, frames_per_video=3))
    assert caught.value.reason == "VIDEO_DECODER_MISSING"
    assert collect(store, CollectRequest("x", source)).stored == 1
