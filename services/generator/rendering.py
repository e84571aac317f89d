"""From latent points to encoded images, in a worker process that keeps its networks loaded.

An image never depends on what it was rendered with: the intermediate latent of a seed is computed
alone, and images are synthesised in batches of one shape, short ones filled up. A convolution's
last bits depend on the shape of its batch, but not on the place in it or on the neighbours.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from services.generator.encoding import encode
from services.generator.points import Order
from tagloom.errors import FailedPrecondition, InvalidArgument, TagloomError
from tagloom.networks.catalog import CatalogEntry
from tagloom.networks.spec import GeneratorSpec
from tagloom.store.interface import Store

__all__ = ["Renderer", "RendererCache", "batch_size", "device_type", "load"]


class Renderer:
    """A network ready to render, on one device."""

    def __init__(self, generator: nn.Module, spec: GeneratorSpec, device: torch.device) -> None:
        generator.eval().requires_grad_(False).to(device)
        self._mapping = generator.get_submodule("mapping")
        self._synthesis = generator.get_submodule("synthesis")
        self._spec = spec
        self._device = device
        self.batch = batch_size(spec.resolution, device.type)
        self.bytes = sum(
            t.numel() * t.element_size() for t in (*generator.parameters(), *generator.buffers())
        )

    @torch.inference_mode()
    def render(self, orders: Sequence[Order]) -> list[bytes | TagloomError]:
        """The encoded images, in order; FailedPrecondition (GENERATOR_DIVERGED) in the place of
        one that is not a number, since the others may be somebody else's."""
        encoded: list[bytes | TagloomError] = []
        for start in range(0, len(orders), self.batch):
            part = orders[start : start + self.batch]
            ws = [self._latent(order) for order in part]
            ws += [ws[-1]] * (self.batch - len(ws))
            images_NCHW = self._synthesis(torch.cat(ws), noise_mode="const").float()
            images = images_NCHW[: len(part)].cpu().numpy()
            for order, image_CHW in zip(part, images, strict=True):
                sound = np.isfinite(image_CHW).all()
                encoded.append(encode(image_CHW, order.format) if sound else _diverged(order))
        return encoded

    def _latent(self, order: Order) -> Tensor:
        """w of the order's point, [1, num_ws, w_dim], float32."""
        point = order.point
        if point.weights == (1.0,):
            return self._seed_latent(point.seeds[0], order.truncation_psi)
        total = torch.zeros([], dtype=torch.float64)
        for seed, weight in zip(point.seeds, point.weights, strict=True):
            w = self._seed_latent(seed, order.truncation_psi).cpu()
            total = total + weight * w.to(torch.float64)
        return total.to(torch.float32).to(self._device)

    def _seed_latent(self, seed: int, psi: float) -> Tensor:
        z = np.random.RandomState(seed).randn(1, self._spec.z_dim)
        z_NZ = torch.from_numpy(z).to(self._device, torch.float32)
        c_NC: Tensor | None = None
        if self._spec.c_dim:
            # As the evaluator does: a seed names its class too.
            label = torch.tensor([seed % self._spec.c_dim], device=self._device)
            c_NC = nn.functional.one_hot(label, self._spec.c_dim).float()
        ws: Tensor = self._mapping(z_NZ, c_NC, truncation_psi=psi)
        return ws


def _diverged(order: Order) -> FailedPrecondition:
    return FailedPrecondition(
        f"The image of seed {order.point.seeds[0]} is not a number, so the network's training "
        "diverged; use an earlier snapshot.",
        reason="GENERATOR_DIVERGED",
        seed=order.point.seeds[0],
    )


class RendererCache:
    """The renderers used last, by the SHA-256 of their weights."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._renderers: OrderedDict[str, Renderer] = OrderedDict()

    def get(self, sha256: str, load_it: Callable[[], Renderer]) -> Renderer:
        """The renderer of these weights. Others leave, the least recently used first, when all
        together would need more than `most_bytes`; the one asked for always fits."""
        renderer = self._renderers.pop(sha256, None) or load_it()
        self._renderers[sha256] = renderer
        while len(self._renderers) > 1 and self.bytes > self._most_bytes:
            self._renderers.popitem(last=False)
        return renderer

    @property
    def bytes(self) -> int:
        """What all of them need."""
        return sum(renderer.bytes for renderer in self._renderers.values())


def batch_size(resolution: int, device: str) -> int:
    """Images synthesised at once. Part of what decides an image's last bits, so no setting.

    Measured on a CPU (StyleGAN3-T, one thread): up to 64 pixels the cost of the calls themselves
    shows, and four at once take 0.7 to 0.9 of the time; above, they take more, for the caches.
    """
    if device != "cpu":
        return 16 if resolution <= 256 else 4
    return 4 if resolution <= 64 else 1


def device_type() -> str:
    """`TAGLOOM_GENERATOR_DEVICE` (cpu or cuda); without it, cuda where there is one.

    Raises InvalidArgument (DEVICE_INVALID).
    """
    asked = os.environ.get("TAGLOOM_GENERATOR_DEVICE", "").strip()
    if not asked:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked not in ("cpu", "cuda") or (asked == "cuda" and not torch.cuda.is_available()):
        raise InvalidArgument(
            f"TAGLOOM_GENERATOR_DEVICE is {asked!r}, which this machine does not have; write cpu "
            "or cuda, or leave it out.",
            reason="DEVICE_INVALID",
        )
    return asked


def load(store: Store, entry: CatalogEntry, device: str) -> Renderer:
    """A renderer with the moving-average weights (G_ema) of a network.

    Raises InvalidArgument (NETWORK_SPEC_INVALID), and what `CatalogEntry.load` raises.
    """
    generator = entry.load_generator(store)
    return Renderer(generator, entry.generator_spec, torch.device(device))
