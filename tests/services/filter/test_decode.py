"""Every kind of file a stranger may hand in, decoded or refused in one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import filter_peak
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import services.filter.decode as decode_module
from services.filter.decode import MAX_BYTES, MAX_PIXELS, Undecodable, decode


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def blank_png(width: int, height: int) -> bytes:
    """A one-bit PNG of any size, in constant memory."""
    packer, row = zlib.compressobj(1), b"\0" * (1 + (width + 7) // 8)
    body = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def refused(data: bytes) -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(data)
    assert caught.value.detail.endswith(".")
    assert "\n" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_takes_what_the_web_uses(format, photo, encode):
    original = photo("chelsea").rgb
    options = {"lossless": True} if format == "WEBP" else {}
    taken = decode(encode(original, format, **options))
    assert (taken.format, taken.width, taken.height) == (format, 451, 300)
    difference = np.abs(taken.rgb.astype(int) - original)
    assert difference.max() == 0 if format != "JPEG" else difference.mean() < 5


def test_a_jpeg_may_come_smaller_but_never_below_what_is_asked(photo_bytes):
    data = photo_bytes("retina")
    whole, part = decode(data), decode(data, at_least=500)
    assert whole.rgb.shape == (1411, 1411, 3)
    assert part.rgb.shape == (706, 706, 3)
    assert (part.width, part.height) == (1411, 1411)
    reduced = whole.fit(706).astype(int)
    assert np.abs(part.rgb.astype(int) - reduced).mean() < 2
    assert decode(data, at_least=5000).rgb.shape == whole.rgb.shape


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA"])
def test_so_may_any_other_format(mode, photo, encode):
    image = Image.fromarray(photo("retina").rgb[:1410, :1410]).convert(mode)
    part = decode(encode(image), at_least=400)
    assert part.rgb.shape == (470, 470, 3)
    assert (part.width, part.height) == (1410, 1410)
    whole = np.asarray(image.convert("RGB").resize((470, 470), Image.Resampling.BOX)).astype(int)
    assert np.abs(part.rgb.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_is_turned_upright(orientation, encode):
    """The upper left quarter is red once upright, whichever way the sensor was held."""
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = (250, 0, 0)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(upright)
    stored = image.transpose(undo[orientation]) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    taken = decode(encode(stored, "PNG", exif=exif))
    assert (taken.width, taken.height) == (60, 40)
    np.testing.assert_array_equal(taken.rgb, upright)


@pytest.mark.parametrize("at_least", [0, 100])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "I;16"])
def test_strips_leave_no_trace(mode, at_least, photo, encode, monkeypatch):
    rgb = photo("retina").rgb[:333, :500]
    image = (
        Image.fromarray(rgb[..., 0].astype(np.uint16) * 256)
        if mode == "I;16"
        else Image.fromarray(rgb).convert(mode)
    )
    data = encode(image)
    whole = decode(data, at_least=at_least).rgb
    monkeypatch.setattr(decode_module, "_STRIP", 3000)
    np.testing.assert_array_equal(decode(data, at_least=at_least).rgb, whole)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("alpha", [True, False])
def test_a_large_webp_is_what_a_small_one_is(
    alpha, lossless, orientation, photo, encode, monkeypatch
):
    image = Image.fromarray(photo("chelsea").rgb)
    if alpha:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, "WEBP", lossless=lossless, exact=True, exif=exif)
    by_pillow = decode(data)
    monkeypatch.setattr(decode_module, "_PILLOWS_WEBP", 0)
    by_opencv = decode(data)
    assert (by_opencv.width, by_opencv.format) == (by_pillow.width, "WEBP")
    np.testing.assert_allclose(by_opencv.rgb.astype(int), by_pillow.rgb, atol=2)
    cut_off = data[: len(data) // 2]
    assert refused(cut_off).reason in ("DAMAGED", "NOT_AN_IMAGE")


def test_a_progressive_jpeg_has_a_limit_of_its_own(photo, encode, monkeypatch):
    """Its coefficients lie in memory whole: 6 bytes a pixel, 3 with halved chroma."""
    rgb = photo("chelsea").rgb
    full = encode(rgb, "JPEG", progressive=True, subsampling=0)
    halved = encode(rgb, "JPEG", progressive=True, subsampling=2)
    monkeypatch.setattr(decode_module, "_MAX_COEFFICIENTS", 4 * rgb.shape[0] * rgb.shape[1])
    assert decode(halved).width == decode(encode(rgb, "JPEG", subsampling=0)).width == 451
    error = refused(full)
    assert error.reason == "TOO_MANY_PIXELS"
    assert "progressive JPEG" in error.detail


def peak_mib(data: bytes, tmp_path) -> int:
    """Of a process that scores the photo by every check of the default profile."""
    file = tmp_path / "photo"
    file.write_bytes(data)
    command = [sys.executable, filter_peak.__file__, str(file)]
    root = str(Path(decode_module.__file__).parents[2])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": root}, check=True, capture_output=True
    )
    return int(done.stdout)


def large(mode: str, encode) -> bytes:
    """Almost as large as is taken, in a format that costs the most memory in its mode."""
    pixels = MAX_PIXELS - 200_000
    height = int((pixels / 1.5) ** 0.5)
    plain = Image.linear_gradient("L").resize((pixels // height, height), Image.Resampling.BOX)
    if mode == "I;16":
        return encode(Image.fromarray(np.asarray(plain).astype(np.uint16) * 256), compress_level=1)
    if mode == "progressive":
        return encode(plain.convert("RGB"), "JPEG", progressive=True, subsampling=2)
    if mode == "WebP":
        half = plain.resize((plain.width // 2, plain.height // 2)).convert("RGBA")
        half.putalpha(Image.linear_gradient("L").resize(half.size))
        return encode(half, "WEBP", lossless=True, quality=0, method=0)
    return encode(plain.convert(mode), compress_level=1)


@pytest.mark.parametrize(
    "mode",
    [
        "RGB",
        *(
            pytest.param(mode, marks=pytest.mark.long)
            for mode in ("RGBA", "P", "LA", "I;16", "progressive", "WebP")
        ),
    ],
)
def test_the_largest_photos_are_scored_within_600_megabytes(mode, encode, tmp_path):
    assert peak_mib(large(mode, encode), tmp_path) * 2**20 < 600e6


def test_broken_metadata_do_not_cost_the_photo(photo, encode):
    data = encode(photo("chelsea").rgb, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert decode(data).width == 451


def test_every_mode_becomes_rgb(photo, encode):
    rgb = Image.fromarray(photo("coffee").rgb)
    for image in (rgb.convert("L"), rgb.convert("1"), rgb.convert("P"), rgb.convert("LA")):
        assert decode(encode(image)).rgb.shape == (400, 600, 3)
    cmyk = decode(encode(rgb.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(cmyk.rgb.astype(int) - np.asarray(rgb)).mean() < 6


def test_sixteen_bits_keep_their_brightness(encode):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, axis=0)
    taken = decode(encode(Image.fromarray(ramp)))
    np.testing.assert_array_equal(taken.rgb[0, :, 0], np.arange(256))


def test_transparency_is_laid_on_white(encode):
    rgba = np.zeros((10, 10, 4), np.uint8)
    rgba[:, 5:] = (0, 0, 255, 255)
    taken = decode(encode(Image.fromarray(rgba)))
    assert tuple(taken.rgb[0, 0]) == (255, 255, 255)
    assert tuple(taken.rgb[0, 9]) == (0, 0, 255)
    palette = Image.fromarray(rgba[..., :3]).quantize(2)
    index = palette.getpixel((0, 0))
    assert tuple(decode(encode(palette, transparency=index)).rgb[0, 0]) == (255, 255, 255)


def test_colour_profiles_are_applied_and_damaged_ones_ignored(encode):
    flat = np.full((8, 8, 3), (120, 60, 200), np.uint8)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    for profile in (b"not a profile", lab.tobytes(), srgb.tobytes()):
        np.testing.assert_array_equal(decode(encode(flat, icc_profile=profile)).rgb, flat)
    swapped = bytearray(srgb.tobytes())
    # Exchange the red and blue primaries in the tag table; the description goes as well.
    tags = bytes(swapped).replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ")
    tags = tags.replace(b"tmp!", b"bXYZ").replace(b"s\0R\0G\0B\0", b"o\0d\0d\0\0\0")
    tags = tags.replace("sRGB".encode("utf-16-be"), "oddX".encode("utf-16-be"))
    taken = decode(encode(flat, icc_profile=tags)).rgb[0, 0].astype(int)
    assert taken[0] > 150
    assert taken[2] < 170


def test_refuses_what_is_no_photo(photo, encode):
    chelsea = Image.fromarray(photo("chelsea").rgb)
    assert refused(b"").reason == "EMPTY_FILE"
    assert refused(b"0" * (MAX_BYTES + 1)).reason == "TOO_MANY_BYTES"
    assert refused(b"just some text\n" * 99).reason == "NOT_AN_IMAGE"
    for format in ("GIF", "TIFF", "BMP"):
        error = refused(encode(chelsea, format))
        assert error.reason == "UNSUPPORTED_FORMAT"
        assert format in error.detail
    assert refused(b"\0\0\0\x1cftypheic" + b"0" * 99).reason == "UNSUPPORTED_FORMAT"


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_refuses_animations(format, photo, encode):
    frame = Image.fromarray(photo("chelsea").rgb)
    other = frame.transpose(Image.Transpose.ROTATE_180)
    data = encode(frame, format, save_all=True, append_images=[other])
    error = refused(data)
    assert error.reason == "ANIMATED"
    assert (error.width, error.height) == (451, 300)


@pytest.mark.parametrize("name", ["china", "chelsea"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_refuses_truncated_files(name, share, photo_bytes):
    data = photo_bytes(name)
    error = refused(data[: int(len(data) * share)])
    assert error.reason == "DAMAGED"
    assert error.width > 0


def test_refuses_a_bomb_without_decoding_it():
    data = blank_png(30_000, 30_000)
    assert len(data) < 1_000_000
    before = psutil.Process().memory_info().rss
    assert refused(data).reason == "TOO_MANY_PIXELS"
    assert "900 million pixels" in refused(data).detail
    nearly = refused(blank_png(8_192, 6_200))
    assert "has 51 million pixels; at most 50 million" in nearly.detail
    assert "50,339,840 pixels; at most 50,331,648" in refused(blank_png(8_192, 6_145)).detail
    error = refused(blank_png(8_200, 6_200))  # just above the limit, below Pillow's own
    assert (error.width, error.height) == (8_200, 6_200)
    assert psutil.Process().memory_info().rss - before < 50 * 2**20
    assert MAX_PIXELS >= 8160 * 6144  # what the largest phone sensors give


def test_refuses_a_text_chunk_bomb(encode):
    plain = encode(np.zeros((4, 4, 3), np.uint8))
    bomb = zlib.compress(b"0" * 80_000_000)
    data = plain[:33] + png_chunk(b"zTXt", b"Comment\0\0" + bomb) + plain[33:]
    assert refused(data).reason == "DAMAGED"


def test_a_header_that_breaks_off_is_damage(photo_bytes):
    for name in ("china", "chelsea"):
        assert refused(photo_bytes(name)[:100]).reason == "DAMAGED"


def test_a_damaged_png_is_seen_by_its_checksums(photo_bytes):
    """Pillow shows black rows instead."""
    data = photo_bytes("chelsea")
    for at in (len(data) // 3, len(data) // 2, len(data) - 20):
        broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert "checksum of a part (IDAT)" in refused(broken).detail
    zeros = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    assert refused(zeros).reason == "DAMAGED"


@pytest.mark.parametrize("name", ["china", "chelsea"])
def test_polyglots_are_told(name, photo_bytes, encode):
    data = photo_bytes(name)
    archive = io.BytesIO(data)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("hidden.txt", "x" * 100)
    as_webp = encode(photo_like(data), "WEBP")
    for polyglot, what in (
        (archive.getvalue(), "a ZIP archive"),
        (data + b"\nPK\3\4" + b"0" * 50, "a ZIP archive"),
        (as_webp + b"<?php exit;", "a script"),
        (data + b"<SCRIPT>alert(1)</SCRIPT>", "a script"),
        (data + b"\r\n<!DOCTYPE html><p>", "a page of HTML"),
        (data + b"%PDF-1.7", "a PDF document"),
    ):
        error = refused(polyglot)
        assert error.reason == "POLYGLOT"
        assert what in error.detail


@pytest.mark.parametrize(
    "appended",
    [
        b"",
        b"\0" * 900,
        b"\n",
        b"\0\0\0\x18ftypmp42 a film",
        b"SEFH maker's notes",
        b"\xff\xd8\xff\xd9",
    ],
)
def test_what_cameras_append_does_not_matter(appended, photo_bytes, encode):
    thumbnail = Image.Exif()
    thumbnail[0x010E] = b"\xff\xd9<html>".decode("latin-1")
    for data in (
        photo_bytes("china"),
        photo_bytes("chelsea"),
        encode(photo_like(photo_bytes("china")), "WEBP"),
        encode(photo_like(photo_bytes("china")), "JPEG", progressive=True, exif=thumbnail),
    ):
        assert decode(data + appended).width in (640, 451)


def photo_like(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@settings(max_examples=60, deadline=None)
@given(noise=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_flipped_bytes_give_a_photo_or_a_verdict(noise, flipped_sources):
    for source in flipped_sources:
        data = bytearray(source)
        for place, value in noise:
            data[int(place * (len(data) - 1))] = value
        with contextlib.suppress(Undecodable):  # and nothing else
            assert decode(bytes(data), at_least=64).rgb.ndim == 3


@pytest.fixture(scope="module")
def flipped_sources(photo, encode):
    small = photo("chelsea").fit(96)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return [
        encode(small, "JPEG", exif=exif),
        encode(small, "PNG", icc_profile=profile),
        encode(small, "WEBP", exif=exif),
        encode(Image.fromarray(small).quantize(16), "PNG", transparency=3),
    ]


def test_fit_is_shared_and_never_enlarges(photo):
    chelsea = photo("chelsea")
    assert chelsea.fit(1000) is chelsea.rgb
    assert chelsea.fit(100) is chelsea.fit(100)
    assert chelsea.fit(100).shape == (67, 100, 3)


def test_bytes_io_is_not_kept_open(photo_bytes):
    # A ResourceWarning would be an error here.
    data = photo_bytes("china")
    assert decode(data).width == Image.open(io.BytesIO(data)).width
