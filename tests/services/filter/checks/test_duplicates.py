"""Copies are found and the better one stays; different photos are far apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from services.filter.checks import CHECKS, Measured, Member, Score
from services.filter.checks.duplicates import CHECK
from services.filter.decode import decode
from services.filter.hamming import RADIUS
from services.filter.judge import judge_collection
from services.filter.profile import profile

NAMES = ["astronaut", "chelsea", "china", "coffee", "flower", "rocket", "camera", "coins", "brick"]


def member(sha, data, passes=True):
    photo = decode(data)
    return Member(sha, Measured(photo.width, photo.height, CHECK.score(photo)), passes)


def distance(first, second):
    bits = [
        np.unpackbits(np.frombuffer(m.measured.score.vector, np.uint8)) for m in (first, second)
    ]
    return int(np.count_nonzero(bits[0] != bits[1]))


def trimmed(image, share):
    w, h = image.size
    x, y = round(share * w), round(share * h)
    return image.crop((x, y, w - x, h - y))


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_near(name, photo, encode):
    image = Image.fromarray(photo(name).rgb)
    whole = member("a", encode(image))
    copies = {
        "re-encoded": encode(image, "JPEG", quality=40),
        "half as large": encode(image.resize((image.width // 2, image.height // 2))),
        "brighter": encode(ImageEnhance.Brightness(image).enhance(1.2)),
        "WebP": encode(image, "WEBP", quality=60),
        "1 % cut off": encode(trimmed(image, 0.01), "JPEG", quality=90),
    }
    if name != "brick":  # its courses, moved by 2 %, are the gaps between them
        copies["2 % cut off"] = encode(trimmed(image, 0.02), "JPEG", quality=90)
    for what, data in copies.items():
        copy = member("b", data)
        bits = {each.value for each in CHECK.relate([whole, copy])}
        assert bits == {RADIUS + 1, distance(whole, copy)}, what
        assert min(bits) < CHECK.threshold, what


def test_different_photos_are_far_apart(photo_bytes):
    members = [member(name, photo_bytes(name)) for name in NAMES]
    assert min(distance(a, b) for a, b in itertools.combinations(members, 2)) > 1.2 * RADIUS


def test_halves_of_a_photo_are_other_photos(photo, encode):
    for name in NAMES:
        image = Image.fromarray(photo(name).rgb)
        w, h = image.size
        boxes = [(0, 0, w, h), (0, 0, w // 2, h), (w // 2, 0, w, h), (0, h // 2, w, h)]
        members = [member(str(box), encode(image.crop(box))) for box in boxes]
        assert {each.value for each in CHECK.relate(members)} == {RADIUS + 1}, name


def test_the_better_copy_stays(photo, encode):
    image = Image.fromarray(photo("chelsea").rgb)
    small = image.resize((225, 150))
    members = [
        member("1" * 64, encode(small)),
        member("2" * 64, encode(image, "JPEG", quality=30)),
        member("3" * 64, encode(image, "JPEG", quality=90)),
        member("4" * 64, encode(Image.fromarray(photo("coffee").rgb))),
    ]
    related = CHECK.relate(members)
    stay = [CHECK.passes(each.value, CHECK.threshold) for each in related]
    assert stay == [False, False, True, True]
    assert related[0].other == related[1].other == "3" * 64
    assert related[3].value == RADIUS + 1
    assert related[3].other == ""


def test_a_copy_that_passes_is_better_than_a_larger_one_that_does_not():
    vector = bytes(range(32))
    measured = {
        sha * 64: {
            "format": Measured(side, side, Score(1.0)),
            "grayscale": Measured(side, side, Score(grey)),
            "duplicates": Measured(side, side, Score(1000.0, vector=vector)),
        }
        for sha, side, grey in (("a", 900, 0.0), ("b", 300, 90.0), ("c", 200, 90.0))
    }
    sources = {sha: f"{sha[0]}.jpg" for sha in measured}
    verdicts = judge_collection(sources, measured, profile(()), 128)
    failed = {verdict.source: verdict.failed_checks for verdict in verdicts}
    assert failed == {
        "a.jpg": ("grayscale", "duplicates"),
        "b.jpg": (),
        "c.jpg": ("duplicates",),
    }
    (result,) = [r for r in verdicts[2].results if r.check == "duplicates"]
    assert result.related == "b" * 64
    assert "b.jpg" in result.detail
    assert result.unit == CHECKS["duplicates"].unit


def test_a_flat_photo_has_a_hash(encode):
    flat = member("a", encode(np.full((50, 80, 3), 120, np.uint8)))
    assert len(flat.measured.score.vector) == 32
