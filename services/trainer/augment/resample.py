"""Images looked up along affine transforms: at twice the resolution, by an orthogonal wavelet.

Source: arXiv 2006.06676, appendix B.2. An image goes on beyond its borders by reflection, as far as
it is large itself; beyond that it is black. How much of that is looked into depends on the
transforms, and on a GPU nobody may wait for them (docs/adr/0029): hence two ways to one result.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from services.trainer.augment import matrices
from tagloom.networks.ops.upfirdn2d import downsample2d, upsample2d

__all__ = ["resample", "resample_anywhere", "resample_folded"]


def resample(images_NCHW: Tensor, transforms_N33: Tensor, wavelet: Tensor) -> Tensor:
    """The images along their transforms, padded by as much as these look into.

    transforms_N33: from places in the output to places in the input, in pixels, y down, the origin
    being the image's centre.
    wavelet: [taps], of `setup_filter`.
    """
    height, width = images_NCHW.shape[2:]
    margins = _margins(transforms_N33, height, width, _border(wavelet))
    return _resample_padded(images_NCHW, transforms_N33, wavelet, margins)


def resample_anywhere(images_NCHW: Tensor, transforms_N33: Tensor, wavelet: Tensor) -> Tensor:
    """The same, in shapes that do not depend on the transforms."""
    height, width = images_NCHW.shape[2:]
    smallest = min(height, width)
    if 2 * smallest + 8 * _reach(wavelet) < 3 * smallest - 2:
        return resample_folded(images_NCHW, transforms_N33, wavelet)
    margins = width - 1, height - 1, width - 1, height - 1
    return _resample_padded(images_NCHW, transforms_N33, wavelet, margins)


def _resample_padded(
    images: Tensor, transforms: Tensor, wavelet: Tensor, margins: tuple[int, int, int, int]
) -> Tensor:
    """margins: left, top, right, bottom."""
    left, top, right, bottom = margins
    padded = F.pad(images, [left, right, top, bottom], mode="reflect")
    grid = _grid(images, transforms, margins, _border(wavelet))
    fine = F.grid_sample(
        upsample2d(padded, wavelet),
        grid,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return _coarse(fine, wavelet)


def resample_folded(images_NCHW: Tensor, transforms_N33: Tensor, wavelet: Tensor) -> Tensor:
    """The same, of about four times the image's area where all the reflection is nine times.

    Reflected again and again, an image repeats itself after 2 (size - 1) pixels: along each axis
    one period is upsampled, and places are wrapped into it. The two ends of the reflection, where
    the wavelet meets the black, are upsampled beside it. For images of 13 px and more.
    """
    height, width = images_NCHW.shape[2:]
    reach = _reach(wavelet)
    margins = width - 1, height - 1, width - 1, height - 1
    grid_NHW2 = _grid(images_NCHW, transforms_N33, margins, _border(wavelet))
    x, inside_x = _fold_places(grid_NHW2[..., 0], width, reach)
    y, inside_y = _fold_places(grid_NHW2[..., 1], height, reach)
    fine = F.grid_sample(
        upsample2d(_fold(_fold(images_NCHW, 2, reach), 3, reach), wavelet),
        torch.stack([x, y], dim=3),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return _coarse(fine * (inside_x * inside_y)[:, None], wavelet)


def _fold(images: Tensor, axis: int, reach: int) -> Tensor:
    """Along the axis: the reflection's first end, one period and what lies around it, its last end.

    The ends are 3 * reach long, what lies around the period is `reach`, and one more at its end.
    """

    def part(start: int, length: int) -> Tensor:
        return images.narrow(axis, start, length)

    size = images.shape[axis]
    return torch.cat(
        [
            part(size - 3 * reach, 3 * reach).flip(axis),
            part(1, reach).flip(axis),
            images,
            part(1, size - 2).flip(axis),
            part(0, reach + 1),
            part(0, 3 * reach).flip(axis),
        ],
        dim=axis,
    )


def _fold_places(places: Tensor, size: int, reach: int) -> tuple[Tensor, Tensor]:
    """Where places in the padded image lie in the folded one, and how far they are inside.

    All as `grid_sample` has them, at twice the resolution.
    """
    length, period = 2 * (3 * size - 2), 4 * (size - 1)
    folded = period + 2 * (8 * reach + 1)
    place = ((places + 1) * length - 1) / 2
    # As if there were a black pixel before the first and after the last.
    inside = (place + 1).clamp(0, 1) * (length - place).clamp(0, 1)
    place = place.clamp(0, length - 1)
    wrapped = torch.remainder(place - period / 2, period) + 8 * reach
    wrapped = torch.where(place < 2 * reach, place, wrapped)
    wrapped = torch.where(place > length - 1 - 2 * reach, place + (folded - length), wrapped)
    return (2 * wrapped + 1) / folded - 1, inside


def _border(wavelet: Tensor) -> int:
    """Pixels around the output that the wavelet reaches into when it is made coarse again."""
    return wavelet.shape[0] // 4


def _reach(wavelet: Tensor) -> int:
    """Pixels beyond which a fine pixel does not depend on what lies there."""
    return _border(wavelet) + 1


def _coarse(fine: Tensor, wavelet: Tensor) -> Tensor:
    return downsample2d(fine, wavelet, padding=-2 * _border(wavelet), flip_filter=True)


def _grid(
    images: Tensor, transforms: Tensor, margins: tuple[int, int, int, int], border: int
) -> Tensor:
    """Where the fine output looks in the fine padded image, as `grid_sample` has it."""
    left, top, right, bottom = margins
    height, width = images.shape[2:]
    like = transforms[:, 0, 0]

    def shift(dx: float, dy: float) -> Tensor:
        return matrices.translation(torch.full_like(like, dx), torch.full_like(like, dy))

    def stretch(sx: float, sy: float) -> Tensor:
        return matrices.scaling(torch.full_like(like, sx), torch.full_like(like, sy))

    # From the grid of the output to the grid of the padded image: its centre has moved, both
    # grids are twice as fine, and a fine pixel's centre lies half a fine pixel off.
    lookup = shift((left - right) / 2, (top - bottom) / 2) @ transforms
    lookup = stretch(2, 2) @ lookup @ stretch(0.5, 0.5)
    lookup = shift(-0.5, -0.5) @ lookup @ shift(0.5, 0.5)
    out_width, out_height = (width + 2 * border) * 2, (height + 2 * border) * 2
    fine_width, fine_height = (left + width + right) * 2, (top + height + bottom) * 2
    lookup = stretch(2 / fine_width, 2 / fine_height) @ lookup
    lookup = lookup @ stretch(out_width / 2, out_height / 2)
    shape = [*images.shape[:2], out_height, out_width]
    return F.affine_grid(lookup[:, :2], shape, align_corners=False)


def _margins(
    transforms_N33: Tensor, height: int, width: int, border: int
) -> tuple[int, int, int, int]:
    """Padding (left, top, right, bottom) for the corners of every output image to look into."""
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = transforms_N33.new_tensor([[-x, -y, 1], [x, -y, 1], [x, y, 1], [-x, y, 1]])
    reached = (transforms_N33 @ corners.T)[:, :2]  # [N, 2, 4]
    half = transforms_N33.new_tensor([x, y])
    excess = torch.stack([-reached, reached]).amax(dim=(1, 3)) + 2 * border - half
    limit = transforms_N33.new_tensor([width - 1, height - 1])
    (left, top), (right, bottom) = (
        excess.clamp(min=0).minimum(limit).ceil().to(torch.int64).tolist()
    )
    return left, top, right, bottom
