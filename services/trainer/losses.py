"""What G and D are trained to minimise.

The non-saturating logistic loss (Goodfellow et al. 2014) with R1 (Mescheder et al. 2018, arXiv
1801.04406, equation 9), path length regularisation (StyleGAN2, arXiv 1912.04958, equation 4) and
style mixing (StyleGAN, arXiv 1812.04948, section 3.1); D's images may be blurred at the start
(StyleGAN3, arXiv 2106.12423, appendix F) and are augmented (arXiv 2006.06676).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.trainer.augment.pipe import AugmentPipe
from services.trainer.draws import PhaseName, StepDraws
from tagloom.networks.ops.precision import mixed_precision
from tagloom.networks.ops.upfirdn2d import filter2d

__all__ = ["LossSettings", "Losses", "Measured"]

Measured = dict[str, Tensor]
"""Per-sample values of a phase, detached: `fake_score`, `real_score`, `g_loss`, `d_loss` [N, 1];
`r1_penalty` [N], before gamma; `path_penalty` [N / shrink], before its weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Weights of the regularisers. The defaults switch off what StyleGAN3-T does not use."""

    r1_gamma: float
    style_mixing: bool = False
    path_length_weight: float = 0.0
    path_length_decay: float = 0.01
    path_length_shrink: int = 2
    """path lengths are measured on batch / shrink samples"""
    blur_sigma: float = 0.0
    """pixels, at the first image"""
    blur_fade_kimg: float = 0.0
    noise_mode: Literal["const", "random"] = "const"
    """of the generator's layers (StyleGAN2 trains with random noise)"""
    mixed_precision: bool = False
    """convolutions in bfloat16, but for the phases that differentiate twice (R1, path lengths)"""


