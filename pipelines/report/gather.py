"""Collects what a report needs, through the gRPC clients alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice, zip_longest

from pipelines.spec import Experiment
from tagloom.client import Clients
from tagloom.client.paging import iterate
from tagloom.errors import TagloomError
from tagloom.v1 import (
    evaluator_pb2,
    filter_pb2,
    generator_pb2,
    operation_pb2,
    scraper_pb2,
    trainer_pb2,
)

__all__ = ["MAX_ROWS", "Materials", "RunMaterials", "gather", "shown"]

PREVIEWS = 48
"""photos shown of each wall, at most"""
PREVIEW_SIDE = 320
"""px"""
QUESTIONED = 0.15
"""margin of the sharpness below which its map is shown as well"""
MAX_ROWS = 400
"""verdicts and items listed, at most: a page, not a database"""
MAX_VERDICTS = 50_000
"""verdicts counted, and searched for reasons to show, at most"""
_PAGE = 1000
GROWTH_SEEDS = 10
GROWTH_SNAPSHOTS = 12
HERO_SEEDS = 24
WALK_SEEDS = 6
WALK_FRAMES = 8
"""frames from one seed to the next"""
GENERATE_S = 1800.0
"""deadline of one call that generates: large networks on slow machines take minutes"""


@dataclass
class RunMaterials:
    """One cell of the grid."""

    label: str
    run: trainer_pb2.Run
    ticks: list[trainer_pb2.Tick]
    evaluation: evaluator_pb2.Evaluation
    samples: dict[str, list[bytes]]
    """PNGs of seeds 0, 1, 2, … by snapshot"""
    best_samples: list[bytes]
    """more seeds of the best snapshot"""
    walk: list[bytes]
    """PNGs on a closed path through the latent space of the best snapshot"""


@dataclass
class Materials:
    """Everything that the page shows."""

    spec: Experiment
    made: datetime
    collection: scraper_pb2.Collection
    items: list[scraper_pb2.Item]
    dataset: filter_pb2.Dataset
    verdicts: list[filter_pb2.Verdict]
    previews: dict[str, bytes]
    """JPEGs by SHA-256"""
    maps: dict[str, bytes] = field(default_factory=dict)
    """JPEGs of where a photo is sharp, by SHA-256, of those whose sharpness was in question"""
    runs: list[RunMaterials] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    """seconds by resource name, from accepting the operation to its end"""


def gather(
    clients: Clients,
    spec: Experiment,
    made: datetime,
    collection: str,
    dataset: str,
    cells: Sequence[tuple[str, str, str]],
) -> Materials:
    """Fetches the materials of an experiment; `cells` are (label, run, evaluation) names."""
    materials = Materials(
        spec=spec,
        made=made,
        collection=clients.scraper.GetCollection(scraper_pb2.GetCollectionRequest(name=collection)),
        items=list(_items(clients, collection)),
        dataset=clients.filter.GetDataset(filter_pb2.GetDatasetRequest(name=dataset)),
        verdicts=list(_verdicts(clients, dataset)),
        previews={},
    )
    views = filter_pb2.RenderVerdictRequest
    for verdict in shown(materials.verdicts):
        wanted = [(materials.previews, views.VIEW_PLAIN)]
        if _sharpness_in_question(verdict):
            wanted.append((materials.maps, views.VIEW_BLUR))
        for pictures, view in wanted:
            request = filter_pb2.RenderVerdictRequest(
                name=dataset, sha256=verdict.sha256, max_side=PREVIEW_SIDE, view=view
            )
            try:
                pictures[verdict.sha256] = clients.filter.RenderVerdict(request).jpeg
            except TagloomError:
                # One that is gone has no picture: the page says so, and the reason stands beside.
                break
    for label, run, evaluation in cells:
        materials.runs.append(_run(clients, label, run, evaluation))
    for service, name in (("scraper", collection), ("filter", dataset)):
        materials.durations.update(_duration(clients, service, name))
    return materials


def _duration(clients: Clients, service: str, name: str) -> dict[str, float]:
    """The seconds in which a resource was made; nothing when its operation is forgotten."""
    made = f'target = "{name}" AND state = succeeded'
    for operation in clients.list_operations(service, filter=made):
        metadata = operation_pb2.OperationMetadata()
        operation.metadata.Unpack(metadata)
        begin, end = metadata.create_time.ToDatetime(), metadata.update_time.ToDatetime()
        return {name: (end - begin).total_seconds()}
    return {}


def _items(clients: Clients, collection: str) -> Iterator[scraper_pb2.Item]:
    request = scraper_pb2.ListItemsRequest(parent=collection, page_size=MAX_ROWS)
    yield from clients.scraper.ListItems(request).items


def _verdicts(clients: Clients, dataset: str) -> Iterator[filter_pb2.Verdict]:
    """The borderline ones first: of more than a page shows, those are worth a look."""
    request = filter_pb2.ListVerdictsRequest(parent=dataset, page_size=_PAGE, order_by="closeness")
    listed = iterate(clients.filter.ListVerdicts, request, lambda page: page.verdicts)
    yield from islice(listed, MAX_VERDICTS)


def _sharpness_in_question(verdict: filter_pb2.Verdict) -> bool:
    """Whether the map of sharpness explains anything: the check failed, or nearly."""
    if "format" in verdict.failed_checks:
        return False
    return any(r.check == "sharpness" and r.margin < QUESTIONED for r in verdict.results)


def shown(verdicts: Sequence[filter_pb2.Verdict]) -> list[filter_pb2.Verdict]:
    """The photos on the walls, those of each check in turn: of the kept, the one nearest to
    rejecting it; of the rejected, the first that did."""
    kept: dict[str, list[filter_pb2.Verdict]] = {}
    rejected: dict[str, list[filter_pb2.Verdict]] = {}
    for verdict in verdicts:
        if verdict.kept:
            nearest = min(verdict.results, key=lambda result: result.margin, default=None)
            kept.setdefault(nearest.check if nearest else "", []).append(verdict)
        else:
            rejected.setdefault(verdict.failed_checks[0], []).append(verdict)
    return [*_in_turn(kept), *_in_turn(rejected)]


def _in_turn(queues: Mapping[str, Sequence[filter_pb2.Verdict]]) -> Iterator[filter_pb2.Verdict]:
    """At most PREVIEWS, one of each queue, then the next of each."""
    rounds = zip_longest(*queues.values())
    return islice((v for one_of_each in rounds for v in one_of_each if v is not None), PREVIEWS)


def _run(clients: Clients, label: str, run: str, evaluation: str) -> RunMaterials:
    scored = clients.evaluator.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=evaluation))
    ticks = clients.trainer.ListTicks(trainer_pb2.ListTicksRequest(parent=run, page_size=10_000))
    snapshots = _spread([score.snapshot for score in scored.snapshots], GROWTH_SNAPSHOTS)
    best = scored.best_snapshot
    walk = clients.generator.InterpolateImages(
        generator_pb2.InterpolateImagesRequest(
            network=best, seeds=range(WALK_SEEDS), frames_per_seed=WALK_FRAMES
        ),
        timeout=GENERATE_S,
    )
    return RunMaterials(
        label=label,
        run=clients.trainer.GetRun(trainer_pb2.GetRunRequest(name=run)),
        ticks=list(ticks.ticks),
        evaluation=scored,
        samples={name: _generate(clients, name, GROWTH_SEEDS) for name in snapshots},
        best_samples=_generate(clients, best, HERO_SEEDS),
        walk=[frame.image for frame in walk],
    )


def _generate(clients: Clients, network: str, count: int) -> list[bytes]:
    request = generator_pb2.GenerateImagesRequest(network=network, seeds=range(count))
    return [
        response.image for response in clients.generator.GenerateImages(request, timeout=GENERATE_S)
    ]


def _spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of `names`, evenly spaced, the first and the last among them."""
    if len(names) <= count:
        return list(names)
    return [names[round(i * (len(names) - 1) / (count - 1))] for i in range(count)]
