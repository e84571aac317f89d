"""Batches of homogeneous matrices: planar transforms (3 x 3) and colour transforms (4 x 4)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "color_rotation",
    "color_scaling",
    "color_translation",
    "luma_reflection",
    "rotation",
    "saturation",
    "scaling",
    "translation",
]

# The luma axis: grey colours, as a unit vector.
_LUMA = 3**-0.5


def _rows(*rows: list[Tensor | float], like: Tensor) -> Tensor:
    """[N, R, C] from rows of numbers and [N] tensors."""
    flat = [
        entry if isinstance(entry, Tensor) else torch.full_like(like, entry)
        for row in rows
        for entry in row
    ]
    return torch.stack(flat, dim=-1).reshape(*like.shape, len(rows), len(rows[0]))


def translation(x: Tensor, y: Tensor) -> Tensor:
    """[N, 3, 3] from offsets [N]."""
    return _rows([1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0], like=x)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """[N, 3, 3] from factors [N]."""
    return _rows([x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0], like=x)


def rotation(angle: Tensor) -> Tensor:
    """[N, 3, 3] from angles [N] in radians, from the x axis to the y axis."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return _rows([cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0], like=angle)


def color_translation(offset: Tensor) -> Tensor:
    """[N, 4, 4] that adds `offset` [N] to each channel."""
    return _rows(
        [1.0, 0.0, 0.0, offset],
        [0.0, 1.0, 0.0, offset],
        [0.0, 0.0, 1.0, offset],
        [0.0, 0.0, 0.0, 1.0],
        like=offset,
    )


def color_scaling(factor: Tensor) -> Tensor:
    """[N, 4, 4] that multiplies each channel by `factor` [N]."""
    return _rows(
        [factor, 0.0, 0.0, 0.0],
        [0.0, factor, 0.0, 0.0],
        [0.0, 0.0, factor, 0.0],
        [0.0, 0.0, 0.0, 1.0],
        like=factor,
    )


def _luma_projection(like: Tensor) -> Tensor:
    """[4, 4] onto the luma axis; the homogeneous coordinate goes to 0."""
    axis = like.new_full([4], _LUMA)  # (a list of numbers would be copied to the device)
    axis[3] = 0
    return torch.outer(axis, axis)


def luma_reflection(amount: Tensor) -> Tensor:
    """[N, 4, 4]: a Householder reflection that flips luma where `amount` [N] is 1."""
    identity = torch.eye(4, dtype=amount.dtype, device=amount.device)
    return identity - 2 * amount[:, None, None] * _luma_projection(amount)


def color_rotation(angle: Tensor) -> Tensor:
    """[N, 4, 4]: a rotation of hues about the luma axis by `angle` [N] radians (Rodrigues)."""
    sin, cos = torch.sin(angle), torch.cos(angle)
    diagonal = _LUMA * _LUMA * (1 - cos) + cos
    plus = _LUMA * _LUMA * (1 - cos) + _LUMA * sin
    minus = _LUMA * _LUMA * (1 - cos) - _LUMA * sin
    return _rows(
        [diagonal, minus, plus, 0.0],
        [plus, diagonal, minus, 0.0],
        [minus, plus, diagonal, 0.0],
        [0.0, 0.0, 0.0, 1.0],
        like=angle,
    )


def saturation(factor: Tensor) -> Tensor:
    """[N, 4, 4] that scales the distance from the luma axis by `factor` [N]."""
    identity = torch.eye(4, dtype=factor.dtype, device=factor.device)
    kept = _luma_projection(factor)
    kept[3, 3] = 1  # the homogeneous coordinate is not a colour
    return kept + (identity - kept) * factor[:, None, None]
