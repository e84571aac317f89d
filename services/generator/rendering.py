"""From latent points to encoded images, in a worker process that keeps its networks loaded.

An image never depends on what it was rendered with: the intermediate latent of a seed is computed
alone, and images are synthesised in batches of one shape, short ones filled up. A convolution's
last bits depend on the shape of its batch, but not on the place in it or on the neighbours.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from services.generator.appearance import Rendering
from services.generator.encoding import encode
from services.generator.points import Order
from tagloom.errors import FailedPrecondition, InvalidArgument, TagloomError
from tagloom.networks.catalog import CatalogEntry
from tagloom.networks.ops.precision import mixed_precision
from tagloom.networks.sampling import seed_latent
from tagloom.networks.spec import GeneratorSpec, StyleGAN3Spec
from tagloom.store.interface import Store

__all__ = ["Renderer", "RendererCache", "batch_size", "device_type", "load"]


class Renderer:
    """A network ready to render, on one device."""

    def __init__(
        self,
        generator: nn.Module,
        spec: GeneratorSpec,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """precision: of the synthesis network's convolutions, float32 or bfloat16."""
        generator.eval().requires_grad_(False).to(device)
        self._mapping = generator.get_submodule("mapping")
        self._synthesis = generator.get_submodule("synthesis")
        self._spec = spec
        self._device = device
        self._dtype = None if precision == torch.float32 else precision
        if isinstance(spec, StyleGAN3Spec):
            self._input = generator.get_submodule("synthesis.input")
        self.batch = batch_size(spec.resolution, device.type)
        self.bytes = sum(
            t.numel() * t.element_size() for t in (*generator.parameters(), *generator.buffers())
        )

    @torch.inference_mode()
    def render(self, orders: Sequence[Order]) -> list[bytes | TagloomError]:
        """The encoded images, in order; FailedPrecondition (GENERATOR_DIVERGED) in the place of
        one that is not a number, since the others may be somebody else's."""
        encoded: list[bytes | TagloomError] = []
        for part in self._batches(orders):
            images = self._synthesize(part).cpu().numpy()
            for order, image_CHW in zip(part, images, strict=True):
                sound = np.isfinite(image_CHW).all()
                encoded.append(encode(image_CHW, order.format) if sound else _diverged(order))
        return encoded

    def _batches(self, orders: Sequence[Order]) -> Iterator[Sequence[Order]]:
        """Runs of at most `batch` orders with one noise mode; those with random noise alone, since
        their noise is drawn for a whole batch."""
        start = 0
        while start < len(orders):
            mode = orders[start].rendering.noise_mode
            end = start + 1
            while (
                mode != "random"
                and end < min(start + self.batch, len(orders))
                and orders[end].rendering.noise_mode == mode
            ):
                end += 1
            yield orders[start:end]
            start = end

    def _synthesize(self, part: Sequence[Order]) -> Tensor:
        """Images [len(part), C, H, W], float32, made in a batch of always the same shape."""
        filled = [*part, *[part[-1]] * (self.batch - len(part))]
        latents = {order: self._latent(order) for order in part}
        if isinstance(self._spec, StyleGAN3Spec):
            # One matrix for each image, also where none moves: the same arithmetic for all.
            transforms = np.stack([_grid_transform(order.rendering) for order in filled])
            self._input.transform = torch.from_numpy(transforms).to(self._device, torch.float32)
        mode = part[0].rendering.noise_mode
        if mode == "random":
            torch.manual_seed(part[0].point.seeds[0])
        ws = torch.cat([latents[order] for order in filled])
        with mixed_precision(self._dtype):
            images: Tensor = self._synthesis(ws, noise_mode=mode)
        return images[: len(part)].float()

    def _latent(self, order: Order) -> Tensor:
        """w of the order's point, [1, num_ws, w_dim], float32."""
        point = order.point
        if point.weights == (1.0,):
            ws = self._seed_latent(point.seeds[0], order)
        else:
            total = torch.zeros([], dtype=torch.float64)
            for seed, weight in zip(point.seeds, point.weights, strict=True):
                total = total + weight * self._seed_latent(seed, order).cpu().to(torch.float64)
            ws = total.to(torch.float32).to(self._device)
        if point.mixed is not None:
            layers = list(point.mixed.layers)
            ws[:, layers] = self._seed_latent(point.mixed.seed, order)[:, layers]
        return ws

    def _seed_latent(self, seed: int, order: Order) -> Tensor:
        how = order.rendering
        z_NZ = seed_latent(seed, self._spec.z_dim).to(self._device)
        c_NC: Tensor | None = None
        if self._spec.c_dim:
            # As the evaluator does: a seed names its class too, unless one is asked for.
            chosen = seed % self._spec.c_dim if how.class_label is None else how.class_label
            label = torch.tensor([chosen], device=self._device)
            c_NC = nn.functional.one_hot(label, self._spec.c_dim).float()
        ws: Tensor = self._mapping(
            z_NZ,
            c_NC,
            truncation_psi=order.truncation_psi,
            truncation_cutoff=how.truncation_cutoff,
        )
        return ws


def _grid_transform(rendering: Rendering) -> npt.NDArray[np.float64]:
    """[3, 3] for the network's input: the inverse of what happens to the picture.

    Source: StyleGAN3 (arXiv 2106.12423), appendix F.1. y points down, so that this turns what
    points right to point up.
    """
    angle = math.radians(rendering.rotate)
    cos, sin = math.cos(angle), math.sin(angle)
    tx, ty = rendering.translate
    picture = np.array([[cos, sin, tx], [-sin, cos, ty], [0, 0, 1]])
    return np.linalg.inv(picture)


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


def load(store: Store, entry: CatalogEntry, device: str, precision: str = "float32") -> Renderer:
    """A renderer with the moving-average weights (G_ema) of a network.

    Raises InvalidArgument (NETWORK_SPEC_INVALID), and what `CatalogEntry.load` raises.
    """
    generator = entry.load_generator(store)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    return Renderer(generator, entry.generator_spec, torch.device(device), dtype)
