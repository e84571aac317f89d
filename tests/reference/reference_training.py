"""A step of training by definition: networks, augmentation, optimiser and averages written out.

Two updates with the non-saturating loss, R1 every so many steps (arXiv 1801.04406), Adam, the
exponential moving average of G; every image goes through the whole augmentation pipe.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import reference_networks
import torch
from reference_resampling import upfirdn2d
from torch import Tensor
from torch.nn import functional as F

from services.trainer.augment.pipe import AugmentPipe


class LiteralAugmentPipe(AugmentPipe):
    """Resamples every image, at the full rate: arXiv 2006.06676, appendix B."""

    def _move(self, images: Tensor, transforms: Tensor | None) -> Tensor:
        if transforms is None:
            return images
        n, _, h, w = images.shape
        taps = self.geometry_filter
        reach = len(taps) // 4
        ends = torch.tensor([(w - 1) / 2, (h - 1) / 2])
        corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
        corners[:, :2] *= ends
        seen = (transforms @ corners.t())[:, :2].permute(1, 0, 2).flatten(1)
        room = torch.cat([-seen, seen]).amax(dim=1) + 2 * reach - torch.cat([ends, ends])
        limit = torch.tensor([w - 1, h - 1, w - 1, h - 1])
        x0, y0, x1, y1 = room.clamp(min=0).minimum(limit).ceil().int().tolist()
        images = F.pad(images, [x0, x1, y0, y1], mode="reflect")
        k = len(taps)
        pads = ((k + 1) // 2, (k - 2) // 2) * 2
        fine = upfirdn2d(images, taps, up=(2, 2), padding=pads, gain=4.0)
        # Where each pixel of the output lies in the fine image.
        height, width = (h + 2 * reach) * 2, (w + 2 * reach) * 2
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        # In pixels from the image's centre. Upsampling leaves pixel j at fine pixel 2 j, which lies
        # half a fine pixel before its centre: added here, and taken off again from the source.
        x, y = (x + 1 - width / 2) / 2, (y + 1 - height / 2) / 2
        places = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3)
        source = (transforms @ places.t())[:, :2]
        fine_h, fine_w = fine.shape[2:]
        shift = torch.tensor([(x0 - x1) / 2, (y0 - y1) / 2])[:, None]
        size = torch.tensor([fine_w, fine_h])[:, None]
        grid = (
            (((source + shift) * 2 - 0.5) / (size / 2))
            .permute(0, 2, 1)
            .reshape(n, height, width, 2)
        )
        fine = F.grid_sample(fine, grid, align_corners=False)
        crop = 2 * reach
        pads = (-crop + (k - 1) // 2, -crop + (k - 2) // 2) * 2
        return upfirdn2d(fine, taps, down=(2, 2), padding=pads, flip_filter=True)


class LiteralTraining:
    """The networks and settings of a `TrainingStep`, trained by definition."""

    def __init__(self, step: Any) -> None:
        self.settings, self.gamma = step.settings, step.losses.settings.r1_gamma
        self.G, self.D, self.G_ema = (copy.deepcopy(n) for n in (step.G, step.D, step.G_ema))
        self.augment: AugmentPipe | None = None
        if step.losses.augment is not None:
            self.augment = LiteralAugmentPipe(step.losses.augment.settings)
            self.augment.p.copy_(step.losses.augment.p)
        s = self.settings
        ratio = s.d_regularisation_interval / (s.d_regularisation_interval + 1)
        self.optimizers = {
            "G": torch.optim.Adam(
                self.G.parameters(), s.g_learning_rate, s.adam_betas, s.adam_epsilon
            ),
            "D": torch.optim.Adam(
                self.D.parameters(),
                s.d_learning_rate * ratio,
                (s.adam_betas[0] ** ratio, s.adam_betas[1] ** ratio),
                s.adam_epsilon,
            ),
        }
        self.steps = self.images_seen = 0
        self.losses: dict[str, float] = {}

    def _score(self, images: Tensor, draws: Any) -> Tensor:
        if self.augment is not None:
            images = self.augment(images, draws)
        return reference_networks.discriminator(self.D, images)

    def _update(self, name: str) -> None:
        self.optimizers[name].step()
        (self.G if name == "G" else self.D).requires_grad_(False)

    def _begin(self, name: str) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        (self.G if name == "G" else self.D).requires_grad_(True)

    def g_main(self, draws: Any) -> None:
        self._begin("G")
        fake = reference_networks.generator(self.G, draws.latents("Gmain")[0])
        loss = F.softplus(-self._score(fake, draws.augment("Gmain", "fake"))).mean()
        loss.backward()
        self.losses["Gmain"] = float(loss.detach())
        self._update("G")

    def d_main(self, real: Tensor, draws: Any) -> None:
        self._begin("D")
        with torch.no_grad():
            z = draws.latents("Dmain")[0]
            fake = reference_networks.generator(self.G, z, update_emas=True)
        loss = F.softplus(self._score(fake, draws.augment("Dmain", "fake"))).mean()
        loss.backward()
        real_loss = F.softplus(-self._score(real, draws.augment("Dmain", "real"))).mean()
        real_loss.backward()
        self.losses["Dmain"] = float((loss + real_loss).detach())
        self._update("D")

    def d_r1(self, real: Tensor, draws: Any) -> None:
        self._begin("D")
        real = real.detach().requires_grad_()
        scores = self._score(real, draws.augment("Dreg", "real"))
        (grads,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
        penalty = grads.square().sum(dim=(1, 2, 3)).mean() * (self.gamma / 2)
        (penalty * self.settings.d_regularisation_interval).backward()
        self.losses["Dreg"] = float(penalty.detach())
        self._update("D")

    @torch.no_grad()
    def average(self) -> None:
        images = self.settings.ema_kimg * 1000
        if self.settings.ema_rampup is not None:
            images = min(images, self.images_seen * self.settings.ema_rampup)
        beta = math.pow(0.5, self.settings.batch / max(images, 1e-8))
        pairs = zip(self.G_ema.parameters(), self.G.parameters(), strict=True)
        for average, parameter in pairs:
            average.copy_(parameter.lerp(average, beta))
        for copied, buffer in zip(self.G_ema.buffers(), self.G.buffers(), strict=True):
            copied.copy_(buffer)

    def run(self, real: Tensor, draws: Any) -> None:
        """One step."""
        self.g_main(draws)
        self.d_main(real, draws)
        if self.steps % self.settings.d_regularisation_interval == 0:
            self.d_r1(real, draws)
        self.average()
        self.steps += 1
        self.images_seen += self.settings.batch
