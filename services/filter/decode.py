"""Bytes of unknown origin to upright 8-bit sRGB, once per image; anything wrong becomes a sentence.

What a file is decides its content, never its name. The size is read from the header and judged
before a single pixel is decoded, so a decompression bomb costs nothing. The limits keep a process
that scores below 600 MB, whatever comes; pixels are converted and reduced in strips, so that there
is one copy of a large photo and not four.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from services.filter.containers import foreign_content, looks_like_a_photo, wrong_checksum

__all__ = ["FORMATS", "MAX_BYTES", "MAX_PIXELS", "Photo", "Undecodable", "decode"]

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 8192 * 6144
"""50 million, as the largest phone sensors are saved: 200 MB as Pillow decodes them"""
MAX_BYTES = 64 * 2**20
_MAX_WEBP = MAX_PIXELS // 2
"""its lossless decoder holds two copies"""
_PILLOWS_WEBP = 12_000_000
"""beyond, OpenCV decodes it: Pillow holds four copies, and takes no more than one frame either"""
_MAX_COEFFICIENTS = 200 * 2**20
"""bytes that a progressive JPEG's coefficients may take, at whatever scale it is decoded"""
_STRIP = 1 << 20
"""pixels converted at once"""

_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"PK\3\4": "ZIP",
}
_ISO_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"avif": "AVIF", b"avis": "AVIF"}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""what turns each value of the EXIF tag Orientation upright (EXIF 2.32, 4.6.4)"""
_ORIENTATION = 0x0112

_TURNED = {
    Image.Transpose.FLIP_LEFT_RIGHT: lambda rgb: rgb[:, ::-1],
    Image.Transpose.ROTATE_180: lambda rgb: rgb[::-1, ::-1],
    Image.Transpose.FLIP_TOP_BOTTOM: lambda rgb: rgb[::-1],
    Image.Transpose.TRANSPOSE: lambda rgb: rgb.transpose(1, 0, 2),
    Image.Transpose.ROTATE_270: lambda rgb: rgb.transpose(1, 0, 2)[:, ::-1],
    Image.Transpose.TRANSVERSE: lambda rgb: rgb[::-1, ::-1].transpose(1, 0, 2),
    Image.Transpose.ROTATE_90: lambda rgb: rgb.transpose(1, 0, 2)[::-1],
}
"""the same as Pillow's transpose, for arrays [h, w, 3]"""

_AVERAGED = ("RGB", "L", "RGBA", "LA", "CMYK")
"""modes whose pixels may be averaged (Pillow weighs them by alpha where there is one)"""


class Undecodable(Exception):
    """The bytes are not a photo that we take: a verdict, not an error of the program."""

    def __init__(self, reason: str, detail: str, width: int = 0, height: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        """stable name, UPPER_SNAKE_CASE"""
        self.detail = detail
        """one sentence for people"""
        self.width = width
        self.height = height


@dataclass(eq=False, slots=True)
class Photo:
    """A decoded photo, upright, sRGB, without alpha."""

    rgb: npt.NDArray[np.uint8]
    """[h, w, 3], read-only; smaller than the photo where less than all was asked for"""
    width: int
    """of the whole upright photo, px"""
    height: int
    format: str
    """JPEG, PNG or WEBP"""
    bytes: int = 0
    """size of the file"""
    _fitted: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)
    _grey: npt.NDArray[np.uint8] | None = None

    def grey(self) -> npt.NDArray[np.uint8]:
        """The photo's brightness [h, w] (Rec. 601). Kept, as `fit` is."""
        if self._grey is None:
            self._grey = np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        return self._grey

    def fit(self, long_side: int) -> npt.NDArray[np.uint8]:
        """The photo [h, w, 3] with its longer side reduced to `long_side` px (area averaging),
        or as it is if that is smaller. Kept: checks that ask for one size share it."""
        if long_side not in self._fitted:
            h, w = self.rgb.shape[:2]
            ratio = long_side / max(h, w)
            self._fitted[long_side] = self.rgb if ratio >= 1 else scaled(self.rgb, ratio)
        return self._fitted[long_side]


