"""A run in memory: its networks, and the step that trains them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from services.trainer.augment import AugmentControl, AugmentPipe
from services.trainer.dataset import Sampler, TrainingImages
from services.trainer.draws import KeyedDraws
from services.trainer.losses import Losses, LossSettings
from services.trainer.step import StepSettings, TrainingStep
from tagloom.artifacts.run import Run, TrainingOptions
from tagloom.networks.build import build_from_spec
from tagloom.networks.catalog import open_network
from tagloom.networks.spec import DiscriminatorSpec, generator_spec_from_json
from tagloom.networks.weights import load_into
from tagloom.store.interface import Store

__all__ = ["Session", "change_since"]

STYLE_MIXING = 0.9
PATH_LENGTH_WEIGHT = 2.0
PATH_LENGTH_INTERVAL = 4
R1_INTERVAL = 16
BLUR_SIGMA = 10.0


@dataclass(slots=True)
class Session:
    """Everything that `advance` changes, plus where the run started."""

    run: Run
    images: TrainingImages
    sampler: Sampler
    step: TrainingStep
    origin: dict[str, list[Tensor]] = field(default_factory=dict)
    """parameters of G and D at the start of the run"""
    seconds: float = 0.0
    """of training, over all attempts"""

    @classmethod
    def create(cls, store: Store, run: Run, images: TrainingImages) -> Session:
        """A run at its very start: weights of its start network, or fresh ones from its seed."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        options = run.options
        torch.manual_seed(options.seed % 2**63)
        g_spec = generator_spec_from_json(run.generator)
        G = build_from_spec(g_spec)
        D = build_from_spec(DiscriminatorSpec.from_json(run.discriminator))
        G_ema = build_from_spec(g_spec)
        if run.start:
            # G continues from the average: the field's published networks have no better one.
            weights = open_network(store, run.start).load(store, ["G_ema", "D"])
            load_into(G, weights["G_ema"], what=f"The weights of {run.start}")
            load_into(D, weights["D"], what=f"The weights of {run.start}")
        G_ema.load_state_dict(G.state_dict())
        for network in (G, D, G_ema):
            network.to(device)
        augment = None if options.augment == "none" else AugmentPipe().to(device)
        control = None
        if augment is not None and options.augment == "ada":
            control = AugmentControl(target=options.ada_target, kimg=options.ada_kimg)
        elif augment is not None:
            augment.p.fill_(options.augment_p)
        losses = Losses(G, D, _loss_settings(run), augment)
        session = cls(
            run=run,
            images=images,
            sampler=Sampler(len(images), seed=options.seed, mirror=options.mirror),
            step=TrainingStep(losses, G_ema, _step_settings(options), control),
        )
        session.remember_origin(session.networks["G"], session.networks["D"])
        return session

    @property
    def networks(self) -> dict[str, nn.Module]:
        """By the names that weights files use."""
        return {"G_ema": self.step.G_ema, "G": self.step.G, "D": self.step.D}

    @property
    def kimg(self) -> float:
        """Thousands of images seen."""
        return self.step.images_seen / 1000

    @property
    def total_images(self) -> int:
        """Images of the whole run: the first whole number of batches that reaches its kimg."""
        batch = self.run.options.batch
        return -(-round(self.run.options.kimg * 1000) // batch) * batch

    @property
    def done(self) -> bool:
        return self.step.images_seen >= self.total_images

    @property
    def augment_p(self) -> float:
        """The augmentation probability now; 0 without augmentation."""
        control, augment = self.step.control, self.step.losses.augment
        if control is not None:
            return control.p
        return 0.0 if augment is None else float(augment.p)

    def remember_origin(self, G: nn.Module, D: nn.Module) -> None:
        """Measure changes from these weights on."""
        self.origin = {
            name: [p.detach().to("cpu", copy=True) for p in network.parameters()]
            for name, network in (("G", G), ("D", D))
        }

    def parameter_change(self, name: str) -> float:
        """How far G or D went from the start; see `change_since`."""
        return change_since(self.origin[name], self.networks[name])

    def advance(self) -> None:
        """One step on the next batch."""
        options, step = self.run.options, self.step
        indices, mirrored = self.sampler.at(step.images_seen, options.batch)
        real = self.images.batch(indices, mirrored).to(step.device)
        draws = KeyedDraws(
            seed=options.seed,
            step=step.steps,
            batch=options.batch,
            z_dim=int(self.run.generator["z_dim"]),
            style_mixing=STYLE_MIXING,
            device=step.device,
        )
        step.run(real, None, draws)


def change_since(origin: list[Tensor], network: nn.Module) -> float:
    """Root mean square, over the parameter tensors, of |now - origin| / |origin|.

    A tensor counts as one, whatever its size and scale: over all numbers at once, the mapping
    network, whose weights are stored 100 times larger than they act, would drown the rest. Tensors
    that started at 0 (biases) have no relative change and do not count.
    """
    squares = []
    for before, parameter in zip(origin, network.parameters(), strict=True):
        length = before.square().sum(dtype=torch.float64)
        if length > 0:
            moved = (parameter.detach().to("cpu") - before).square().sum(dtype=torch.float64)
            squares.append(moved / length)
    return float(torch.stack(squares).mean().sqrt()) if squares else 0.0


def _loss_settings(run: Run) -> LossSettings:
    options = run.options
    stylegan2 = options.config == "stylegan2"
    # The blur keeps D from fixing details early on; a trained start network needs none.
    blurred = options.config == "stylegan3-r" and not run.start
    return LossSettings(
        r1_gamma=options.r1_gamma,
        style_mixing=stylegan2,
        path_length_weight=PATH_LENGTH_WEIGHT if stylegan2 else 0.0,
        blur_sigma=BLUR_SIGMA if blurred else 0.0,
        blur_fade_kimg=options.batch * 200 / 32 if blurred else 0.0,
        noise_mode="random" if stylegan2 else "const",
    )


def _step_settings(options: TrainingOptions) -> StepSettings:
    return StepSettings(
        batch=options.batch,
        g_learning_rate=options.g_learning_rate,
        d_learning_rate=options.d_learning_rate,
        g_regularisation_interval=PATH_LENGTH_INTERVAL if options.config == "stylegan2" else None,
        d_regularisation_interval=R1_INTERVAL,
        ema_kimg=options.ema_kimg,
        ema_rampup=options.ema_rampup,
    )
