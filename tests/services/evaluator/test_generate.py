"""Seeds become the same 8-bit images everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.evaluator.generate import generated_images
from tagloom.artifacts.labels import Labels
from tagloom.errors import FailedPrecondition
from tagloom.networks.build import build_generator

CPU = torch.device("cpu")


@pytest.mark.parametrize("c_dim", [0, 3])
def test_images_follow_the_fields_seeds(c_dim: int) -> None:
    torch.manual_seed(0)
    generator = build_generator(
        "stylegan3-t", resolution=16, z_dim=8, w_dim=8, c_dim=c_dim, channel_base=128, channel_max=4
    ).eval()
    batches = list(generated_images(generator, generator.spec, 19, CPU))
    assert [len(batch) for batch in batches] == [16, 3]
    images = torch.cat(batches)
    assert images.shape == (19, 3, 16, 16)
    assert images.dtype == torch.uint8
    for seed in (0, 5, 18):
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, 8)).float()
        label = torch.eye(3)[seed % 3][None] if c_dim else None
        with torch.inference_mode():
            image = generator(z, label, noise_mode="const")
        expected = (image * 127.5 + 128).clamp(0, 255).to(torch.uint8)
        # Another batch size may change a float in its last bits, so a level at a border by one.
        difference = (images[seed].int() - expected[0].int()).abs()
        assert difference.max() <= 1
        assert (difference > 0).float().mean() < 1e-3
    assert (images[0] != images[1]).any()


def test_the_images_do_not_depend_on_how_many_are_asked_for(make) -> None:
    generator = make.generator(1)
    few = torch.cat(list(generated_images(generator, generator.spec, 5, CPU)))
    many = torch.cat(list(generated_images(generator, generator.spec, 40, CPU)))
    assert torch.equal(few, many[:5])


def test_labels_are_those_of_random_training_images(make) -> None:
    generator = make.generator(1, c_dim=3)
    labels = Labels(classes=np.array([2, 0, 0, 0]), size=3)
    (images,) = generated_images(generator, generator.spec, 16, CPU, labels)
    drawn = labels.of_seeds(range(16))
    assert set(drawn.argmax(axis=1)) == {0, 2}
    z = np.concatenate([np.random.RandomState(seed).randn(1, 16) for seed in range(16)])
    with torch.inference_mode():
        expected = generator(torch.from_numpy(z).float(), torch.from_numpy(drawn))
    assert torch.equal(images, (expected * 127.5 + 128).clamp(0, 255).to(torch.uint8))
    (in_turn,) = generated_images(generator, generator.spec, 16, CPU)
    assert not torch.equal(images, in_turn)


def test_gray_generators_give_rgb() -> None:
    torch.manual_seed(0)
    generator = build_generator(
        "stylegan2", resolution=8, z_dim=8, w_dim=8, img_channels=1, channel_base=64, channel_max=8
    ).eval()
    (images,) = generated_images(generator, generator.spec, 2, CPU)
    assert images.shape == (2, 3, 8, 8)
    assert torch.equal(images[:, 0], images[:, 2])


def test_a_diverged_generator_is_told(make) -> None:
    generator = make.generator(1)
    with torch.no_grad():
        next(generator.parameters()).fill_(torch.nan)
    with pytest.raises(FailedPrecondition) as caught:
        list(generated_images(generator, generator.spec, 4, CPU))
    assert caught.value.reason == "GENERATOR_DIVERGED"
