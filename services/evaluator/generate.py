"""Images to score, from a generator's moving-average weights (G_ema).

Image i comes from seed i: z = numpy.random.RandomState(i).randn(1, z_dim), constant noise, no
truncation, rounded to 8 bits as the field does (x * 127.5 + 128, cut to 0..255). So the images are
those that `tagloom generate --seeds 0-` makes, and every snapshot is scored on the same draws.

A conditional generator gets, for each seed, the label of a random training image: its images are
to have the dataset's mixture of labels, or their distance from the dataset would measure that.
Where the dataset's labels are not the generator's, it gets class i mod c_dim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import torch

from tagloom.artifacts.labels import Labels
from tagloom.errors import FailedPrecondition
from tagloom.networks.sampling import seed_latent, to_pixels
from tagloom.networks.spec import GeneratorSpec

__all__ = ["SEED_SCHEME", "generated_images", "seed_inputs"]

SEED_SCHEME: Final = "randomstate-const-v1"
"""names how images follow from seeds; part of the key of stored scores"""

_BATCH: Final = 16


def seed_inputs(
    seeds: Iterable[int], spec: GeneratorSpec, device: torch.device, labels: Labels | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """z [N, z_dim] and labels c [N, c_dim] (None for an unconditional generator) of the seeds.

    labels: of the training images, with c_dim numbers; None: each class in turn.
    """
    seeds = list(seeds)
    z_NZ = torch.cat([seed_latent(seed, spec.z_dim) for seed in seeds]).to(device)
    if not spec.c_dim:
        return z_NZ, None
    if labels is not None:
        return z_NZ, torch.from_numpy(labels.of_seeds(seeds)).to(device)
    classes = torch.tensor([seed % spec.c_dim for seed in seeds], device=device)
    return z_NZ, torch.nn.functional.one_hot(classes, spec.c_dim).float()


def generated_images(
    generator: torch.nn.Module,
    spec: GeneratorSpec,
    count: int,
    device: torch.device,
    labels: Labels | None = None,
) -> Iterator[torch.Tensor]:
    """Batches of uint8 RGB [B, 3, H, W], B <= 16, from seeds 0 to count - 1.

    labels: see `seed_inputs`.
    Raises FailedPrecondition (GENERATOR_DIVERGED) when an output is not a number.
    """
    for start in range(0, count, _BATCH):
        seeds = range(start, start + _BATCH)  # always full: the last bits depend on the shape
        z_NZ, c_NC = seed_inputs(seeds, spec, device, labels)
        with torch.inference_mode():
            image_NCHW: torch.Tensor = generator(z_NZ, c_NC, noise_mode="const")
            if not torch.isfinite(image_NCHW).all():
                raise FailedPrecondition(
                    f"The generator's image of seed {start} or one soon after is not a number, so "
                    "its training diverged: train again with a lower learning rate or a larger R1 "
                    "weight.",
                    reason="GENERATOR_DIVERGED",
                )
            rounded_NCHW = to_pixels(image_NCHW)
        if spec.img_channels == 1:
            rounded_NCHW = rounded_NCHW.expand(-1, 3, -1, -1)
        yield rounded_NCHW[: count - start]
