"""A run brought into memory where it was left, or at its start."""

from __future__ import annotations

from services.trainer.dataset import load_held_out, load_images
from services.trainer.observe import Observer
from services.trainer.ranks import Ranks
from services.trainer.score import Scorer
from services.trainer.session import Session
from services.trainer.state import restore
from services.trainer.takeover import start_sentence
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Run
from tagloom.errors import FailedPrecondition
from tagloom.store.interface import Store

__all__ = ["open_observer", "open_scorer", "open_session"]


def open_session(store: Store, run: Run, ranks: Ranks) -> tuple[Session, str]:
    """The run at its newest durable state, and a sentence about where it goes on from.

    All ranks call this together. Raises FailedPrecondition (DATASET_CHANGED, DATASET_UNSUITABLE,
    PROCESSES_UNSUITABLE, PROCESSES_DIFFER), and what reading the dataset and the state raise.
    """
    dataset = _dataset(store, run)
    if dataset.content_sha256 != run.dataset_sha256:
        raise FailedPrecondition(
            f"{run.dataset} has changed since runs/{run.id} was made; start a new run on it.",
            reason="DATASET_CHANGED",
            resource=run.dataset,
        )
    images = load_images(store, dataset, label_size=_label_size(run))
    if len(images) < run.options.batch or images.resolution != run.resolution:
        raise FailedPrecondition(
            f"{run.dataset} has {len(images)} images of {images.resolution} px, but runs/{run.id} "
            f"wants at least {run.options.batch} of {run.resolution} px; start a new run on it.",
            reason="DATASET_UNSUITABLE",
            resource=run.dataset,
        )
    session = Session.create(store, run, images, ranks)
    note = restore(store, session)
    if note is None:
        note = start_sentence(run, len(images), session.transferred)
    _check_same(session, ranks)
    return session, note


def _check_same(session: Session, ranks: Ranks) -> None:
    """Every rank must go on from the same numbers: nothing brings them together later."""
    norms = [
        float(tensor.double().square().sum())
        for network in session.networks.values()
        for tensor in network.state_dict().values()
    ]
    if not ranks.same([session.step.images_seen, session.step.steps, *norms]):
        raise FailedPrecondition(
            f"The {ranks.size} processes that train runs/{session.run.id} did not begin with the "
            "same weights: start all of them with the same version of Tagloom and PyTorch, on the "
            "same store.",
            reason="PROCESSES_DIFFER",
            resource=f"runs/{session.run.id}",
        )


def open_observer(store: Store, session: Session) -> Observer:
    """What looks at the run's samples and at D from time to time."""
    run = session.run
    return Observer(
        session.images,
        load_held_out(store, _dataset(store, run), label_size=_label_size(run)),
        z_dim=int(run.generator["z_dim"]),
        group=min(run.options.mbstd_group, run.options.batch),
    )


def open_scorer(store: Store, session: Session) -> Scorer | None:
    """What scores the run's generators; None where nothing is to be scored."""
    run = session.run
    if not run.options.score_samples:
        return None
    return Scorer(
        session.images,
        load_held_out(store, _dataset(store, run)),
        samples=run.options.score_samples,
        z_dim=int(run.generator["z_dim"]),
    )


def _label_size(run: Run) -> int:
    """c_dim of the run's networks; 0 without labels."""
    return int(run.generator.get("c_dim", 0))


def _dataset(store: Store, run: Run) -> Dataset:
    (dataset_id,) = layout.parse_name(run.dataset, "datasets/{}")
    return Dataset.load(store, layout.dataset_manifest(dataset_id), run.dataset)
