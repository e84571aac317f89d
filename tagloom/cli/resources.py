"""`tagloom ls`, `tagloom get` and `tagloom rm`: everything that has a name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagloom.cli.session import Session, command_options
from tagloom.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound

if TYPE_CHECKING:
    from tagloom.client import Clients

__all__ = ["get_command", "ls_command", "rm_command"]


@dataclass(frozen=True)
class _Kind:
    """How one kind of resource is read, and what a line about it says."""

    service: str
    list: Callable[[Clients], Iterable[Any]]
    get: Callable[[Clients, str], Any]
    line: Callable[[Any], str]
    delete: Callable[[Clients, str], Any] | None = None
    referrers: Callable[[Clients, str], Iterable[str]] | None = None
    """names of resources that would be left dangling"""


def _kinds() -> dict[str, _Kind]:
    from tagloom.cli.output import count
    from tagloom.client import iterate
    from tagloom.v1 import evaluator_pb2, filter_pb2, generator_pb2, scraper_pb2, trainer_pb2

    def collections(c: Clients) -> Iterable[scraper_pb2.Collection]:
        request = scraper_pb2.ListCollectionsRequest()
        return iterate(c.scraper.ListCollections, request, lambda p: p.collections)

    def datasets(c: Clients) -> Iterable[filter_pb2.Dataset]:
        request = filter_pb2.ListDatasetsRequest()
        return iterate(c.filter.ListDatasets, request, lambda p: p.datasets)

    def networks(c: Clients) -> Iterable[generator_pb2.Network]:
        request = generator_pb2.ListNetworksRequest()
        return iterate(c.generator.ListNetworks, request, lambda p: p.networks)

    def runs(c: Clients) -> Iterable[trainer_pb2.Run]:
        return iterate(c.trainer.ListRuns, trainer_pb2.ListRunsRequest(), lambda p: p.runs)

    def evaluations(c: Clients) -> Iterable[evaluator_pb2.Evaluation]:
        request = evaluator_pb2.ListEvaluationsRequest()
        return iterate(c.evaluator.ListEvaluations, request, lambda p: p.evaluations)

    def state(run: trainer_pb2.Run) -> str:
        return trainer_pb2.Run.State.Name(run.state).removeprefix("STATE_").lower()

    return {
        "collections": _Kind(
            "scraper",
            collections,
            lambda c, n: c.scraper.GetCollection(scraper_pb2.GetCollectionRequest(name=n)),
            lambda r: f"{count(r.stored_count, 'photo')} of {count(r.item_count, 'file')}",
            lambda c, n: c.scraper.DeleteCollection(scraper_pb2.DeleteCollectionRequest(name=n)),
            lambda c, n: (d.name for d in datasets(c) if d.collection == n),
        ),
        "datasets": _Kind(
            "filter",
            datasets,
            lambda c, n: c.filter.GetDataset(filter_pb2.GetDatasetRequest(name=n)),
            lambda r: (
                f"{count(r.train_count, 'square')} of {count(r.kept_count, 'photo')} "
                f"({r.collection or r.origin})"
            ),
            lambda c, n: c.filter.DeleteDataset(filter_pb2.DeleteDatasetRequest(name=n)),
            lambda c, n: (r.name for r in runs(c) if r.dataset == n),
        ),
        "networks": _Kind(
            "generator",
            networks,
            lambda c, n: c.generator.GetNetwork(generator_pb2.GetNetworkRequest(name=n)),
            lambda r: f"{r.architecture} {r.resolution} px, {r.kimg:g} kimg",
        ),
        "runs": _Kind(
            "trainer",
            runs,
            lambda c, n: c.trainer.GetRun(trainer_pb2.GetRunRequest(name=n)),
            lambda r: (
                f"{state(r)} at {r.images_seen / 1000:g} of {r.options.kimg:g} kimg ({r.dataset})"
            ),
            lambda c, n: c.trainer.DeleteRun(trainer_pb2.DeleteRunRequest(name=n)),
            lambda c, n: [
                *(e.name for e in evaluations(c) if e.run == n),
                *(r.name for r in runs(c) if r.start.startswith(f"{n}/")),
            ],
        ),
        "evaluations": _Kind(
            "evaluator",
            evaluations,
            lambda c, n: c.evaluator.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=n)),
            lambda r: f"{'passed' if r.gate.passed else 'not passed'}, best {r.best_snapshot}",
            lambda c, n: c.evaluator.DeleteEvaluation(
                evaluator_pb2.DeleteEvaluationRequest(name=n)
            ),
        ),
    }


_EXPERIMENTS = "experiments"


@click.command("ls")
@click.argument("name", required=False)
@command_options
def ls_command(session: Session, name: str | None) -> None:
    """List everything, one kind (`runs`), or a run's snapshots (`runs/ID/snapshots`)."""
    from tagloom.cli.output import plain, table, when

    kinds = _kinds()
    rows: list[tuple[str, str, str]] = []
    documents: list[dict[str, Any]] = []
    if name and name.endswith("/snapshots"):
        rows, documents = _snapshots(session, name.removesuffix("/snapshots"))
    elif name and name != _EXPERIMENTS and name not in kinds:
        known = ", ".join([*kinds, _EXPERIMENTS])
        raise InvalidArgument(
            f"{name!r} cannot be listed; write one of {known}, or runs/ID/snapshots.",
            reason="INVALID_NAME",
            value=name,
        )
    else:
        wanted = {k: v for k, v in kinds.items() if name in (None, k)}
        if wanted:
            services = [kind.service for kind in wanted.values()] if name else []
            with session.clients(*services, works=False) as clients:
                for kind in wanted.values():
                    for found in _offered(kind.list(clients), required=bool(name)):
                        rows.append((found.name, when(found.create_time), kind.line(found)))
                        documents.append(plain(found))
        if name == _EXPERIMENTS or (name is None and not session.target):
            for document in _experiments(session):
                experiment = f"{_EXPERIMENTS}/{document['id']}"
                created = document["create_time"][:16].replace("T", " ")
                rows.append((experiment, created, document["state"]))
                documents.append({"name": experiment, **document})
    if rows:
        text = table(("name", "created (UTC)", ""), rows)
    elif name == _EXPERIMENTS:
        # Also with --target: the report lies with whoever ran the experiment.
        text = f"No experiments in the store {session.store_url}; --store names another."
    else:
        text = "Nothing yet."
    session.answer(documents, text)