def scaled(rgb: npt.NDArray[np.uint8], ratio: float) -> npt.NDArray[np.uint8]:
    """An image [h, w, 3] or plane [h, w] times `ratio`: area averaging down, bilinear up; no side
    below 1 px."""
    h, w = rgb.shape[:2]
    size = (max(1, round(w * ratio)), max(1, round(h * ratio)))
    method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=method), np.uint8)


def decode(data: bytes, *, at_least: int = 0, at_least_long: int = 0) -> Photo:
    """Decodes JPEG, PNG or WebP.

    With `at_least`, a photo may come smaller by a whole factor, as long as its shorter side keeps
    `at_least` px and its longer one `at_least_long`: less memory, and several times faster for a
    large JPEG, which is reduced by 1/2, 1/4 or 1/8 in the decoder's own transform. The others are
    reduced by averaging.

    EXIF orientation is applied; an embedded colour profile is converted to sRGB (a damaged one is
    ignored); CMYK, palettes, 1 and 16 bits become 8-bit RGB; transparency is laid on white.

    Raises Undecodable with reason EMPTY_FILE, TOO_MANY_BYTES, UNSUPPORTED_FORMAT, NOT_AN_IMAGE,
    ANIMATED, TOO_MANY_PIXELS, DAMAGED or POLYGLOT.
    """
    if not data:
        raise Undecodable("EMPTY_FILE", "The file is empty.")
    if len(data) > MAX_BYTES:
        raise Undecodable(
            "TOO_MANY_BYTES", f"The file is larger than {MAX_BYTES // 2**20} MiB, the limit."
        )
    image = _open(data)
    width, height = image.size
    try:
        if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
            raise Undecodable(
                "ANIMATED", "The image is animated; only still photos are taken.", width, height
            )
        if (chunk := wrong_checksum(data)) is not None:
            raise OSError(f"the checksum of a part ({chunk}) is wrong")
        if (foreign := foreign_content(data)) is not None:
            raise Undecodable(
                "POLYGLOT",
                f"The file is a {image.format} image and {foreign} at once; save the picture "
                "alone.",
                width,
                height,
            )
        ratio = max(at_least / min(width, height), at_least_long / max(width, height))
        if 0 < ratio < 1:
            image.draft(None, (int(width * ratio) + 1, int(height * ratio) + 1))
        format, turn = str(image.format), _UPRIGHT.get(_orientation(image))
        profile = image.info.get("icc_profile")
        if format == "WEBP" and width * height > _PILLOWS_WEBP:
            image.close()
            image = _webp(data)
        image.load()
        factor = _factor(image.size, at_least, at_least_long)
        rgb = _converted(image, factor, profile)
        image.close()
        if turn is not None:
            rgb = np.ascontiguousarray(_TURNED[turn](rgb))
            if turn not in _UPRIGHT_KEEPS_SIDES:
                width, height = height, width
    except (Undecodable, MemoryError):
        raise
    except Exception as error:
        # Decoders of hostile bytes raise nearly anything: OSError, SyntaxError, ValueError,
        # struct.error, zlib.error, IndexError. Each of them says the same of the file.
        raise Undecodable(
            "DAMAGED", f"The image data are damaged: {_sentence(error)}.", width, height
        ) from error
    return Photo(rgb, width, height, format, len(data))


_UPRIGHT_KEEPS_SIDES = {
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
}


def _open(data: bytes) -> Image.Image:
    """Reads the header only."""
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 MP on; the limit below is ours.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        raise _too_large(int(found.group()) if found else 2 * MAX_PIXELS) from error
    except Exception as error:  # as in `decode`: a header can break in any way
        if (known := _other_format(data)) is not None:
            raise Undecodable(
                "UNSUPPORTED_FORMAT", f"The file is {known}; JPEG, PNG and WebP are taken."
            ) from error
        if looks_like_a_photo(data):
            raise Undecodable(
                "DAMAGED", "The image data are damaged: they break off or are wrong at the head."
            ) from error
        raise Undecodable(
            "NOT_AN_IMAGE", "The file is not a JPEG, PNG or WebP image, whatever its name says."
        ) from error
    pixels, most = image.width * image.height, _most_pixels(image)
    if pixels > most:
        raise _too_large(pixels, image.width, image.height, most, _kind(image))
    return image


