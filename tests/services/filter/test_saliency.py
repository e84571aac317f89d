"""Where the subject is: real subjects on other real photos, at places that are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.filter.saliency import focus, saliency
from tagloom.artifacts.dataset import Box

SUBJECTS = {
    "chelsea": (110, 30, 330, 260),
    "coffee": (110, 60, 450, 330),
    "flower": (190, 20, 560, 420),
    "rocket": (250, 40, 400, 427),
    "motorcycle_left": (60, 100, 690, 480),
    "astronaut": (170, 60, 290, 220),
}
"""name: box in px, by hand"""
BACKGROUNDS = ("china", "coffee", "flower", "grass", "gravel", "brick", "hubble_deep_field")


def scene(photo, rng, name):
    """A subject pasted with soft edges into another photo: (rgb, its left and right edge)."""
    left, top, right, bottom = SUBJECTS[name]
    subject = photo(name).rgb[top:bottom, left:right]
    grounds = [ground for ground in BACKGROUNDS if ground != name]
    ground = photo(grounds[rng.integers(len(grounds))]).rgb
    h = int(rng.integers(240, 400))
    w = int(h * rng.uniform(1.4, 2.0))
    height = int(h * rng.uniform(0.4, 0.8))
    width = int(height * subject.shape[1] / subject.shape[0])
    if width > 0.9 * h:
        width, height = int(0.9 * h), int(height * 0.9 * h / width)
    x, y = int(rng.integers(0, w - width)), int(rng.integers(0, h - height))
    rgb = cv2.resize(ground, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
    mask = np.pad(np.ones((height - 8, width - 8), np.float32), 4)
    mask = cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
    pasted = cv2.resize(subject, (width, height), interpolation=cv2.INTER_AREA)
    place = np.s_[y : y + height, x : x + width]
    rgb[place] = rgb[place] * (1 - mask) + pasted * mask
    return rgb.astype(np.uint8), x, x + width


def covered(at, shape, left, right):
    """Share of the subject's width inside the square at `at`."""
    h, w = shape[:2]
    start = at * (w - h)
    return max(0.0, min(right, start + h) - max(left, start)) / (right - left)


def test_subjects_are_found_far_more_often_than_in_the_centre(photo):
    """Six subjects, all photographers' own choices of ground: 0.95 of a subject against 0.8."""
    rng = np.random.default_rng(3)
    found, centred = [], []
    for name in SUBJECTS:
        for _ in range(15):
            rgb, left, right = scene(photo, rng, name)
            found.append(covered(focus(rgb), rgb.shape, left, right))
            centred.append(covered(0.5, rgb.shape, left, right))
    lost, lost_centred = (np.mean(np.array(values) < 0.8) for values in (found, centred))
    assert np.mean(found) > np.mean(centred) + 0.08
    assert lost < lost_centred / 2


def test_a_portrait_is_searched_from_top_to_bottom(photo):
    rng = np.random.default_rng(5)
    rgb, *_ = scene(photo, rng, "flower")
    assert focus(rgb.transpose(1, 0, 2).copy()) == pytest.approx(focus(rgb), abs=0.15)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_where_nothing_sticks_out_the_centre_is_right(value):
    assert focus(np.full((120, 300, 3), value, np.uint8)) == pytest.approx(0.5, abs=0.03)


def test_known_faces_pull(photo):
    rgb = photo("china").rgb[:200]
    for left, expected in ((0, 0.0), (560, 1.0)):
        face = Box(left=left, top=60, right=left + 80, bottom=140)
        assert focus(rgb, [face]) == pytest.approx(expected, abs=0.25)


@settings(deadline=None, max_examples=50)
@given(
    rgb=arrays(
        np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3)), fill=st.just(7)
    )
)
def test_any_photo_has_a_focus(rgb):
    assert 0 <= focus(rgb) <= 1
    assert saliency(rgb).sum() == pytest.approx(1)
    assert saliency(rgb).min() >= 0
