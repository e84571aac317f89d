"""Grayscale: grey files are grey however they are stored, a little colour is colour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from services.filter.checks.grayscale import CHECK
from services.filter.decode import Photo, decode


@pytest.mark.parametrize("name", ["chelsea", "china", "rocket", "retina"])
@pytest.mark.parametrize("quality", [30, 90])
def test_a_grey_jpeg_with_colour_channels_is_grey(name, quality, photo, encode):
    grey = Image.fromarray(photo(name).rgb).convert("L").convert("RGB")
    noisy = np.asarray(grey).astype(int) + np.random.RandomState(0).randint(
        -6, 7, (grey.height, grey.width, 3)
    )
    for image in (grey, Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))):
        taken = decode(encode(image, "JPEG", quality=quality))
        assert CHECK.score(taken).value < CHECK.threshold


def test_few_colours_on_black_are_colour(photo):
    hubble = photo("hubble_deep_field")
    assert np.ptp(hubble.rgb, axis=2).mean() < 10  # hardly any, on average
    assert CHECK.score(hubble).value > 3 * CHECK.threshold


@pytest.mark.parametrize(("share", "colour"), [(0.005, False), (0.05, True)])
def test_how_much_colour_counts(share, colour):
    rgb = np.full((200, 200, 3), 128, np.uint8)
    rgb[: int(200 * share)] = (255, 0, 0)
    score = CHECK.score(Photo(rgb, 200, 200, "PNG")).value
    assert (score >= CHECK.threshold) is colour


def test_the_score_is_the_99th_percentile_of_the_spread():
    rgb = np.zeros((100, 100, 3), np.uint8)
    rgb[..., 0] = np.arange(100, dtype=np.uint8)  # one level a column
    assert CHECK.score(Photo(rgb, 100, 100, "PNG")).value == 98
