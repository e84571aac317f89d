"""Sharpness: falls with blur, ignores contrast, and forgives blurred backgrounds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from services.filter.checks.sharpness import CHECK
from services.filter.decode import Photo

NAMES = ["astronaut", "chelsea", "coffee", "flower", "china", "rocket", "ihc", "retina"]


def sharpness(rgb: np.ndarray) -> float:
    return CHECK.score(Photo(np.ascontiguousarray(rgb), rgb.shape[1], rgb.shape[0], "PNG")).value


def blurred(rgb: np.ndarray, sigma: float) -> np.ndarray:
    """Sigma in px at the check's own scale of 512 px."""
    return cv2.GaussianBlur(rgb, (0, 0), sigma * max(1.0, min(rgb.shape[:2]) / 512))


@pytest.mark.parametrize("name", NAMES)
def test_falls_with_blur(name, photo):
    rgb = photo(name).rgb
    scores = [sharpness(rgb)] + [sharpness(blurred(rgb, sigma)) for sigma in (1, 2, 3, 5)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 1.25 * CHECK.threshold
    assert scores[1] > CHECK.threshold  # a slight softness stays
    assert scores[3] < CHECK.threshold  # 3 px goes


@pytest.mark.parametrize("name", ["chelsea", "flower", "ihc"])
def test_sees_motion_blur_in_either_direction(name, photo):
    rgb = photo(name).rgb
    for kernel in ((21, 1), (1, 21)):
        assert sharpness(cv2.blur(rgb, kernel)) < CHECK.threshold


@pytest.mark.parametrize("direction", ["across", "down", "falling", "rising"])
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "flower", "ihc", "retina"])
def test_sees_motion_blur_in_every_direction(name, direction, photo):
    rgb = photo(name).rgb
    length = round(25 * min(rgb.shape[:2]) / 512)
    slanted = np.eye(round(length / 2**0.5), dtype=np.float32)
    kernel = {
        "across": np.ones((1, length), np.float32),
        "down": np.ones((length, 1), np.float32),
        "falling": slanted,
        "rising": np.ascontiguousarray(slanted[::-1]),
    }[direction]
    assert sharpness(cv2.filter2D(rgb, -1, kernel / kernel.sum())) < CHECK.threshold


@pytest.mark.parametrize("degrees", [0, 2, 5])
def test_sharp_lines_are_sharp_also_when_nearly_level(degrees):
    down, across = np.mgrid[:512, :512]
    angle = np.deg2rad(degrees)
    phase = (np.cos(angle) * down + np.sin(angle) * across) % 24
    lines = 255 * np.clip(np.minimum(phase, 24 - phase) - 5.5, 0, 1)
    rgb = lines.astype(np.uint8)[..., None].repeat(3, 2)
    assert sharpness(rgb) > 1.3 * CHECK.threshold


@pytest.mark.parametrize("name", ["chelsea", "coffee", "astronaut"])
def test_a_sharp_subject_before_a_blurred_background_is_sharp(name, photo):
    rgb = photo(name).rgb
    h, w = rgb.shape[:2]
    portrait = blurred(rgb, 6)
    middle = np.s_[h // 4 : 3 * h // 4, w // 4 : 3 * w // 4]
    portrait[middle] = rgb[middle]
    assert sharpness(portrait) > 1.3 * CHECK.threshold
    assert sharpness(blurred(rgb, 6)) < CHECK.threshold


@pytest.mark.parametrize("name", ["chelsea", "coffee", "flower"])
def test_a_small_sharp_subject_is_enough(name, photo):
    """A ladybird on a leaf: a fortieth of the photo is sharp."""
    rgb = photo(name).rgb
    h, w = rgb.shape[:2]
    portrait = blurred(rgb, 6)
    middle = np.s_[2 * h // 5 : 3 * h // 5, 7 * w // 16 : 9 * w // 16]
    portrait[middle] = rgb[middle]
    assert sharpness(portrait) > CHECK.threshold


def test_contrast_changes_little(photo):
    rgb = photo("chelsea").rgb
    dim = (rgb.astype(float) * 0.4 + 60).astype(np.uint8)
    assert sharpness(dim) == pytest.approx(sharpness(rgb), abs=0.06)


def test_nothing_to_see_is_not_sharp():
    assert sharpness(np.full((300, 300, 3), 120, np.uint8)) == 0
    ramp = np.linspace(0, 255, 400).astype(np.uint8)[None, :, None].repeat(300, 0).repeat(3, 2)
    assert sharpness(ramp) < CHECK.threshold


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 2), (33, 31), (3, 4000)])
def test_any_shape_has_a_score(shape, photo):
    rgb = np.random.RandomState(0).randint(0, 255, (*shape, 3)).astype(np.uint8)
    assert 0 <= sharpness(rgb) <= 1
