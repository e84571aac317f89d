"""Seams between photos are found; horizons, planks and textures are none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

from services.filter.checks.collage import CHECK
from services.filter.decode import Photo, decode

PHOTOS = ["chelsea", "coffee", "flower", "china", "rocket", "retina"]


def score_of(image: Image.Image, encode) -> float:
    data = encode(image, "JPEG", quality=85)
    return CHECK.score(decode(data, at_least=512, at_least_long=800)).value


@pytest.mark.parametrize("name", [*PHOTOS, "astronaut", "camera", "coins", "grass", "moon"])
def test_single_photos_pass(name, photo):
    assert CHECK.passes(CHECK.score(photo(name)).value, CHECK.threshold)


def test_most_collages_are_found(photo, encode):
    """Not all: where both photos are of one colour at the seam, there is none to see."""
    panels = [ImageOps.fit(Image.fromarray(photo(name).rgb), (300, 240)) for name in PHOTOS]
    beside, stacked = [], []
    for first, second in itertools.combinations(panels, 2):
        pair = Image.new("RGB", (600, 240))
        pair.paste(first, (0, 0))
        pair.paste(second, (300, 0))
        beside.append(score_of(pair, encode))
        tower = Image.new("RGB", (300, 496), "white")
        tower.paste(first, (0, 0))
        tower.paste(second, (0, 256))
        stacked.append(score_of(tower, encode))
    assert np.median(beside) > CHECK.threshold
    assert np.median(stacked) > CHECK.threshold
    assert min(beside) > 0.6


def test_a_level_horizon_is_no_seam(encode):
    rows = np.concatenate([np.linspace(220, 240, 200), np.linspace(60, 90, 200)])
    sea = np.repeat(rows[:, None, None], 600, axis=1).repeat(3, axis=2).astype(np.uint8)
    assert CHECK.passes(score_of(Image.fromarray(sea), encode), 0.5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (700, 3), (33, 31)])
def test_any_shape_has_a_score(shape):
    rgb = np.random.RandomState(0).randint(0, 255, (*shape, 3)).astype(np.uint8)
    assert 0 <= CHECK.score(Photo(rgb, shape[1], shape[0], "PNG")).value <= 1
