"""A few odd pictures among many of one kind stand out; small collections say nothing."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from services.filter.checks import Measured, Member
from services.filter.checks.off_topic import CHECK
from services.filter.decode import Photo

ODD = ["rocket", "coffee", "astronaut", "retina"]


def member(rgb: np.ndarray, name: str) -> Member:
    photo = Photo(np.ascontiguousarray(rgb), rgb.shape[1], rgb.shape[0], "PNG")
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return Member(sha256, Measured(photo.width, photo.height, CHECK.score(photo)), True)


@pytest.fixture(scope="module")
def members(photo) -> list[Member]:
    """Sixty crops of a cat and a flower, and four other photos."""
    rng = np.random.default_rng(0)
    found = []
    for name in ("chelsea", "flower"):
        rgb = photo(name).rgb
        for index in range(30):
            h, w = (int(side * rng.uniform(0.5, 0.9)) for side in rgb.shape[:2])
            y, x = rng.integers(rgb.shape[0] - h), rng.integers(rgb.shape[1] - w)
            found.append(member(rgb[y : y + h, x : x + w], f"{name}{index}"))
    return found + [member(photo(name).rgb, name) for name in ODD]


def test_the_odd_ones_stand_out(members):
    values = [related.value for related in CHECK.relate(members)]
    assert min(values[60:]) > CHECK.threshold
    assert np.quantile(values[:60], 0.9) < CHECK.threshold
    assert min(values[60:]) > np.quantile(values[:60], 0.95)


def test_the_order_does_not_matter(members):
    straight = CHECK.relate(members)
    backwards = CHECK.relate(members[::-1])[::-1]
    for one, other in zip(straight, backwards, strict=True):
        assert one.value == pytest.approx(other.value, abs=2e-4)


def test_small_collections_have_no_odd_ones(members):
    assert {related.value for related in CHECK.relate(members[20:69])} == {1.0}
    assert CHECK.relate([]) == []
