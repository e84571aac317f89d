"""Geometry of squares, their reduction, and the held-out split."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.filter.crop import cut, held_out, squares
from tagloom.artifacts.dataset import Crop, Square

sides = st.integers(1, 3000)


@settings(deadline=None)
@given(width=sides, height=sides, tile=st.integers(60, 600))
def test_tiles_lie_inside_do_not_overlap_and_leave_no_room(width, height, tile):
    found = squares(width, height, Crop(mode="tiles", tile_size=tile), 256)
    side = min(tile, width, height)
    assert len(found) == (width // side) * (height // side)
    assert len({(square.left, square.top) for square in found}) == len(found)
    first = found[0]
    for square in found:
        assert square.side == side
        assert 0 <= square.left <= width - side
        assert 0 <= square.top <= height - side
        assert (square.left - first.left) % side == (square.top - first.top) % side == 0
    # Centred: what is left over lies on both sides.
    assert abs(first.left - (width - found[-1].left - side)) <= 1
    assert abs(first.top - (height - found[-1].top - side)) <= 1


@given(width=sides, height=sides)
def test_the_centre_is_one_square_as_large_as_can_be(width, height):
    (square,) = squares(width, height, Crop(mode="center"), 256)
    assert square.side == min(width, height)
    assert abs(2 * square.left + square.side - width) <= 1
    assert abs(2 * square.top + square.side - height) <= 1


@settings(deadline=None)
@given(width=sides, height=sides, tile=st.integers(60, 600), overlap=st.floats(0, 0.75))
def test_overlapping_tiles_keep_the_limit_and_cover_no_less(width, height, tile, overlap):
    crop = Crop(mode="tiles", tile_size=tile, overlap=overlap)
    found = squares(width, height, crop, 256)
    touching = squares(width, height, Crop(mode="tiles", tile_size=tile), 256)
    side = min(tile, width, height)
    assert len(found) >= len(touching)
    assert len({(square.left, square.top) for square in found}) == len(found)
    for axis, length in (("left", width), ("top", height)):
        starts = sorted({getattr(square, axis) for square in found})
        assert starts[0] >= 0
        assert starts[-1] + side <= length
        for first, second in itertools.pairwise(starts):
            assert first + side - second <= overlap * side + 1e-9
        if len(starts) > length // side:  # tiles overlap here: nothing is left out
            assert (starts[0], starts[-1] + side) == (0, length)
            assert all(b - a <= side for a, b in itertools.pairwise(starts))


def test_half_a_tile_of_overlap():
    found = squares(512, 256, Crop(mode="tiles", tile_size=256, overlap=0.5), 256)
    assert [square.left for square in found] == [0, 128, 256]


@given(width=sides, height=sides, focus=st.floats(0, 1))
def test_the_subject_moves_the_square_along_the_longer_side_alone(width, height, focus):
    (square,) = squares(width, height, Crop(mode="subject"), 256, focus)
    assert square.side == min(width, height)
    assert 0 <= square.left <= width - square.side
    assert 0 <= square.top <= height - square.side
    longer, room = (square.left, width) if width > height else (square.top, height)
    assert abs(longer - focus * (room - square.side)) < 1


def test_nothing_is_cut_from_nothing():
    assert squares(0, 0, Crop(), 256) == []


def test_the_judged_resolution_is_the_default_tile():
    assert len(squares(512, 256, Crop(mode="tiles"), 256)) == 2


ids = st.lists(
    st.tuples(st.sampled_from(["a" * 64, "b" * 64, "c" * 64]), st.integers(0, 400)),
    unique=True,
    max_size=300,
)


@settings(deadline=None)
@given(ids=ids, ratio=st.floats(0, 0.5), seed=st.integers(-(2**63), 2**63 - 1))
def test_held_out_squares_are_a_share_chosen_by_seed_alone(ids, ratio, seed):
    aside = held_out(ids, ratio, seed)
    assert aside <= set(ids)
    assert aside == held_out(ids[::-1], ratio, seed)
    if ratio == 0 or len(ids) < 2:
        assert not aside
    else:
        assert len(aside) in (round(ratio * len(ids)), 1)
        assert 1 <= len(aside) < len(ids)


def test_another_seed_is_another_choice():
    ids = [("a" * 64, index) for index in range(100)]
    first, second = held_out(ids, 0.2, 0), held_out(ids, 0.2, 1)
    assert len(first) == len(second) == 20
    assert first != second


def test_adding_an_image_moves_few():
    ids = [("a" * 64, index) for index in range(400)]
    more = ids + [("b" * 64, index) for index in range(40)]
    before, after = held_out(ids, 0.25, 3), held_out(more, 0.25, 3)
    assert len(before - after) < 20


@settings(deadline=None)
@given(ids=ids, ratio=st.floats(0, 0.5), seed=st.integers(0, 9))
def test_where_tiles_overlap_an_image_is_held_out_whole(ids, ratio, seed):
    aside = held_out(ids, ratio, seed, whole_images=True)
    trained = {sha256 for sha256, _ in set(ids) - aside}
    assert not trained & {sha256 for sha256, _ in aside}
    assert bool(trained) == bool(ids)
    assert bool(aside) == (ratio > 0 and len({sha256 for sha256, _ in ids}) > 1)


def test_a_square_has_no_pixel_of_its_neighbours(photo):
    """What lies outside must not change a single output pixel, or held-out tiles leak."""
    rgb = photo("coffee").rgb
    square = Square(left=128, top=128, side=128)
    other = np.random.RandomState(0).randint(0, 255, rgb.shape).astype(np.uint8)
    inside = np.s_[128:256, 128:256]
    other[inside] = rgb[inside]
    for size in (32, 128, 100):
        np.testing.assert_array_equal(
            np.asarray(cut(rgb, square, size)), np.asarray(cut(other, square, size))
        )


def test_reduction_does_not_alias():
    """Stripes above the new Nyquist frequency become flat grey instead of a pattern."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(cut(stripes, Square(left=0, top=0, side=256), 32)).astype(int)
    assert np.abs(small[:, 2:-2] - 127).max() <= 2  # at the edges the kernel is cut off
    assert small.shape == (32, 32, 3)


@pytest.mark.parametrize("size", [64, 256])
def test_brightness_is_kept(size, photo):
    rgb = photo("china").rgb
    square = Square(left=100, top=50, side=300)
    mean = rgb[50:350, 100:400].mean(axis=(0, 1))
    assert np.asarray(cut(rgb, square, size)).mean(axis=(0, 1)) == pytest.approx(mean, abs=1)