@click.command("get")
@click.argument("name")
@click.option(
    "--report", metavar="FILE", help="Write the page of an experiment's report there (-: stdout)."
)
@command_options
def get_command(session: Session, name: str, report: str | None) -> None:
    """Show one resource, such as runs/ID or operations/SERVICE.ID."""
    from tagloom.cli.output import facts, plain

    if report is not None:
        _write_report(session, name, report)
        return
    if name.startswith("operations/"):
        from tagloom.cli.operations import describe

        service = name.removeprefix("operations/").partition(".")[0]
        with session.clients(service, works=False) as clients:
            document = describe(clients.get_operation(name))
    elif name.startswith(f"{_EXPERIMENTS}/"):
        document = _experiment(session, name)
    else:
        kind = _kind_of(name)
        with session.clients(kind.service, works=False) as clients:
            document = plain(kind.get(clients, name))
    session.answer(document, facts(document))


@click.command("rm")
@click.argument("name")
@command_options
def rm_command(session: Session, name: str) -> None:
    """Remove a resource. Refused while another one refers to it."""
    kind = _kind_of(name)
    if kind.delete is None:
        raise InvalidArgument(
            f"{name} stays: networks are small, and runs may have started from it. One that was "
            f"imported is gone for good once no object is left below {name}/ in the store.",
            reason="NOT_REMOVABLE",
            value=name,
        )
    with session.clients("scraper", "filter", "trainer", "evaluator", works=False) as clients:
        with contextlib.suppress(DataLoss):  # what is damaged can be removed
            kind.get(clients, name)
        referrers = list(kind.referrers(clients, name)) if kind.referrers else []
        if referrers:
            shown = ", ".join(referrers[:5]) + (", …" if len(referrers) > 5 else "")
            raise FailedPrecondition(
                f"{name} is still referred to by {shown}; remove those first.",
                reason="STILL_REFERENCED",
                resource=name,
            )
        kind.delete(clients, name)
    session.answer({"removed": name}, f"Removed {name}.")


def _offered(found: Iterable[Any], *, required: bool) -> Iterator[Any]:
    """What a service lists; nothing, unless `required`, when it is not installed there."""
    try:
        yield from found
    except FailedPrecondition as error:
        if required or error.reason != "UNIMPLEMENTED":
            raise


def _kind_of(name: str) -> _Kind:
    kinds = _kinds()
    kind = kinds.get(name.partition("/")[0])
    if kind is None or "/" not in name:
        raise InvalidArgument(
            f"{name!r} is not a resource's name; write {'/ID, '.join(kinds)}/ID.",
            reason="INVALID_NAME",
            value=name,
        )
    return kind


def _snapshots(
    session: Session, run: str
) -> tuple[list[tuple[str, str, str]], list[dict[str, Any]]]:
    from tagloom.cli.output import plain, when
    from tagloom.client import iterate
    from tagloom.v1 import trainer_pb2

    with session.clients("trainer", works=False) as clients:
        request = trainer_pb2.ListSnapshotsRequest(parent=run)
        found = list(iterate(clients.trainer.ListSnapshots, request, lambda p: p.snapshots))
    rows = [(s.name, when(s.create_time), f"{s.kimg:g} kimg") for s in found]
    return rows, [plain(snapshot) for snapshot in found]


def _experiments(session: Session) -> list[dict[str, Any]]:
    from tagloom.artifacts.experiment import Experiment
    from tagloom.store import open_store

    try:
        store = open_store(session.store_url, create=False)
    except NotFound:
        return []  # a store that is not there yet, and listing makes none
    documents = []
    for info in store.iterate("experiments/"):
        if info.key.endswith("/experiment.json"):
            experiment = Experiment.from_bytes(store.get(info.key), info.key)
            documents.append(experiment.model_dump(mode="json", by_alias=True))
    return documents


def _experiment(session: Session, name: str) -> dict[str, Any]:
    from tagloom.artifacts import layout
    from tagloom.artifacts.experiment import Experiment

    (experiment_id,) = layout.parse_name(name, "experiments/{}")
    key = layout.experiment_document(experiment_id)
    document = Experiment.load(session.store(), key, name)
    return document.model_dump(mode="json", by_alias=True)


def _write_report(session: Session, name: str, path: str) -> None:
    from tagloom.artifacts import layout
    from tagloom.cli.files import write_new
    from tagloom.store import ObjectNotFound

    (experiment_id,) = layout.parse_name(name, "experiments/{}")
    try:
        page = session.store().get(layout.experiment_report(experiment_id))
    except ObjectNotFound as error:
        raise FailedPrecondition(
            f"{name} has no report in {session.store_url} yet; `tagloom run` writes it at its end.",
            reason="REPORT_MISSING",
            experiment=name,
        ) from error
    if path == "-":
        click.echo(page, nl=False)
        return
    write_new(Path(path), page)
    session.answer({"name": name, "report": path}, f"Report: {path}")
