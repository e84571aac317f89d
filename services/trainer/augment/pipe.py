"""The augmentation pipe: every image that the discriminator sees passes through it.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (arXiv
2006.06676), section 2 and appendix B. All of it is differentiable, twice: gradients go through it
to the generator, and R1 through the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.trainer.augment import matrices
from services.trainer.augment.draws import Draws
from services.trainer.augment.resample import resample, resample_anywhere
from services.trainer.augment.wavelets import SYM6, band_filters
from tagloom.networks.ops.upfirdn2d import setup_filter

__all__ = ["BGC", "PIPES", "AugmentPipe", "AugmentSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSettings:
    """Strengths (multipliers of p; 0 switches one off) and ranges, with the paper's values.

    `xint_max`, `xfrac_std` and `cutout_size` are fractions of the image, `rotate_max` and `hue_max`
    of half a turn; the `*_std` of scale, aniso, contrast, saturation and imgfilter are in octaves.
    """

    xflip: float = 0
    rotate90: float = 0
    xint: float = 0
    xint_max: float = 0.125
    scale: float = 0
    rotate: float = 0
    aniso: float = 0
    xfrac: float = 0
    scale_std: float = 0.2
    rotate_max: float = 1
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness: float = 0
    contrast: float = 0
    lumaflip: float = 0
    hue: float = 0
    saturation: float = 0
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1
    saturation_std: float = 1
    imgfilter: float = 0
    imgfilter_bands: tuple[float, ...] = (1, 1, 1, 1)
    imgfilter_std: float = 1
    noise: float = 0
    cutout: float = 0
    noise_std: float = 0.1
    cutout_size: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            values = value if isinstance(value, tuple) else (value,)
            if not all(math.isfinite(number) and number >= 0 for number in values):
                raise ValueError(f"{field.name} = {value} should be a number of at least 0")


# The paper's groups (section 2.2): pixel blitting, geometry, colour, and the rest one by one.
_GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}


def _pipe(*groups: str) -> AugmentSettings:
    strengths: dict[str, Any] = {name: 1 for group in groups for name in _GROUPS[group]}
    return AugmentSettings(**strengths)


PIPES: dict[str, AugmentSettings] = {
    **{group: _pipe(group) for group in _GROUPS},
    **{
        "".join(group[0] for group in groups): _pipe(*groups)
        for count in range(2, len(_GROUPS) + 1)
        for groups in [tuple(_GROUPS)[:count]]
    },
}
"""By the names that the paper and its users have for them: blit, geom, …, bg, bgc, …, bgcfnc."""

BGC = PIPES["bgc"]
"""Blit, geometry and colour: the paper's default."""

# Mean power spectrum of natural images over the four bands (appendix B).
_BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)


