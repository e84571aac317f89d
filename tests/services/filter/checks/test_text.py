"""Text: found with boxes where it is, not found where nothing but round things are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.filter.checks import text
from services.filter.checks.text import CHECK
from services.filter.decode import Photo
from tagloom.errors import FailedPrecondition


def written(rgb: np.ndarray, words: str, size: float, at: tuple[float, float]) -> np.ndarray:
    image = Image.fromarray(rgb.copy())
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text(at, words, fill="white", font=font, stroke_fill="black")
    return np.asarray(image)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "flower", "china", "rocket", "ihc"])
def test_large_writing_is_found_where_it_is(name, photo):
    original = photo(name).rgb
    h, w = original.shape[:2]
    rgb = written(original, "SUMMER SALE", h / 9, (w * 0.1, h * 0.4))
    score = CHECK.score(Photo(rgb, w, h, "PNG"))
    assert score.value > CHECK.threshold
    box = max(score.boxes, key=lambda box: box.right - box.left)
    assert box.left == pytest.approx(w * 0.1, abs=w * 0.05)
    assert h * 0.36 < box.top < h * 0.48
    assert box.bottom - box.top < h * 0.25
    assert "of text" in score.detail


def test_boxes_are_in_pixels_of_the_whole_photo(photo):
    small = written(photo("flower").rgb, "SUMMER SALE", 50, (60, 150))
    h, w = small.shape[:2]
    here = CHECK.score(Photo(small, w, h, "PNG")).boxes[0]
    there = CHECK.score(Photo(small, 4 * w, 4 * h, "JPEG")).boxes[0]
    for side in ("left", "top", "right", "bottom"):
        assert getattr(there, side) == pytest.approx(4 * getattr(here, side), abs=0.5)


def test_a_small_watermark_may_stay(photo):
    rgb = written(photo("china").rgb, "photo: anna", 12, (10, 405))
    assert CHECK.score(Photo(rgb, 640, 427, "PNG")).value < CHECK.threshold


@pytest.mark.parametrize("name", ["coffee", "moon", "cell", "horse", "phantom", "color", "retina"])
def test_round_things_are_no_text(name, photo):
    assert CHECK.score(photo(name)).value < CHECK.threshold


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (700, 3), (33, 31)])
def test_any_shape_has_a_score(shape):
    rgb = np.random.RandomState(0).randint(0, 255, (*shape, 3)).astype(np.uint8)
    assert 0 <= CHECK.score(Photo(rgb, shape[1], shape[0], "PNG")).value <= 1


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("_PACKAGE", "no_such_package", "TEXT_MODEL_MISSING"),
        ("_MODEL_SHA256", "0" * 64, "TEXT_MODEL_UNKNOWN"),
    ],
)
def test_other_weights_are_refused(attribute, value, reason, monkeypatch):
    monkeypatch.setattr(text, attribute, value)
    with pytest.raises(FailedPrecondition) as caught:
        text._session.__wrapped__()
    assert caught.value.reason == reason
