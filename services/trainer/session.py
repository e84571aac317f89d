"""A run in memory: its networks, and the step that trains them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from services.trainer.augment import PIPES, AugmentControl, AugmentPipe
from services.trainer.dataset import Sampler, TrainingImages
from services.trainer.draws import KeyedDraws
from services.trainer.losses import Losses, LossSettings
from services.trainer.ranks import ALONE, Ranks
from services.trainer.step import StepSettings, TrainingStep
from services.trainer.upload import upload
from tagloom.artifacts import layout
from tagloom.artifacts.run import Run, TrainingOptions
from tagloom.networks.build import build_from_spec
from tagloom.networks.catalog import open_network
from tagloom.networks.spec import DiscriminatorSpec, generator_spec_from_json
from tagloom.networks.transfer import Transferred, transfer_weights
from tagloom.store.interface import Store

__all__ = ["Session", "change_since"]


@dataclass(slots=True)
class Session:
    """Everything that `advance` changes, plus where the run started."""

    run: Run
    images: TrainingImages
    sampler: Sampler
    step: TrainingStep
    origin: dict[str, list[Tensor]] = field(default_factory=dict)
    """parameters of G and D at the start of the run"""
    transferred: dict[str, Transferred] = field(default_factory=dict)
    """what G and D took over from the start network; empty from scratch"""
    seconds: float = 0.0
    """of training, over all attempts"""
    state_prefix: str = ""
    """below which its durable states lie; empty: those of the run"""

    def __post_init__(self) -> None:
        self.state_prefix = self.state_prefix or layout.run_state_prefix(self.run.id)

    @classmethod
    def create(
        cls, store: Store, run: Run, images: TrainingImages, ranks: Ranks = ALONE
    ) -> Session:
        """A run at its very start: weights of its start network, or fresh ones from its seed.

        Raises FailedPrecondition (PROCESSES_UNSUITABLE) if the ranks cannot share its batch.
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        options = run.options
        torch.manual_seed(options.seed % 2**63)
        g_spec = generator_spec_from_json(run.generator)
        G = build_from_spec(g_spec)
        D = build_from_spec(DiscriminatorSpec.from_json(run.discriminator))
        G_ema = build_from_spec(g_spec)
        G_ema.load_state_dict(G.state_dict())
        transferred = _take_over(store, run.start, G, D, G_ema) if run.start else {}
        for network in (G, D, G_ema):
            network.to(device)
        augment = None
        if options.augment != "none":
            augment = AugmentPipe(PIPES[options.augment_pipe]).to(device)
        control = None
        if augment is not None and options.augment == "ada":
            control = AugmentControl(
                target=options.ada_target,
                kimg=options.ada_kimg,
                interval=options.ada_interval,
                p=torch.zeros([], dtype=torch.float64, device=device),
            )
        elif augment is not None:
            augment.p.fill_(options.augment_p)
        losses = Losses(G, D, _loss_settings(options), augment)
        session = cls(
            run=run,
            images=images,
            sampler=Sampler(len(images), seed=options.seed, mirror=options.mirror),
            step=TrainingStep(losses, G_ema, _step_settings(options), control, ranks),
            transferred=transferred,
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
            return float(control.p)
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
        """One step on the next batch. Raises as `TrainingStep.check`."""
        options, step = self.run.options, self.step
        indices, mirrored = self.sampler.at(step.images_seen, options.batch)
        own = step.micro_batches.rows
        real = upload(self.images.batch(indices[own], mirrored[own]), step.device)
        draws = KeyedDraws(
            seed=options.seed,
            step=step.steps,
            batch=options.batch,
            z_dim=int(self.run.generator["z_dim"]),
            style_mixing=options.style_mixing,
            labels=self.images.labels,
            device=step.device,
        )
        real_c = self.images.labels_of(indices[own])
        step.run(real, None if real_c is None else upload(real_c, step.device), draws)
        step.check()


def _take_over(
    store: Store, start: str, G: nn.Module, D: nn.Module, G_ema: nn.Module
) -> dict[str, Transferred]:
    """Each continues its own, as in the official programs; G the average where there is no G."""
    entry = open_network(store, start)
    weights = entry.load(store, ["G_ema", "D"], optional=["G"])
    spec = entry.generator_spec
    d_spec = DiscriminatorSpec.from_json(entry.network.discriminator or {})
    what = f"The weights of {start}"
    transfer_weights(weights["G_ema"], spec, G_ema, what=what)
    return {
        "G": transfer_weights(weights.get("G", weights["G_ema"]), spec, G, what=what),
        "D": transfer_weights(weights["D"], d_spec, D, what=what),
    }


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


def _loss_settings(options: TrainingOptions) -> LossSettings:
    return LossSettings(
        r1_gamma=options.r1_gamma,
        style_mixing=options.style_mixing > 0,
        path_length_weight=options.path_length_weight,
        blur_sigma=options.blur_sigma,
        blur_fade_kimg=options.blur_fade_kimg,
        noise_mode="random" if options.config == "stylegan2" else "const",
        mixed_precision=options.mixed_precision,
    )


def _step_settings(options: TrainingOptions) -> StepSettings:
    return StepSettings(
        batch=options.batch,
        micro_batch=options.micro_batch or None,
        g_learning_rate=options.g_learning_rate,
        d_learning_rate=options.d_learning_rate,
        g_regularisation_interval=(
            options.path_length_interval if options.path_length_weight > 0 else None
        ),
        d_regularisation_interval=options.r1_interval,
        ema_kimg=options.ema_kimg,
        ema_rampup=options.ema_rampup,
        adam_betas=(options.adam_beta1, options.adam_beta2),
        adam_epsilon=options.adam_epsilon,
        bad_updates_limit=options.bad_updates_limit,
    )
