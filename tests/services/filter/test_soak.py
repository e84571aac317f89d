"""Many images through the same processes: what they hold in memory does not grow."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from filter_pieces import score_and_weigh
from PIL import Image

from services.filter.checks import CHECKS
from services.filter.measuring import ToMeasure
from services.filter.processes import Processes
from services.filter.profile import profile
from tagloom.artifacts import layout

NAMES = ["chelsea", "coffee", "flower", "china", "rocket", "astronaut", "camera", "page"]
FORMATS = [("JPEG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("PNG", "P"), ("JPEG", "CMYK")]
GROWTH = 24 * 2**20
"""bytes: what allocators keep, whatever the count; one leaked photo of 200 px in ten is more"""


@pytest.mark.parametrize("count", [240, pytest.param(50_000, marks=pytest.mark.long)])
def test_memory_does_not_grow(count, store, photo, encode):
    """Photos of all formats and sizes, damaged files between them."""
    rng = np.random.default_rng(0)
    hashes = []
    for index in range(40):
        format, mode = FORMATS[index % len(FORMATS)]
        image = Image.fromarray(photo(NAMES[index % len(NAMES)]).rgb)
        image.thumbnail((int(rng.integers(60, 200)), 200))
        data = encode(image.convert(mode), format)
        if index % 9 == 8:
            data = data[: len(data) // 2]
        hashes.append(hashlib.sha256(data).hexdigest())
        store.put(layout.image(hashes[-1]), data)
    checks = dict.fromkeys(CHECKS[each.check].source for each in profile(()) if each.enabled)
    pieces = [ToMeasure(hashes[index % len(hashes)], tuple(checks)) for index in range(count)]
    weights, decoded = [], 0
    with Processes(store.url, expected=1) as processes:  # one process: it gets them all
        for _, (fine, weight) in processes.spread(score_and_weigh, pieces):
            weights.append(weight)
            decoded += fine
    assert decoded == sum(index % len(hashes) % 9 != 8 for index in range(count))
    early = np.median(weights[len(weights) // 4 : len(weights) // 2])
    assert np.median(weights[-len(weights) // 4 :]) - early < GROWTH
