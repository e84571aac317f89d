"""What can be asked for, and whether it makes sense: reads manifests, never loads a network.

Light on purpose: the server process checks requests with it before it accepts them, and PyTorch is
imported in worker processes alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tagloom.artifacts import layout
from tagloom.artifacts.evaluation import EquivarianceMetric, Metric
from tagloom.artifacts.run import Run
from tagloom.errors import FailedPrecondition, InvalidArgument
from tagloom.folders import check_folder
from tagloom.networks.catalog import CatalogEntry, open_network
from tagloom.store.interface import Store

__all__ = [
    "GENERATOR_METRICS",
    "MIN_IMAGES",
    "Candidate",
    "ComparisonRequest",
    "EvaluationRequest",
    "check_comparison",
    "check_evaluation",
    "generators_of",
]

MIN_IMAGES: Final = 4
"""on either side: precision and recall look at 3 neighbours of each image"""
_MAX_SAMPLES: Final = 1_000_000
GENERATOR_METRICS: Final[tuple[EquivarianceMetric, ...]] = ("eqt_int", "eqt_frac", "eqr")
"""those that look at a generator, not at images: see `equivariance`"""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """A run to score, and how."""

    evaluation_id: str
    run: str
    """`runs/{id}`"""
    metrics: tuple[Metric, ...] = ()
    """none: Frechet and kernel distance; the kernel distance is always measured"""
    samples: int = 0
    """images to generate per snapshot; 0: 50,000, or ten per real image where that is less"""
    features: str = ""
    """name of the extractor; empty: the best one that the machine has"""


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """Two folders on this machine."""

    real_path: str
    """absolute"""
    generated_path: str
    """absolute"""
    metrics: tuple[Metric, ...] = ()
    """none: Frechet and kernel distance; the kernel distance is always measured"""
    features: str = ""
    """name of the extractor; empty: the best one that the machine has"""
    folder_roots: tuple[Path, ...] | None = None
    """the folders must lie in one of these; None: anywhere"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A generator to score."""

    entry: CatalogEntry
    kimg: float
    """of the run, not of what the run started from"""


def check_comparison(request: ComparisonRequest) -> tuple[Path, Path]:
    """The real paths of both folders.

    Raises InvalidArgument (METRIC_NEEDS_GENERATOR), and what `tagloom.folders.check_folder` raises.
    """
    if asked := _of_generators(request.metrics):
        raise InvalidArgument(
            f"{asked[0]} moves a generator's images, which those of a folder cannot be: leave it "
            "out, or score a run.",
            reason="METRIC_NEEDS_GENERATOR",
            field="metrics",
        )
    real, generated = (
        check_folder(path, request.folder_roots)
        for path in (request.real_path, request.generated_path)
    )
    return real, generated


def check_evaluation(store: Store, request: EvaluationRequest) -> Run:
    """The run to score, once the request is known to make sense.

    Raises InvalidArgument (INVALID_ID, INVALID_NAME, SAMPLES_INVALID), NotFound
    (RESOURCE_NOT_FOUND), FailedPrecondition (RUN_HAS_NO_SNAPSHOT, METRIC_NEEDS_STYLEGAN3).
    """
    layout.check_id(request.evaluation_id, "evaluation_id")
    (run_id,) = layout.parse_name(request.run, "runs/{}")
    if request.samples != 0 and not MIN_IMAGES <= request.samples <= _MAX_SAMPLES:
        raise InvalidArgument(
            f"{request.samples} samples cannot be scored: ask for {MIN_IMAGES} to "
            f"{_MAX_SAMPLES:,}, or 0 for the default.",
            reason="SAMPLES_INVALID",
            field="samples",
            samples=request.samples,
        )
    run = Run.load(store, layout.run_document(run_id), request.run)
    asked = _of_generators(request.metrics)
    if asked and not run.options.config.startswith("stylegan3"):
        raise FailedPrecondition(
            f"{asked[0]} needs a generator that can be told to move its images, and {request.run} "
            f"trains {run.options.config}: leave it out, or score a StyleGAN3 run.",
            reason="METRIC_NEEDS_STYLEGAN3",
            resource=request.run,
        )
    generators_of(store, run)
    return run


def _of_generators(metrics: Iterable[Metric]) -> list[Metric]:
    """Those that look at a generator, not at images."""
    return [metric for metric in metrics if metric in GENERATOR_METRICS]


def generators_of(store: Store, run: Run) -> list[Candidate]:
    """The run's start (kimg 0) and its snapshots, by kimg.

    A run from scratch has a start only if it kept a snapshot of its initial weights.

    Raises FailedPrecondition (RUN_HAS_NO_SNAPSHOT).
    """
    suffix = "/manifest.json"
    names = sorted(
        info.key.removesuffix(suffix)
        for info in store.iterate(f"runs/{run.id}/snapshots/")
        if info.key.endswith(suffix)
    )
    if not names:
        raise FailedPrecondition(
            f"runs/{run.id} has no snapshot yet: wait until it has trained for "
            f"{run.options.snapshot_kimg:g} kimg.",
            reason="RUN_HAS_NO_SNAPSHOT",
            resource=f"runs/{run.id}",
        )
    entries = [open_network(store, name) for name in names]
    candidates = [Candidate(entry, entry.network.kimg) for entry in entries]
    if run.start and candidates[0].kimg > 0:
        candidates.insert(0, Candidate(open_network(store, run.start), 0.0))
    return candidates
