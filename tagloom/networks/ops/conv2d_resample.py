"""Two-dimensional convolution with an up- or downsampling folded in."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from tagloom.networks.ops.upfirdn2d import parse_padding, upfirdn2d

__all__ = ["conv2d_resample"]


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """Upsample by `up` with filter f, pad, convolve with w, downsample by `down` with f.

    x: [N, I, H, W]; w: [O, I / groups, kh, kw].
    f: low-pass filter of `setup_filter`; None is the identity.
    padding: with respect to the upsampled image.
    flip_weight: False: convolve; True: correlate, as torch does.
    """
    kh, kw = w.shape[2:]
    fh, fw = (1, 1) if f is None else (f.shape[0], f.shape[-1])
    px0, px1, py0, py1 = parse_padding(padding)
    # The filters' own support, so that the result is centred.
    if up > 1:
        px0, px1 = px0 + (fw + up - 1) // 2, px1 + (fw - up) // 2
        py0, py1 = py0 + (fh + up - 1) // 2, py1 + (fh - up) // 2
    if down > 1:
        px0, px1 = px0 + (fw - down + 1) // 2, px1 + (fw - down) // 2
        py0, py1 = py0 + (fh - down + 1) // 2, py1 + (fh - down) // 2
    pads = [px0, px1, py0, py1]
    gain = float(up**2)
    if not flip_weight:
        w = w.flip((2, 3))

    if up == 1 and down == 1:
        if px0 == px1 >= 0 and py0 == py1 >= 0:
            return F.conv2d(x, w, padding=(py0, px0), groups=groups)
        return F.conv2d(F.pad(x, pads), w, groups=groups)

    if kh == kw == 1 and (up == 1 or down == 1):
        # A pointwise convolution and a resampling commute: convolve at the lower resolution.
        if up == 1:
            x = upfirdn2d(x, f, down=down, padding=pads, flip_filter=flip_filter)
            return F.conv2d(x, w, groups=groups)
        x = F.conv2d(x, w, groups=groups)
        return upfirdn2d(x, f, up=up, padding=pads, gain=gain, flip_filter=flip_filter)

    if up == 1:
        x = upfirdn2d(x, f, padding=pads, flip_filter=flip_filter)
        return F.conv2d(x, w, stride=down, groups=groups)

    # Upsampling: w and f commute too, so convolve the samples that are there (transposed, with
    # stride), then filter. A full convolution gives kh - 1 rows more than a valid one, and lacks
    # the up - 1 zeros after the last sample.
    x = _conv_transpose2d(x, w, stride=up, groups=groups)
    pads = [px0 - kw + 1, px1 - kw + up, py0 - kh + 1, py1 - kh + up]
    x = upfirdn2d(x, f, padding=pads, gain=gain, flip_filter=flip_filter)
    return x if down == 1 else upfirdn2d(x, f, down=down, flip_filter=flip_filter)


def _conv_transpose2d(x: Tensor, w: Tensor, *, stride: int, groups: int) -> Tensor:
    """Full correlation of the zero-inserted x with w [O, I / groups, kh, kw]."""
    o, i, kh, kw = w.shape
    kernel = w.flip((2, 3)).reshape(groups, o // groups, i, kh, kw).transpose(1, 2)
    return F.conv_transpose2d(
        x, kernel.reshape(groups * i, o // groups, kh, kw), stride=stride, groups=groups
    )
