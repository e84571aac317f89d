"""Bands along the edges are found and measured; plain grounds around a subject are none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from services.filter.checks.border import CHECK
from services.filter.decode import Photo, decode

PHOTOS = ["chelsea", "coffee", "flower", "china", "rocket", "motorcycle_left"]


def score_of(data: bytes):
    return CHECK.score(decode(data, at_least=512, at_least_long=800))


@pytest.mark.parametrize("name", [*PHOTOS, "astronaut", "grass", "horse", "retina", "logo"])
def test_photos_have_none(name, photo):
    assert CHECK.score(photo(name)).value == 0


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("colour", ["black", "white"])
def test_bars_and_frames(name, colour, photo, encode):
    image = Image.fromarray(photo(name).rgb)
    w, h = image.size
    for x, y in ((0, h // 8), (w // 8, 0), (w // 20, w // 20)):
        framed = ImageOps.expand(image, (x, y, x, y), colour)
        score = score_of(encode(framed, "JPEG", quality=80))
        share = 1 - w * h / (framed.width * framed.height)
        assert score.value == pytest.approx(share, abs=0.08)  # dark edges join black bands
        assert not CHECK.passes(score.value, CHECK.threshold)
        assert 1 <= len(score.boxes) <= 2 * (x > 0) + 2 * (y > 0)


@pytest.mark.parametrize("ground", ["black", "white", "#3060a0"])
def test_a_subject_on_a_plain_ground_is_no_frame(ground):
    image = Image.new("RGB", (600, 400), ground)
    ImageDraw.Draw(image).ellipse((150, 90, 460, 330), fill="#d08040", outline="#402010", width=9)
    rgb = np.asarray(image)
    assert CHECK.score(Photo(rgb, 600, 400, "PNG")).value == 0


def test_boxes_are_in_pixels_of_the_whole_photo(photo):
    framed = ImageOps.expand(Image.fromarray(photo("china").rgb), (0, 60, 0, 0), "black")
    (box,) = CHECK.score(Photo(np.asarray(framed), 1280, 974, "JPEG")).boxes
    assert (box.left, box.top, box.right) == (0, 0, 1280)
    assert box.bottom == pytest.approx(120, abs=6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (700, 3), (33, 31)])
def test_any_shape_has_a_score(shape):
    rgb = np.random.RandomState(0).randint(0, 255, (*shape, 3)).astype(np.uint8)
    flat = np.full((*shape, 3), 9, np.uint8)
    for each in (rgb, flat):
        assert 0 <= CHECK.score(Photo(each, shape[1], shape[0], "PNG")).value <= 1
