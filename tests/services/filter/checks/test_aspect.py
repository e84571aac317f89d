"""The ratio of the sides, of the whole upright photo."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from services.filter.checks.aspect import CHECK
from services.filter.decode import decode


@pytest.mark.parametrize(("size", "ratio", "stays"), [((300, 300), 1, True), ((300, 900), 3, True)])
@pytest.mark.parametrize("turned", [False, True])
def test_ratio(size, ratio, stays, turned, encode):
    image = Image.fromarray(np.zeros((*size, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    value = CHECK.score(decode(encode(image, exif=exif), at_least=20)).value
    assert value == ratio
    assert CHECK.passes(value, CHECK.threshold) is stays


def test_a_strip_goes(encode):
    value = CHECK.score(decode(encode(np.zeros((100, 301, 3), np.uint8)))).value
    assert not CHECK.passes(value, CHECK.threshold)
    assert "3.01 times the shorter one, more than 3.00" in CHECK.explain(value, CHECK.threshold)