class AugmentPipe(nn.Module):
    """Augments [N, C, H, W] images of range about [-1, 1], C = 1 or 3, each with its own draws."""

    p: Tensor
    """scalar in [0, 1]: how likely each augmentation of strength 1 is"""
    geometry_filter: Tensor
    bank: Tensor
    band_power: Tensor

    def __init__(self, settings: AugmentSettings = BGC) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("p", torch.zeros([]))
        self.register_buffer("geometry_filter", setup_filter(SYM6))
        self.register_buffer("bank", torch.as_tensor(band_filters(), dtype=torch.float32))
        self.register_buffer("band_power", torch.tensor(_BAND_POWER))

    def forward(self, images_NCHW: Tensor, draws: Draws) -> Tensor:
        """The augmented images, of the same shape."""
        if images_NCHW.ndim != 4 or images_NCHW.shape[1] not in (1, 3):
            raise ValueError(f"images are [N, 1 or 3, H, W], not {tuple(images_NCHW.shape)}")
        images = self._move(images_NCHW, self._transforms(images_NCHW, draws))
        images = self._recolor(images, self._colors(images, draws))
        if self.settings.imgfilter > 0:
            images = self._filter(images, self._band_gains(draws))
        if self.settings.noise > 0:
            images = self._add_noise(images, draws)
        if self.settings.cutout > 0:
            images = self._cut_out(images, draws)
        return images

    def _gated(
        self, draws: Draws, name: str, value: Tensor, neutral: float, probability: Tensor
    ) -> Tensor:
        """`value` where the gate opens, `neutral` elsewhere."""
        gate = draws.gate(name, probability)
        gate = gate.reshape(-1, *[1] * (value.ndim - 1))
        return torch.where(gate, value, torch.full_like(value, neutral))

    # Geometry

    def _transforms(self, images: Tensor, draws: Draws) -> Tensor | None:
        """[N, 3, 3]: from places in the output to places in the input, in pixels, y down.

        The origin is the image's centre. None if nothing moves.
        """
        s, height, width = self.settings, images.shape[2], images.shape[3]
        steps: list[Tensor] = []
        if s.xflip > 0:
            flip = torch.floor(draws.uniform("xflip") * 2)
            flip = self._gated(draws, "xflip", flip, 0, s.xflip * self.p)
            steps.append(matrices.scaling(1 - 2 * flip, torch.ones_like(flip)))
        if s.rotate90 > 0:
            turns = torch.floor(draws.uniform("rotate90") * 4)
            turns = self._gated(draws, "rotate90", turns, 0, s.rotate90 * self.p)
            steps.append(matrices.rotation(turns * (math.pi / 2)))
        if s.xint > 0:
            offset = (draws.uniform("xint", 2) * 2 - 1) * s.xint_max
            offset = self._gated(draws, "xint", offset, 0, s.xint * self.p)
            x, y = torch.round(offset[:, 0] * width), torch.round(offset[:, 1] * height)
            steps.append(matrices.translation(-x, -y))
        if s.scale > 0:
            factor = torch.exp2(draws.normal("scale") * s.scale_std)
            factor = self._gated(draws, "scale", factor, 1, s.scale * self.p)
            steps.append(matrices.scaling(1 / factor, 1 / factor))
        # Two chances, before and after the anisotropic scaling, that together have probability p.
        p_rotate = 1 - torch.sqrt((1 - s.rotate * self.p).clamp(0, 1))
        if s.rotate > 0:
            steps.append(self._rotation(draws, "rotate_before", p_rotate))
        if s.aniso > 0:
            factor = torch.exp2(draws.normal("aniso") * s.aniso_std)
            factor = self._gated(draws, "aniso", factor, 1, s.aniso * self.p)
            steps.append(matrices.scaling(1 / factor, factor))
        if s.rotate > 0:
            steps.append(self._rotation(draws, "rotate_after", p_rotate))
        if s.xfrac > 0:
            offset = draws.normal("xfrac", 2) * s.xfrac_std
            offset = self._gated(draws, "xfrac", offset, 0, s.xfrac * self.p)
            steps.append(matrices.translation(-offset[:, 0] * width, -offset[:, 1] * height))
        if not steps:
            return None
        transforms = steps[0]
        for step in steps[1:]:
            transforms = transforms @ step
        return transforms

    def _rotation(self, draws: Draws, name: str, probability: Tensor) -> Tensor:
        angle = (draws.uniform(name) * 2 - 1) * (math.pi * self.settings.rotate_max)
        return matrices.rotation(self._gated(draws, name, angle, 0, probability))

    def _move(self, images: Tensor, transforms: Tensor | None) -> Tensor:
        """Resample the images along their transforms; those that stay in place are not touched.

        Leaving them alone is exact up to rounding: the wavelet is orthogonal to its shifts by two,
        so that upsampling followed by downsampling is the identity.
        """
        if transforms is None:
            return images
        wavelet = self.geometry_filter
        if images.device.type != "cpu":  # choosing by value would wait for the device
            return resample_anywhere(images, transforms, wavelet)
        identity = torch.eye(3)
        moved = (transforms != identity).flatten(1).any(dim=1).nonzero().squeeze(1)
        if moved.numel() == 0:
            return images
        if moved.numel() == len(images):
            return resample(images, transforms, wavelet)
        resampled = resample(images[moved], transforms[moved], wavelet)
        return images.index_copy(0, moved, resampled)

    # Colour

    def _colors(self, images: Tensor, draws: Draws) -> Tensor | None:
        """[N, 4, 4]: affine transforms of colours. None if nothing changes."""
        s, colored = self.settings, images.shape[1] == 3
        steps: list[Tensor] = []
        if s.brightness > 0:
            offset = draws.normal("brightness") * s.brightness_std
            offset = self._gated(draws, "brightness", offset, 0, s.brightness * self.p)
            steps.append(matrices.color_translation(offset))
        if s.contrast > 0:
            factor = torch.exp2(draws.normal("contrast") * s.contrast_std)
            factor = self._gated(draws, "contrast", factor, 1, s.contrast * self.p)
            steps.append(matrices.color_scaling(factor))
        if s.lumaflip > 0:
            flip = torch.floor(draws.uniform("lumaflip") * 2)
            flip = self._gated(draws, "lumaflip", flip, 0, s.lumaflip * self.p)
            steps.append(matrices.luma_reflection(flip))
        if s.hue > 0 and colored:
            angle = (draws.uniform("hue") * 2 - 1) * (math.pi * s.hue_max)
            angle = self._gated(draws, "hue", angle, 0, s.hue * self.p)
            steps.append(matrices.color_rotation(angle))
        if s.saturation > 0 and colored:
            factor = torch.exp2(draws.normal("saturation") * s.saturation_std)
            factor = self._gated(draws, "saturation", factor, 1, s.saturation * self.p)
            steps.append(matrices.saturation(factor))
        if not steps:
            return None
        colors = steps[0]
        for step in steps[1:]:
            colors = step @ colors
        return colors

    @staticmethod
    def _recolor(images: Tensor, colors: Tensor | None) -> Tensor:
        if colors is None:
            return images
        if images.shape[1] == 3:
            matrix, offset = colors[:, :3, :3], colors[:, :3, 3:]
        else:  # grey: what happens to the mean of three equal channels
            mean = colors[:, :3].mean(dim=1, keepdim=True)
            matrix, offset = mean[:, :, :3].sum(dim=2, keepdim=True), mean[:, :, 3:]
        return torch.baddbmm(offset, matrix, images.flatten(2)).reshape(images.shape)

    # Filtering and corruption

    def _band_gains(self, draws: Draws) -> Tensor:
        """[N, 4]: amplification of each band, the total power kept as it is on average."""
        s = self.settings
        gains: Tensor | None = None
        for band, strength in enumerate(s.imgfilter_bands):
            amount = torch.exp2(draws.normal("imgfilter") * s.imgfilter_std)
            probability = s.imgfilter * strength * self.p
            amount = self._gated(draws, f"imgfilter_{band}", amount, 1, probability)
            profile = amount.new_ones([len(amount), len(s.imgfilter_bands)])
            profile[:, band] = amount
            profile = profile / (self.band_power * profile.square()).sum(dim=1, keepdim=True).sqrt()
            gains = profile if gains is None else gains * profile
        assert gains is not None
        return gains

    def _filter(self, images: Tensor, gains: Tensor) -> Tensor:
        """Convolve each image with its own separable, symmetric filter."""
        n, channels, height, width = images.shape
        taps = (gains @ self.bank).repeat_interleave(channels, dim=0)
        reach = self.bank.shape[1] // 2
        planes = F.pad(images.reshape(1, n * channels, height, width), [reach] * 4, mode="reflect")
        planes = F.conv2d(planes, taps[:, None, None, :], groups=n * channels)
        planes = F.conv2d(planes, taps[:, None, :, None], groups=n * channels)
        return planes.reshape(images.shape)

    def _add_noise(self, images: Tensor, draws: Draws) -> Tensor:
        s = self.settings
        deviation = draws.normal("noise").abs() * s.noise_std
        deviation = self._gated(draws, "noise", deviation, 0, s.noise * self.p)
        noise = draws.normal("noise_image", *images.shape[1:])
        return images + noise * deviation[:, None, None, None]

    def _cut_out(self, images: Tensor, draws: Draws) -> Tensor:
        """Black out a rectangle anywhere, partly outside too."""
        s = self.settings
        size = draws.gate("cutout", s.cutout * self.p).to(images.dtype) * s.cutout_size
        center = draws.uniform("cutout_center", 2)
        outside = []
        for axis, length in enumerate((images.shape[3], images.shape[2])):
            places = (torch.arange(length, device=images.device) + 0.5) / length
            outside.append((places - center[:, axis, None]).abs() >= size[:, None] / 2)
        mask = outside[0][:, None, None, :] | outside[1][:, None, :, None]
        return images * mask.to(images.dtype)
