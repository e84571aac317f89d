"""Faces: the astronaut's at any size and side, and no face where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from services.filter.checks.faces import CHECK
from services.filter.decode import Photo


def found(rgb: np.ndarray):
    rgb = np.ascontiguousarray(rgb)
    return CHECK.score(Photo(rgb, rgb.shape[1], rgb.shape[0], "PNG"))


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5, 4.0])
def test_whatever_the_photos_size(factor, photo):
    rgb = cv2.resize(photo("astronaut").rgb, None, fx=factor, fy=factor)
    score = found(rgb)
    assert score.value > CHECK.threshold
    face = max(score.boxes, key=lambda box: box.score)
    middle = ((face.left + face.right) / 2 / factor, (face.top + face.bottom) / 2 / factor)
    assert middle == pytest.approx((225, 125), abs=20)


def test_mirrored_and_darker(photo):
    rgb = photo("astronaut").rgb
    assert found(rgb[:, ::-1]).value > CHECK.threshold
    assert found(rgb // 2).value > CHECK.threshold


@pytest.mark.parametrize("name", ["chelsea", "coffee", "china", "rocket", "motorcycle_left"])
def test_no_face_on_parts_of_other_photos(name, photo):
    rgb = photo(name).rgb
    h, w = rgb.shape[:2]
    random = np.random.RandomState(0)
    for _ in range(4):
        top, left = random.randint(h // 2), random.randint(w // 2)
        part = rgb[top : top + h // 2, left : left + w // 2]
        assert found(part).value <= CHECK.threshold


def test_the_back_of_the_photo_has_none(photo):
    rgb = photo("astronaut").rgb
    assert found(rgb[300:]).value <= CHECK.threshold


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 2), (12, 12), (30, 4000)])
def test_any_shape_has_a_score(shape):
    rgb = np.random.RandomState(0).randint(0, 255, (*shape, 3)).astype(np.uint8)
    assert -0.5 <= found(rgb).value <= CHECK.threshold