class Losses:
    """Adds the gradients of one phase to the network that it trains.

    That network's parameters have `requires_grad`, the other's have not: the caller sees to it.
    """

    def __init__(
        self, G: nn.Module, D: nn.Module, settings: LossSettings, augment: AugmentPipe | None
    ) -> None:
        self.G, self.D, self.settings, self.augment = G, D, settings, augment
        self.path_length_mean = torch.zeros([], device=next(G.parameters()).device)

    def running_means(self, phase: PhaseName) -> list[Tensor]:
        """What the phase moves besides gradients, in place: G's averages, or the path length's."""
        if phase in ("Dmain", "Dboth"):
            moving = ("w_avg", "magnitude_ema")
            return [b for name, b in self.G.named_buffers() if name.rpartition(".")[2] in moving]
        if phase in ("Greg", "Gboth"):
            return [self.path_length_mean]
        return []

    def accumulate(
        self,
        phase: PhaseName,
        real_NCHW: Tensor,
        real_c: Tensor | None,
        draws: StepDraws,
        *,
        gain: float,
        images_seen: int,
    ) -> Measured:
        """Backward pass of `phase`, its loss weighted by `gain`; returns what was measured.

        real_NCHW: images in [-1, 1] (not used by G's phases).
        images_seen: so far, for the blur that fades.
        """
        mixed = self.settings.mixed_precision and phase in ("Gmain", "Dmain")
        with mixed_precision(torch.bfloat16 if mixed else None):
            return self._accumulate(phase, real_NCHW, real_c, draws, gain, images_seen)

    def _accumulate(
        self,
        phase: PhaseName,
        real_NCHW: Tensor,
        real_c: Tensor | None,
        draws: StepDraws,
        gain: float,
        images_seen: int,
    ) -> Measured:
        measured: Measured = {}
        if phase in ("Gmain", "Gboth"):
            measured |= self._g_main(phase, draws, gain, images_seen)
        if phase in ("Greg", "Gboth") and self.settings.path_length_weight > 0:
            measured |= self._g_path_length(phase, draws, gain)
        if phase in ("Dmain", "Dboth"):
            measured |= self._d_fake(phase, draws, gain, images_seen)
        if phase in ("Dmain", "Dreg", "Dboth"):
            fake_loss = measured.pop("d_loss_fake", None)
            measured |= self._d_real(phase, real_NCHW, real_c, draws, gain, images_seen)
            real_loss = measured.pop("d_loss_real", None)
            if fake_loss is not None and real_loss is not None:
                measured["d_loss"] = fake_loss + real_loss
        return measured

    def _g_main(
        self, phase: PhaseName, draws: StepDraws, gain: float, images_seen: int
    ) -> Measured:
        """Fool D: -log sigmoid(D(G(z)))."""
        z, c = draws.latents(phase)
        fake = self._generate(phase, z, c, draws)
        scores = self._judge(phase, "fake", fake, c, draws, images_seen)
        loss = F.softplus(-scores)
        _backward(loss.mean() * gain)
        return {"fake_score": scores.detach(), "g_loss": loss.detach()}

    def _g_path_length(self, phase: PhaseName, draws: StepDraws, gain: float) -> Measured:
        """Steps of fixed size in W should change the image by a fixed amount."""
        z, c = draws.latents(phase)
        n = max(len(z) // self.settings.path_length_shrink, 1)
        z, c = z[:n], None if c is None else c[:n]
        ws = self._map(phase, z, c, draws)
        fake = self._synthesize(phase, ws, draws)
        noise = draws.path_noise(fake.shape) / math.sqrt(fake.shape[2] * fake.shape[3])
        (grads_NLW,) = torch.autograd.grad((fake * noise).sum(), ws, create_graph=True)
        lengths = grads_NLW.square().sum(dim=2).mean(dim=1).sqrt()
        decay = self.settings.path_length_decay
        mean = self.path_length_mean.lerp(lengths.mean(), decay)
        self.path_length_mean.copy_(mean.detach())
        penalty = (lengths - mean).square()
        _backward((penalty * self.settings.path_length_weight).mean() * gain)
        return {"path_penalty": penalty.detach()}

    def _d_fake(
        self, phase: PhaseName, draws: StepDraws, gain: float, images_seen: int
    ) -> Measured:
        """Recognise generated images. The one pass in which G's moving averages move."""
        z, c = draws.latents(phase)
        with torch.no_grad():
            fake = self._generate(phase, z, c, draws, update_emas=True)
        scores = self._judge(phase, "fake", fake, c, draws, images_seen)
        loss = F.softplus(scores)
        _backward(loss.mean() * gain)
        return {"fake_score": scores.detach(), "d_loss_fake": loss.detach()}

    def _d_real(
        self,
        phase: PhaseName,
        real: Tensor,
        c: Tensor | None,
        draws: StepDraws,
        gain: float,
        images_seen: int,
    ) -> Measured:
        """Recognise real images (main), and be smooth around them (R1)."""
        penalise = phase in ("Dreg", "Dboth")
        real = real.detach().requires_grad_(penalise)
        scores = self._judge(phase, "real", real, c, draws, images_seen)
        measured: Measured = {"real_score": scores.detach()}
        loss = scores.new_zeros([])
        if phase in ("Dmain", "Dboth"):
            real_loss = F.softplus(-scores)
            measured["d_loss_real"] = real_loss.detach()
            loss = loss + real_loss.mean()
        if penalise:
            (grads_NCHW,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
            penalty = grads_NCHW.square().sum(dim=(1, 2, 3))
            measured["r1_penalty"] = penalty.detach()
            loss = loss + penalty.mean() * (self.settings.r1_gamma / 2)
        _backward(loss * gain)
        return measured

    def _generate(
        self,
        phase: PhaseName,
        z: Tensor,
        c: Tensor | None,
        draws: StepDraws,
        update_emas: bool = False,
    ) -> Tensor:
        ws = self._map(phase, z, c, draws, update_emas)
        return self._synthesize(phase, ws, draws, update_emas)

    def _map(
        self,
        phase: PhaseName,
        z: Tensor,
        c: Tensor | None,
        draws: StepDraws,
        update_emas: bool = False,
    ) -> Tensor:
        mapping = cast(nn.Module, self.G.mapping)
        ws: Tensor = mapping(z, c, update_emas=update_emas)
        if self.settings.style_mixing:
            second_z, cutoff = draws.mixing(phase, ws.shape[1])
            if cutoff < ws.shape[1]:
                second: Tensor = mapping(second_z[: len(z)], c)
                ws = torch.cat([ws[:, :cutoff], second[:, cutoff:]], dim=1)
        return ws

    def _synthesize(
        self, phase: PhaseName, ws: Tensor, draws: StepDraws, update_emas: bool = False
    ) -> Tensor:
        noise_mode = self.settings.noise_mode
        if noise_mode == "random":
            draws.prepare_layer_noise(phase)
        synthesis = cast(nn.Module, self.G.synthesis)
        images: Tensor = synthesis(ws, update_emas=update_emas, noise_mode=noise_mode)
        return images

    def _judge(
        self,
        phase: PhaseName,
        part: Literal["fake", "real"],
        images: Tensor,
        c: Tensor | None,
        draws: StepDraws,
        images_seen: int,
    ) -> Tensor:
        """D's scores [N, 1] of the images, blurred and augmented."""
        images = self._blur(images, images_seen)
        if self.augment is not None:
            images = self.augment(images, draws.augment(phase, part))
        scores: Tensor = self.D(images, c)
        return scores

    def _blur(self, images: Tensor, images_seen: int) -> Tensor:
        if self.settings.blur_sigma <= 0 or self.settings.blur_fade_kimg <= 0:
            return images
        faded = images_seen / (self.settings.blur_fade_kimg * 1000)
        sigma = self.settings.blur_sigma * max(1 - faded, 0)
        radius = math.floor(sigma * 3)
        if radius == 0:
            return images
        places = torch.arange(-radius, radius + 1, device=images.device)
        kernel = torch.exp2(-((places / sigma) ** 2))
        return filter2d(images, kernel / kernel.sum())


def _backward(loss: Tensor) -> None:
    torch.autograd.backward(loss)
