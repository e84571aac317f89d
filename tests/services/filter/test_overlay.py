"""Previews: what was found is where it was found, what was cut is bright, blur is red."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import cv2
import filter_pieces
import numpy as np
import pytest
from PIL import Image

from services.filter.build import build_dataset
from services.filter.overlay import View, render_candidate, render_verdict
from services.filter.profile import profile
from services.filter.verdicts import find_verdict, read_closest, read_verdicts
from tagloom.artifacts.dataset import Crop, Threshold
from tagloom.errors import NotFound
from tagloom.progress import silent
from tagloom.store import open_store

OFF = tuple(Threshold(check=name, enabled=False, value=0) for name in ("text", "duplicates"))
REQUEST = replace(
    filter_pieces.REQUEST, dataset="d", thresholds=OFF, crop=Crop(mode="subject", output_size=32)
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory, add_collection, photo_bytes, photo, encode):
    """A store with a dataset of a face, a photo that is blurred on its left, and others."""
    store = open_store(str(tmp_path_factory.mktemp("shown")))
    half = photo("coffee").rgb.copy()
    half[:, :300] = cv2.GaussianBlur(half, (0, 0), 5)[:, :300]
    files = {"astronaut.png": photo_bytes("astronaut"), "half.png": encode(half)}
    files |= {"rocket.jpg": photo_bytes("rocket"), "cut off.jpg": photo_bytes("china")[:60_000]}
    files["line.jpg"] = encode(cv2.resize(half, (2, 60_000)), "JPEG")
    add_collection(store, "photos", files)
    build_dataset(store, REQUEST, silent)
    return store, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def drawn(shown, name, view, side=1024):
    store, hashes = shown
    return Image.open(io.BytesIO(render_verdict(store, "d", hashes[name], side, view)))


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("side", [64, 320, 1024])
def test_every_view_of_every_photo_keeps_to_its_size(shown, view, side):
    for name in shown[1]:
        picture = drawn(shown, name, view, side)
        assert picture.format == "JPEG"
        assert 0 < max(picture.size) <= side


def test_a_face_has_its_box(shown):
    store, hashes = shown
    verdict = find_verdict(store, "d", hashes["astronaut.png"])
    (result,) = [r for r in verdict.results if r.check == "faces"]
    face = max(result.boxes, key=lambda box: box.score)
    picture = np.asarray(drawn(shown, "astronaut.png", View.PLAIN)).astype(int)
    scale = picture.shape[1] / 512
    left = int(face.left * scale) + 1
    edge = picture[int(face.top * scale) + 8 : int(face.bottom * scale) - 4, left].mean(axis=0)
    assert (abs(edge - (255, 59, 212)) < 70).all()


def test_what_is_not_cut_is_dark(shown, photo):
    store, hashes = shown
    (square,) = find_verdict(store, "d", hashes["rocket.jpg"]).squares
    picture = np.asarray(drawn(shown, "rocket.jpg", View.PLAIN)).astype(float).mean(axis=2)
    whole = photo("rocket").rgb.astype(float).mean(axis=2)
    inside = np.zeros(whole.shape, bool)
    inside[square.top : square.top + square.side, square.left : square.left + square.side] = True
    assert picture.shape == whole.shape
    assert picture[inside].mean() == pytest.approx(whole[inside].mean(), rel=0.03)
    assert picture[~inside].mean() < 0.6 * whole[~inside].mean()


def test_the_blurred_half_is_red_and_the_sharp_one_green(shown):
    picture = np.asarray(drawn(shown, "half.png", View.BLUR)).astype(float)
    redness = picture[..., 0] - picture[..., 1]
    middle = picture.shape[1] // 2
    assert redness[:, : middle - 32].mean() > 5
    assert redness[:, middle + 32 :].mean() < -5


def test_a_sheet_says_what_became_of_it(shown):
    for name in shown[1]:
        head = np.asarray(drawn(shown, name, View.SHEET))[3, -3].astype(int)
        kept = find_verdict(shown[0], "d", shown[1][name]).kept
        if name != "cut off.jpg":  # a damaged file has a card
            assert (head[1] > head[0]) == kept


def test_a_candidate_is_judged_by_the_profile_that_is_asked(shown):
    store, hashes = shown
    for value, green in ((0.5, False), (3.0, True)):
        thresholds = profile((Threshold(check="faces", value=value), *OFF))
        jpeg = render_candidate(store, "photos", hashes["astronaut.png"], thresholds, 128)
        bar = np.asarray(Image.open(io.BytesIO(jpeg)))[-2, -2].astype(int)
        assert (bar[1] > bar[0]) == green
    with pytest.raises(NotFound, match="no image"):
        render_candidate(store, "photos", "0" * 64, profile(()), 128)


def test_the_borderline_photos_come_first(shown):
    store = shown[0]
    closest, total = read_closest(store, "d")
    assert total == len(closest) == len(shown[1])
    assert {v.sha256 for v in closest} == {v.sha256 for v in read_verdicts(store, "d")[0]}
    assert {v.source for v in closest[-2:]} == {"cut off.jpg", "line.jpg"}  # nothing turns those
    pages = [read_closest(store, "d", start=start, limit=1)[0] for start in range(total + 1)]
    assert [v.sha256 for page in pages for v in page] == [v.sha256 for v in closest]