def _most_pixels(image: Image.Image) -> int:
    if image.format == "WEBP":
        return _MAX_WEBP
    if isinstance(image, JpegImageFile) and image.info.get("progressive"):
        _, across, down, _ = map(max, zip(*image.layer, strict=True))
        planes = sum(layer[1] * layer[2] for layer in image.layer) / (across * down)
        return min(MAX_PIXELS, int(_MAX_COEFFICIENTS / (2 * planes)))
    return MAX_PIXELS


def _kind(image: Image.Image) -> str:
    progressive = image.format == "JPEG" and image.info.get("progressive")
    return "progressive JPEG" if progressive else "WebP" if image.format == "WEBP" else "image"


def _too_large(
    pixels: int, width: int = 0, height: int = 0, most: int = MAX_PIXELS, kind: str = "image"
) -> Undecodable:
    has, taken = f"{pixels / 1e6:,.0f} million", f"{most // 10**6} million"
    if has == taken:
        has, taken = f"{pixels:,}", f"{most:,}"
    return Undecodable(
        "TOO_MANY_PIXELS",
        f"The {kind} has {has} pixels; at most {taken} are decoded.",
        width,
        height,
    )


def _other_format(data: bytes) -> str | None:
    if data[4:8] == b"ftyp":
        return _ISO_BRANDS.get(data[8:12], "an ISO media file")
    return next((name for magic, name in _OTHER_FORMATS.items() if data.startswith(magic)), None)


def _sentence(error: Exception) -> str:
    """An exception's text, fit to stand inside a sentence."""
    text = " ".join(str(error).split()).rstrip(".")[:160]
    return text or type(error).__name__


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF is an extra: a photo with broken metadata is still a photo
        return 1


def _factor(size: tuple[int, int], at_least: int, at_least_long: int) -> int:
    """The greatest whole number that the sides may be divided by."""
    factors = [
        side // wanted
        for side, wanted in ((min(size), at_least), (max(size), at_least_long))
        if wanted
    ]
    return max(1, min(factors, default=1))


def _webp(data: bytes) -> Image.Image:
    """A large WebP, RGB or RGBA, upright or not."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr is None:
        raise OSError("broken data stream when reading image file")
    swap = cv2.COLOR_BGRA2RGBA if bgr.shape[2] == 4 else cv2.COLOR_BGR2RGB
    image = Image.fromarray(cv2.cvtColor(bgr, swap, dst=bgr))
    image.format = "WEBP"
    return image


def _converted(image: Image.Image, factor: int, profile: bytes | None) -> npt.NDArray[np.uint8]:
    """RGB [ceil(h / factor), ceil(w / factor), 3], averaged over squares of `factor` px."""
    w, h = image.size
    rgb = np.empty((-(-h // factor), -(-w // factor), 3), np.uint8)
    # Before conversions where that is right (averaging palette indices is not): they copy.
    early = image.mode in _AVERAGED
    rows = max(1, _STRIP // (w * factor)) * factor
    for top in range(0, h, rows):
        strip = image.crop((0, top, w, min(top + rows, h)))
        strip.info = image.info
        if factor > 1 and early:
            strip = strip.reduce(factor)
        strip = _to_rgb(strip, profile)
        if factor > 1 and not early:
            strip = strip.reduce(factor)
        first = top // factor
        rgb[first : first + strip.height] = np.asarray(strip)
    return rgb


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    alpha = None
    if image.mode.startswith("I"):  # 16 bits: keep the upper 8, as Pillow does for 16-bit RGB
        values = np.asarray(image).astype(np.int64)  # of a strip
        image = Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = rgba.getchannel("A")
        image = rgba.convert("RGB")
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    rgb = _to_srgb(image, profile) if profile else _plain_rgb(image)
    if alpha is None:
        return rgb
    white = Image.new("RGB", rgb.size, "white")
    white.paste(rgb, mask=alpha)
    return white


def _plain_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        transform = _transform(profile, image.mode)
        converted = None if transform is None else ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, ValueError, OSError):
        converted = None  # a damaged profile, or one for another colour space
    return _plain_rgb(image) if converted is None else converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None when there is nothing to convert."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
