"""The mapping network: from a latent and a label to the intermediate latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tagloom.networks.layers import FullyConnectedLayer, normalize_second_moment

__all__ = ["MappingNetwork"]


class MappingNetwork(nn.Module):
    """z [N, z_dim] and c [N, c_dim] to ws [N, num_ws, w_dim] (or [N, w_dim] without num_ws).

    z_dim, c_dim: 0 if there is no such input; not both.
    w_avg_beta: how much of the running mean of w is kept at an update; None: no running mean, no
        truncation (in a discriminator).
    Source: StyleGAN (arXiv 1812.04948), section 2; truncation, appendix B.
    """

    w_avg: Tensor

    def __init__(
        self,
        *,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int,
        lr_multiplier: float = 0.01,
        w_avg_beta: float | None = 0.998,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.num_ws = num_ws
        self.num_layers = num_layers
        self.w_avg_beta = w_avg_beta
        if c_dim > 0:
            self.embed = FullyConnectedLayer(c_dim, w_dim)
        features = [z_dim + (w_dim if c_dim > 0 else 0)] + [w_dim] * num_layers
        for index in range(num_layers):
            layer = FullyConnectedLayer(
                features[index],
                features[index + 1],
                activation="lrelu",
                lr_multiplier=lr_multiplier,
            )
            setattr(self, f"fc{index}", layer)
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros([w_dim]))

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """truncation_psi: 1 leaves w as it is, 0 makes it the mean; the first `cutoff` ws only.

        update_emas: move the running mean of w towards this batch's, before it is used.
        """
        inputs = []
        if self.z_dim > 0:
            _check_input(z, "z", self.z_dim)
            assert z is not None
            inputs.append(normalize_second_moment(z.to(torch.float32)))
        if self.c_dim > 0:
            _check_input(c, "c", self.c_dim)
            assert c is not None
            inputs.append(normalize_second_moment(self.embed(c.to(torch.float32))))
        x = torch.cat(inputs, dim=1)
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)

        if update_emas and self.w_avg_beta is not None:
            mean = x.detach().mean(dim=0)
            self.w_avg.copy_(mean.lerp(self.w_avg, self.w_avg_beta))
        if self.num_ws is None:
            return x
        ws = x.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
            truncated = self.w_avg.lerp(ws[:, :cutoff], truncation_psi)
            ws = torch.cat([truncated, ws[:, cutoff:]], dim=1)
        return ws


def _check_input(value: Tensor | None, name: str, width: int) -> None:
    if value is None or value.ndim != 2 or value.shape[1] != width:
        shape = None if value is None else list(value.shape)
        raise ValueError(f"{name} must have the shape [N, {width}], not {shape}")
