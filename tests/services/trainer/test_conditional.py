"""Runs on labels: drawn as the dataset has them, to the same bits, divided as any other run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from services.trainer import records
from services.trainer.attend import Interrupted
from services.trainer.dataset import load_held_out, load_images
from services.trainer.draws import KeyedDraws
from services.trainer.loop import train
from services.trainer.observe import Observer
from services.trainer.opening import open_scorer, open_session
from services.trainer.options import RequestedOptions, plan_run
from services.trainer.ranks import ALONE
from services.trainer.snapshot import sample_grid
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.labels import Labels
from tagloom.artifacts.run import Run
from tagloom.errors import FailedPrecondition
from tagloom.networks.catalog import open_network
from tagloom.progress import silent
from tagloom.store import Store
from tests.plugins.training_pieces import TINY, write_dataset

CLASSES = [0, 2, 1, 0, 0, 2, 1, 0, 0, 0, 1, 0]
HELD_OUT_CLASSES = [0, 1, 1, 0, 0, 1, 0, 0]
STYLEGAN3 = {"config": "stylegan3-t", "num_layers": 4, "margin_size": 4}
CONFIGS = pytest.mark.parametrize("config", [{}, STYLEGAN3], ids=["stylegan2", "stylegan3"])


@pytest.fixture
def make(store: Store, make_run: Callable[..., Run]) -> Callable[..., Run]:
    write_dataset(store, labels=CLASSES, held_out=8, held_out_labels=HELD_OUT_CLASSES)

    def call(run_id: str = "r", **options: Any) -> Run:
        return make_run(run_id, **{"conditional": True, "ada_target": -1.0, **options})

    return call


def weights(store: Store, run_id: str, kimg: float) -> dict[str, Tensor]:
    entry = open_network(store, f"runs/{run_id}/snapshots/{layout.snapshot_id(kimg)}")
    loaded = entry.load(store, ["G_ema", "G", "D"])
    return {f"{role}.{key}": value for role in loaded for key, value in loaded[role].items()}


def draws(classes: Sequence[int], step: int, batch: int, seed: int = 0) -> KeyedDraws:
    labels = Labels(classes=np.array(classes), size=max(classes) + 1)
    return KeyedDraws(seed=seed, step=step, batch=batch, z_dim=4, labels=labels)


@settings(deadline=None)
@given(
    classes=st.lists(st.integers(0, 4), min_size=1, max_size=10),
    step=st.integers(0, 10**6),
    seed=st.integers(0, 2**63 - 1),
)
def test_labels_of_generated_images_belong_to_samples(
    classes: list[int], step: int, seed: int
) -> None:
    whole = draws(classes, step, 8, seed)
    z, c = whole.latents("Gmain")
    assert c is not None
    assert c.shape == (8, max(classes) + 1)
    assert set(c.argmax(dim=1).tolist()) <= set(classes)
    assert torch.equal(c.sum(dim=1), torch.ones(8))
    parts = [whole.part(slice(start, start + 2)).latents("Gmain")[1] for start in range(0, 8, 2)]
    assert torch.equal(torch.cat([part for part in parts if part is not None]), c)
    unlabelled = KeyedDraws(seed=seed, step=step, batch=8, z_dim=4).latents("Gmain")
    assert torch.equal(z, unlabelled[0]), "labels have changed what unconditional runs draw"


def test_labels_of_generated_images_have_the_mixture_of_the_dataset() -> None:
    drawn = torch.zeros(3)
    phases: dict[str, list[Tensor]] = {"Gmain": [], "Dmain": []}
    for step in range(100):
        for phase, seen in phases.items():
            _, c = draws(CLASSES, step, 16).latents(phase)  # type: ignore[arg-type]
            assert c is not None
            drawn += c.sum(dim=0)
            seen.append(c)
    assert (drawn / drawn.sum()).tolist() == pytest.approx([7 / 12, 3 / 12, 2 / 12], abs=0.03)
    of_g, of_d = (torch.cat(seen) for seen in phases.values())
    assert not torch.equal(of_g, of_d)


class Spy(nn.Module):
    """Calls a network, and remembers the labels that it was given."""

    def __init__(self, network: nn.Module, seen: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.network, self.seen = network, seen

    def forward(self, images: Tensor, c: Tensor) -> Tensor:
        self.seen.append((images.detach().clone(), c.clone()))
        scores: Tensor = self.network(images, c)
        return scores


def test_real_images_keep_their_labels_mirrored_or_not(
    store: Store, make: Callable[..., Run]
) -> None:
    run = make(mirror=True, augment="none")
    assert run.generator["c_dim"] == run.discriminator["c_dim"] == 3
    session, _ = open_session(store, run, ALONE)
    stored = session.images.pixels(np.arange(12)).float() / 127.5 - 1
    seen: list[tuple[Tensor, Tensor]] = []
    session.step.losses.D = Spy(session.step.D, seen)
    for _ in range(6):
        session.advance()
    mirrored = 0
    for images, labels in seen:
        for image, label in zip(images, labels, strict=True):
            for index, other in enumerate(stored):
                flipped = torch.equal(image, other.flip(2))
                if flipped or torch.equal(image, other):
                    assert int(label.argmax()) == CLASSES[index]
                    mirrored += flipped
    assert mirrored > 0, "no mirrored image was seen"


@CONFIGS
def test_an_interrupted_run_ends_at_the_same_bits(
    store: Store, make: Callable[..., Run], config: dict[str, Any]
) -> None:
    options = {**config, "kimg": 0.032, "snapshot_kimg": 0.016}
    for run_id in ("whole", "pieces"):
        make(run_id, **options)
    train(store, "whole", silent)
    for stop_at in (1, 4):
        steps = iter(range(stop_at + 1))
        with pytest.raises(Interrupted):
            train(store, "pieces", silent, stop=lambda steps=steps: next(steps, None) is None)
    train(store, "pieces", silent)

    whole, pieces = weights(store, "whole", 0.032), weights(store, "pieces", 0.032)
    assert records.read_run(store, "pieces").attempts == 3
    assert all(torch.equal(value, pieces[name]) for name, value in whole.items())
    start = weights(store, "whole", 0)
    for name in ("G.mapping.embed.weight", "D.mapping.embed.weight"):
        assert not torch.equal(whole[name], start[name]), f"{name} was not trained"
    assert records.read_ticks(store, "whole")[-1].diversity is not None


@CONFIGS
def test_micro_batches_are_computed_as_if_alone(
    store: Store, make: Callable[..., Run], config: dict[str, Any]
) -> None:
    run = make(batch=8, micro_batch=4, **config)
    together = open_session(store, run, ALONE)[0]
    indices, mirrored = together.sampler.at(0, 8)
    real, real_c = together.images.batch(indices, mirrored), together.images.labels_of(indices)
    assert real_c is not None
    whole = KeyedDraws(seed=0, step=0, batch=8, z_dim=8, labels=together.images.labels)
    step = together.step
    for phase in step.phases:
        phase.network.requires_grad_(True).zero_grad()
        step.micro_batches.accumulate(
            step.losses, phase.name, real, real_c, whole, gain=1, images_seen=0
        )
        phase.network.requires_grad_(False)
        expected: dict[str, Tensor] = {}
        for part in (slice(0, 4), slice(4, 8)):
            alone = open_session(store, run, ALONE)[0].step
            alone.G.load_state_dict(step.G.state_dict())
            network = alone.G if phase.network is step.G else alone.D
            network.requires_grad_(True)
            alone.losses.accumulate(
                phase.name, real[part], real_c[part], whole.part(part), gain=1, images_seen=0
            )
            for name, parameter in network.named_parameters():
                if parameter.grad is not None:
                    expected[name] = expected.get(name, torch.zeros([])) + parameter.grad / 2
        got = {n: p.grad for n, p in phase.network.named_parameters() if p.grad is not None}
        assert got.keys() == expected.keys()
        assert "mapping.embed.weight" in got
        for name, gradient in got.items():
            scale = float(expected[name].abs().max()) + 1e-12
            assert float((gradient - expected[name]).abs().max()) < 1e-3 * scale, name
        # The next phase is compared from the start too.
        step.G.load_state_dict(open_session(store, run, ALONE)[0].step.G.state_dict())
        step.losses.path_length_mean.zero_()


def test_samples_scores_and_observations_are_of_labelled_images(
    store: Store, make: Callable[..., Run]
) -> None:
    run = make(score_samples=16)
    session = open_session(store, run, ALONE)[0]
    G, D, labels = session.step.G_ema, session.step.D, session.images.labels
    assert labels is not None
    assert sample_grid(G, 4, 8, labels) == sample_grid(
        G, 4, 8, Labels(classes=np.arange(3), size=3)
    )
    same = Labels(vectors=np.eye(3, dtype=np.float32)[:1])
    assert sample_grid(G, 4, 8, labels) != sample_grid(G, 4, 8, same), "labels do not show"
    scorer = open_scorer(store, session)
    assert scorer is not None
    assert scorer(G).generated == 16

    dataset = Dataset.load(store, layout.dataset_manifest("d"), "datasets/d")
    held_out = load_held_out(store, dataset, label_size=3)
    assert held_out is not None
    assert held_out.labels is not None
    seen: list[tuple[Tensor, Tensor]] = []
    observer = Observer(session.images, held_out, z_dim=8, group=4)
    assert observer.look(G, Spy(D, seen)).diversity > 0
    judged = torch.cat([c for _, c in seen]).argmax(dim=1).tolist()
    drawn = labels.of_seeds(range(16)).argmax(axis=1).tolist()
    assert judged == [*CLASSES[:8], *HELD_OUT_CLASSES, *drawn]
    unlabelled = load_held_out(store, dataset)
    assert Observer(session.images, unlabelled, z_dim=8, group=4).look(G, D).overfitting is None


def test_labels_are_read_only_where_they_are_wanted(store: Store) -> None:
    dataset = write_dataset(store, labels=[0, -1])
    requested = RequestedOptions(**TINY)
    run = plan_run(store, "r", "datasets/d", "", requested)
    assert run.generator["c_dim"] == run.discriminator["c_dim"] == 0
    assert load_images(store, dataset).labels is None


@pytest.mark.parametrize(
    ("labels", "reason", "words"),
    [
        (None, "DATASET_UNLABELLED", r"conditional training \(--cond\) needs a label for each"),
        ([0] * 11, "LABELS_INVALID", r"1 of 12 images have none"),
        ([-1] * 12, "LABELS_INVALID", r"is -1, but classes go from 0"),
        ([[0.0]] * 11 + [[0.0, 1.0]], "LABELS_INVALID", r"has 2 numbers, not 1"),
    ],
)
def test_labels_that_cannot_be_trained_on_are_refused_before_anything_starts(
    store: Store, labels: list[Any] | None, reason: str, words: str
) -> None:
    write_dataset(store, labels=labels)
    requested = RequestedOptions(**TINY, conditional=True)
    with pytest.raises(FailedPrecondition, match=words) as told:
        plan_run(store, "r", "datasets/d", "", requested)
    assert told.value.reason == reason


def test_lists_of_numbers_are_labels_too(store: Store, make_run: Callable[..., Run]) -> None:
    write_dataset(store, labels=[[index / 12, 1.0] for index in range(12)])
    run = make_run(conditional=True, kimg=0.008, snapshot_kimg=0.008)
    assert run.generator["c_dim"] == 2
    train(store, "r", silent)
    assert records.read_run(store, "r").state == "succeeded"


@pytest.mark.parametrize(
    ("classes", "conditional", "said"),
    [
        (CLASSES, False, "as the mean over its labels"),
        (CLASSES, True, None),
        ([index % 5 for index in range(12)], True, "new for labels of 5: mapping.embed"),
    ],
    ids=["none", "as-many", "more"],
)
def test_a_labelled_start_and_other_labels(
    store: Store,
    make: Callable[..., Run],
    classes: list[int],
    conditional: bool,
    said: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make("source", kimg=0.004)
    train(store, "source", silent)
    start = "runs/source/snapshots/000000.004"
    write_dataset(store, "other", labels=classes)
    requested = RequestedOptions(**{**TINY, "kimg": 0.004}, conditional=conditional)
    run = plan_run(store, "r", "datasets/other", start, requested)
    run.create(store, layout.run_document("r"), "runs/r")
    caplog.set_level("INFO")
    train(store, "r", silent)
    transfer = records.read_run(store, "r").transfer
    if said is None:
        assert all(part.copied == part.tensors for part in transfer)
    else:
        assert said in caplog.text
        assert all(part.fresh or part.adapted for part in transfer)


def test_a_start_without_labels_learns_them(
    store: Store, make: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    make("source", kimg=0.004, conditional=False)
    train(store, "source", silent)
    start = "runs/source/snapshots/000000.004"
    make("r", start=start, kimg=0.016, snapshot_kimg=0.016)
    caplog.set_level("INFO")
    train(store, "r", silent)
    g, d = records.read_run(store, "r").transfer
    assert (g.adapted, d.adapted) == (("mapping.fc0.weight",), ("b4.out.weight", "b4.out.bias"))
    assert {name.rsplit(".", 1)[0] for name in g.fresh} == {"mapping.embed"}
    assert "so as to begin alike for every label" in caplog.text
    assert "new for labels of 3: mapping.embed" in caplog.text
    first, last = (
        open_network(store, f"runs/r/snapshots/{layout.snapshot_id(kimg)}").load_generator(store)
        for kimg in (0, 0.016)
    )
    before = open_network(store, start).load_generator(store)
    z = torch.randn(1, 8).expand(3, -1)
    with torch.no_grad():
        assert torch.allclose(first(z, torch.eye(3)), before(z, None), atol=1e-5)
        spreads = [
            float((images[1:] - images[:1]).abs().max())
            for images in (first(z, torch.eye(3)), last(z, torch.eye(3)))
        ]
    assert spreads[0] < 1e-6 < 1e-5 < spreads[1], "labels make no difference"
