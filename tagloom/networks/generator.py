"""What all generators are: a mapping network, and a synthesis network that takes its styles."""

from __future__ import annotations

from torch import Tensor, nn

from tagloom.networks.mapping import MappingNetwork
from tagloom.networks.spec import StyleGAN2Spec, StyleGAN3Spec

__all__ = ["Generator"]


class Generator(nn.Module):
    """Mapping and synthesis. See `tagloom.networks.build.build_generator` for its calls."""

    def __init__(
        self, spec: StyleGAN2Spec | StyleGAN3Spec, synthesis: nn.Module, num_ws: int
    ) -> None:
        """synthesis: takes ws [N, num_ws, w_dim]."""
        super().__init__()
        self.spec = spec
        self.z_dim, self.c_dim, self.w_dim = spec.z_dim, spec.c_dim, spec.w_dim
        self.img_resolution, self.img_channels = spec.resolution, spec.img_channels
        self.synthesis = synthesis
        self.num_ws = num_ws
        self.mapping = MappingNetwork(
            z_dim=spec.z_dim,
            c_dim=spec.c_dim,
            w_dim=spec.w_dim,
            num_ws=num_ws,
            num_layers=spec.mapping_layers,
            lr_multiplier=spec.mapping_lr_multiplier,
            w_avg_beta=spec.w_avg_beta,
        )

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
        noise_mode: str = "const",
    ) -> Tensor:
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, update_emas)
        images: Tensor = self.synthesis(ws, update_emas=update_emas, noise_mode=noise_mode)
        return images
