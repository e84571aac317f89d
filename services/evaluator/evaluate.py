"""Scores every snapshot of a run against images of its dataset.

Each snapshot's scores are kept in the store as soon as they are known, under everything they
depend on; the evaluation is written last. So work that was killed continues at the snapshot it
was at, and scoring the same weights again costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from services.evaluator.equivariance import equivariance
from services.evaluator.frechet import FeatureStatistics
from services.evaluator.gate import best_by, judge, score_named
from services.evaluator.generate import SEED_SCHEME, generated_images
from services.evaluator.images import ImageSet, ZipImages
from services.evaluator.measure import MEASURE_VERSION, complete_metrics, describe, measure
from services.evaluator.requests import (
    GENERATOR_METRICS,
    MIN_IMAGES,
    Candidate,
    EvaluationRequest,
    check_evaluation,
    generators_of,
)
from services.evaluator.statistics import real_statistics
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.evaluation import Evaluation, Metric, SnapshotScore
from tagloom.artifacts.labels import Labels, dataset_labels
from tagloom.artifacts.run import Run
from tagloom.errors import AlreadyExists, FailedPrecondition
from tagloom.features import FeatureExtractor, open_extractor
from tagloom.progress import Report, silent
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["evaluate_run"]

_DEFAULT_SAMPLES: Final = 50_000  # the field's FID-50k
_SAMPLES_PER_REAL: Final = 10


def evaluate_run(store: Store, request: EvaluationRequest, report: Report = silent) -> Evaluation:
    """Scores the start (kimg 0) and every snapshot of a run; writes and returns the evaluation.

    Real images are those held out from training; a dataset without any is measured against its
    training images, and the evaluation says so.

    Asked again after it was done (or after a kill), returns what is there. Raises AlreadyExists
    (RESOURCE_EXISTS) when that was another evaluation, FailedPrecondition (DATASET_CHANGED,
    TOO_FEW_IMAGES, ...), and what `check_evaluation` and `load_extractor` raise.
    """
    run = check_evaluation(store, request)
    candidates = generators_of(store, run)
    dataset, images = _real_images(store, run)
    extractor = open_extractor(request.features)
    metrics = complete_metrics(request.metrics)
    samples = request.samples or min(_DEFAULT_SAMPLES, _SAMPLES_PER_REAL * len(images))
    against = _Against(
        images.content_sha256,
        real_statistics(store, images, extractor, report),
        dataset_labels(store, dataset) if run.options.conditional else None,
        dataset.content_sha256,
    )
    kernel = extractor.metric_name("kernel")

    # Each image is looked at once for its features, and once more when it is moved.
    each = samples * (2 if any(metric in GENERATOR_METRICS for metric in metrics) else 1)
    total, scored = len(candidates) * each, list[SnapshotScore]()
    for position, candidate in enumerate(candidates):
        before = position * each
        report("score", before, total, f"{candidate.entry.name} is next")

        def advance(done: int, before: int = before) -> None:
            report("score", before + done, total)

        score = _score(store, candidate, against, samples, metrics, extractor, advance)
        scored.append(score)
        value = score_named(score, kernel).value
        report("score", before + each, total, f"{candidate.entry.name}: {kernel} {value:.4g}")

    held_out = dataset.held_out > 0
    evaluation = Evaluation(
        id=request.evaluation_id,
        create_time=now(),
        run=request.run,
        dataset=run.dataset,
        held_out=held_out,
        features=describe(extractor),
        snapshots=tuple(scored),
        gate=judge(scored, kernel, held_out=held_out),
        best_snapshot=best_by(scored, kernel).snapshot,
    )
    return _write(store, evaluation)


@dataclass(frozen=True, slots=True)
class _Against:
    """The real side of a score."""

    content_sha256: str
    statistics: FeatureStatistics
    labels: Labels | None
    """of the training images, where the run trains on them"""
    labels_sha256: str
    """of what they come from"""

    def labels_for(self, c_dim: int) -> Labels | None:
        """None where the generator's labels are not the dataset's."""
        fits = self.labels is not None and c_dim == self.labels.size
        return self.labels if fits else None


def _score(
    store: Store,
    candidate: Candidate,
    against: _Against,
    samples: int,
    metrics: tuple[Metric, ...],
    extractor: FeatureExtractor,
    advance: Callable[[int], None],
) -> SnapshotScore:
    """Scores of one generator, from the store where they are known."""
    entry = candidate.entry
    spec = entry.generator_spec
    labels = against.labels_for(spec.c_dim)
    determined_by = {
        "weights": entry.network.weights_sha256,
        "generator": entry.network.generator,
        "samples": samples,
        "metrics": metrics,
        "seeds": SEED_SCHEME,
        "measure": MEASURE_VERSION,
    }
    if labels is not None:
        determined_by["labels"] = against.labels_sha256
    elif spec.c_dim:
        determined_by["labels"] = "each class in turn"
    digest = hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()
    key = layout.snapshot_scores(against.content_sha256, extractor.identifier, digest)
    try:
        known = SnapshotScore.model_validate_json(store.get(key))
        return known.model_copy(update={"snapshot": entry.name, "kimg": candidate.kimg})
    except (ObjectNotFound, ValueError):  # derived: a damaged one is made again
        pass

    begin = time.perf_counter()
    generator = entry.load_generator(store).to(extractor.device)
    features_ND = np.empty((samples, extractor.dim), dtype=np.float32)
    done = 0
    for images_NCHW in generated_images(generator, spec, samples, extractor.device, labels):
        features_ND[done : done + len(images_NCHW)] = extractor(images_NCHW)
        done += len(images_NCHW)
        advance(done)
    moving = tuple(metric for metric in GENERATOR_METRICS if metric in metrics)
    score = SnapshotScore(
        snapshot=entry.name,
        kimg=candidate.kimg,
        scores=(
            *measure(against.statistics, features_ND, metrics, extractor),
            *equivariance(
                generator,
                spec,
                moving,
                samples,
                extractor.device,
                lambda moved: advance(samples + moved),
                labels,
            ),
        ),
        real=against.statistics.count,
        generated=samples,
        seconds=time.perf_counter() - begin,
    )
    store.put(key, score.model_dump_json().encode())
    return score


def _real_images(store: Store, run: Run) -> tuple[Dataset, ImageSet]:
    """The run's dataset, and its held-out images (its training images if it holds out none)."""
    (dataset_id,) = layout.parse_name(run.dataset, "datasets/{}")
    dataset = Dataset.load(store, layout.dataset_manifest(dataset_id), run.dataset)
    # After a takedown, held-out images are still held out.
    if run.dataset_sha256 not in (dataset.content_sha256, *dataset.former_content):
        raise FailedPrecondition(
            f"{run.dataset} was made again after runs/{run.id} trained on it, so what is held out "
            "now may have been trained on: train a new run on it.",
            reason="DATASET_CHANGED",
            resource=run.dataset,
        )
    if dataset.held_out > 0:
        key = layout.dataset_held_out(dataset_id, dataset.files)
        digest = dataset.held_out_sha256
        what = f"the held-out images of {run.dataset}"
    else:
        key, digest = layout.dataset_images(dataset_id, dataset.files), dataset.content_sha256
        what = f"the training images of {run.dataset} (none are held out)"
    images = ZipImages(store, key, digest, what)
    if len(images) < MIN_IMAGES:
        raise FailedPrecondition(
            f"There are {len(images)} images in {what}, and scores need at least {MIN_IMAGES}, "
            "better hundreds: make the dataset with a larger held-out share or more photos.",
            reason="TOO_FEW_IMAGES",
            count=len(images),
            needed=MIN_IMAGES,
        )
    return dataset, images


def _write(store: Store, evaluation: Evaluation) -> Evaluation:
    """Commits the evaluation, or returns the one that says the same."""
    key, name = layout.evaluation(evaluation.id), f"evaluations/{evaluation.id}"
    try:
        evaluation.create(store, key, name)
    except AlreadyExists:
        there = Evaluation.load(store, key, name)
        if _without_times(there) != _without_times(evaluation):
            raise
        return there
    return evaluation


def _without_times(evaluation: Evaluation) -> dict[str, Any]:
    """What two computations of one evaluation agree on."""
    return evaluation.model_dump(
        exclude={"create_time": True, "snapshots": {"__all__": {"seconds"}}}
    )
