"""The StyleGAN3 generator, configurations T and R.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", arXiv 2106.12423.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tagloom.networks.generator import Generator
from tagloom.networks.layer_plan import InputPlan, LayerPlan, plan_input, plan_layers
from tagloom.networks.layers import FullyConnectedLayer
from tagloom.networks.ops.filtered_lrelu import filtered_lrelu
from tagloom.networks.ops.lowpass import design_lowpass_filter
from tagloom.networks.ops.modulated_conv2d import modulated_conv2d_stylegan3
from tagloom.networks.ops.precision import compute_dtype
from tagloom.networks.spec import StyleGAN3Spec

__all__ = ["StyleGAN3Generator", "SynthesisInput", "SynthesisLayer", "SynthesisNetwork"]


class SynthesisInput(nn.Module):
    """Fourier features whose frequencies and phases follow a learned, and a user's, transform.

    w [N, w_dim] to [N, channels, size, size]. Source: section 3.1 and appendix F.1 of the paper.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, plan: InputPlan, w_dim: int) -> None:
        super().__init__()
        self.plan = plan
        channels = plan.channels
        # Uniform on a disc: for a normal vector of length r, exp(-r**2 / 4) is the square root of
        # a uniform number.
        freqs = torch.randn([channels, 2])
        radii = freqs.square().sum(dim=1, keepdim=True).sqrt()
        freqs = freqs / (radii * radii.square().exp().pow(0.25))
        phases = torch.rand([channels]) - 0.5
        self.weight = nn.Parameter(torch.randn([channels, channels]))
        # (rotation cosine, sine, translation x, y), the identity at first.
        self.affine = FullyConnectedLayer(w_dim, 4, weight_init=0, bias_init=[1, 0, 0, 0])
        self.register_buffer("transform", torch.eye(3))  # the user's, inverted
        self.register_buffer("freqs", freqs * plan.bandwidth)
        self.register_buffer("phases", phases)

    def forward(self, w: Tensor) -> Tensor:
        size, rate = self.plan.size, self.plan.sampling_rate
        t_N4 = self.affine(w)
        t_N4 = t_N4 / t_N4[:, :2].norm(dim=1, keepdim=True)  # only the direction turns the image
        cos, sin, tx, ty = t_N4.unbind(dim=1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1)
        translation = torch.stack([one, zero, -tx, zero, one, -ty, zero, zero, one], dim=1)
        transforms = rotation.view(-1, 3, 3) @ translation.view(-1, 3, 3) @ self.transform

        # Transforming the plane is the same as transforming frequencies and phases.
        phases_NC = self.phases + (self.freqs @ transforms[:, :2, 2:]).squeeze(2)
        freqs_NC2 = self.freqs @ transforms[:, :2, :2]
        # Frequencies that a transform pushes beyond the band fade out, so that they do not alias.
        excess = freqs_NC2.norm(dim=2) - self.plan.bandwidth
        amplitudes_NC = (1 - excess / (rate / 2 - self.plan.bandwidth)).clamp(0, 1)

        # Sample positions: the image is [-0.5, 0.5], its margins lie outside.
        theta = torch.eye(2, 3, device=w.device) * (0.5 * size / rate)
        grid_HW2 = F.affine_grid(theta[None], [1, 1, size, size], align_corners=False)[0]
        x = torch.einsum("ncd,hwd->nhwc", freqs_NC2, grid_HW2)
        x = torch.sin((x + phases_NC[:, None, None]) * (2 * math.pi)) * amplitudes_NC[:, None, None]
        x = x @ (self.weight.t() / math.sqrt(self.plan.channels))
        features: Tensor = x.permute(0, 3, 1, 2)  # channels-last in memory
        return features


class SynthesisLayer(nn.Module):
    """Modulated convolution and alias-free nonlinearity, or the final one that makes the colours.

    x [N, in_channels, in_size, in_size], w [N, w_dim] to [N, out_channels, out_size, out_size].
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, plan: LayerPlan, spec: StyleGAN3Spec) -> None:
        super().__init__()
        self.plan = plan
        self.conv_clamp = spec.conv_clamp
        self.magnitude_ema_beta = spec.magnitude_ema_beta
        self.affine = FullyConnectedLayer(spec.w_dim, plan.in_channels, bias_init=1)
        kernel = plan.conv_kernel
        self.weight = nn.Parameter(
            torch.randn([plan.out_channels, plan.in_channels, kernel, kernel])
        )
        self.bias = nn.Parameter(torch.zeros([plan.out_channels]))
        self.register_buffer("magnitude_ema", torch.ones([]))
        up_filter = design_lowpass_filter(
            plan.up_taps,
            cutoff=plan.in_cutoff,
            width=plan.in_half_width * 2,
            fs=plan.tmp_sampling_rate,
        )
        down_filter = design_lowpass_filter(
            plan.down_taps,
            cutoff=plan.out_cutoff,
            width=plan.out_half_width * 2,
            fs=plan.tmp_sampling_rate,
            radial=plan.down_radial,
        )
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)

    def forward(self, x: Tensor, w: Tensor, *, update_emas: bool = False) -> Tensor:
        plan = self.plan
        if update_emas:
            magnitude = x.detach().to(torch.float32).square().mean()
            self.magnitude_ema.copy_(magnitude.lerp(self.magnitude_ema, self.magnitude_ema_beta))
        styles = self.affine(w)
        if plan.is_torgb:
            styles = styles / math.sqrt(plan.in_channels * plan.conv_kernel**2)
        x = modulated_conv2d_stylegan3(
            x,
            self.weight,
            styles,
            demodulate=not plan.is_torgb,
            padding=plan.conv_kernel - 1,
            input_gain=self.magnitude_ema.rsqrt(),
            # Colours are what is seen: they are made in full precision.
            dtype=self.weight.dtype if plan.is_torgb else compute_dtype(),
        )
        x = filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            up=plan.up_factor,
            down=plan.down_factor,
            padding=plan.padding,
            gain=1.0 if plan.is_torgb else math.sqrt(2),
            slope=1.0 if plan.is_torgb else 0.2,
            clamp=self.conv_clamp,
        )
        return x.contiguous() if plan.is_torgb else x


class SynthesisNetwork(nn.Module):
    """ws [N, num_ws, w_dim] to images [N, img_channels, resolution, resolution], about [-1, 1]."""

    input: SynthesisInput

    def __init__(self, spec: StyleGAN3Spec) -> None:
        super().__init__()
        self.output_scale = spec.output_scale
        self.input = SynthesisInput(plan_input(spec), spec.w_dim)
        self.layer_names: list[str] = []
        for plan in plan_layers(spec):
            setattr(self, plan.name, SynthesisLayer(plan, spec))
            self.layer_names.append(plan.name)
        self.num_ws = len(self.layer_names) + 1

    def forward(self, ws: Tensor, update_emas: bool = False, noise_mode: str = "const") -> Tensor:
        """noise_mode: accepted for the sake of one call for all generators; there is no noise."""
        styles = ws.to(torch.float32).unbind(dim=1)
        x = self.input(styles[0])
        for name, w in zip(self.layer_names, styles[1:], strict=True):
            x = getattr(self, name)(x, w, update_emas=update_emas)
        images: Tensor = x * self.output_scale
        return images


class StyleGAN3Generator(Generator):
    """The generator that `spec` describes, with fresh weights."""

    def __init__(self, spec: StyleGAN3Spec) -> None:
        synthesis = SynthesisNetwork(spec)
        super().__init__(spec, synthesis, synthesis.num_ws)
