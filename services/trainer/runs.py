"""Runs that exist: made, read, listed, asked to stop, prepared to continue, removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.trainer import records
from services.trainer.ownership import lease_key
from tagloom.artifacts import layout
from tagloom.artifacts.run import Progress, Run, Snapshot, Tick
from tagloom.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tagloom.paging import page_of
from tagloom.store.interface import Store

__all__ = [
    "RunView",
    "check_absent",
    "check_resumable",
    "continuing",
    "delete_run",
    "enter_if_absent",
    "enter_run",
    "get_run",
    "list_runs",
    "list_snapshots",
    "list_ticks",
    "starting",
    "stop_run",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, and how far it has come (None: not begun)."""

    run: Run
    progress: Progress | None


def get_run(store: Store, name: str) -> RunView:
    """The run called `runs/{id}`. Raises InvalidArgument, NotFound."""
    (run_id,) = layout.parse_name(name, "runs/{}")
    return RunView(records.read_run(store, run_id), records.read_progress(store, run_id))


def list_runs(store: Store, size: int, token: str) -> tuple[list[RunView], str]:
    """A page of runs by id, and the token of the next.

    Raises InvalidArgument (PAGE_TOKEN_INVALID).
    """
    page, next_token = page_of(records.run_ids(store), "runs", size, token)
    views = []
    for run_id in page:
        try:
            views.append(get_run(store, f"runs/{run_id}"))
        except NotFound:
            continue  # leftovers of a run that is being removed
    return views, next_token


def list_snapshots(store: Store, name: str, size: int, token: str) -> tuple[list[Snapshot], str]:
    """A page of a run's snapshots by kimg, and the token of the next.

    Raises InvalidArgument (also PAGE_TOKEN_INVALID), NotFound.
    """
    run = get_run(store, name).run
    prefix, suffix = f"runs/{run.id}/snapshots/", "/manifest.json"
    keys = (info.key for info in store.iterate(prefix))
    ids = [key[len(prefix) : -len(suffix)] for key in keys if key.endswith(suffix)]
    page, next_token = page_of(ids, f"{name}/snapshots", size, token)
    snapshots = []
    for snapshot in page:
        key = layout.snapshot_manifest(run.id, snapshot)
        snapshots.append(Snapshot.load(store, key, f"{name}/snapshots/{snapshot}"))
    return snapshots, next_token


def list_ticks(store: Store, name: str, size: int, token: str) -> tuple[list[Tick], str]:
    """A page of a run's history by kimg, and the token of the next.

    Raises InvalidArgument (also PAGE_TOKEN_INVALID), NotFound.
    """
    run = get_run(store, name).run
    ticks = {layout.snapshot_id(tick.kimg): tick for tick in records.read_ticks(store, run.id)}
    page, next_token = page_of(ticks, f"{name}/ticks", size, token)
    return [ticks[key] for key in page], next_token


def check_absent(store: Store, run_id: str) -> None:
    """Raises AlreadyExists (RESOURCE_EXISTS) when there is a run of that id."""
    layout.check_id(run_id, "run_id")
    if store.exists(layout.run_document(run_id)):
        raise AlreadyExists(
            f"runs/{run_id} exists already; choose another id, continue it with ResumeRun "
            "(tagloom resume), or remove it first.",
            reason="RESOURCE_EXISTS",
            resource=f"runs/{run_id}",
        )


def enter_run(store: Store, run: Run) -> None:
    """Writes the document of a new run, unless its own operation has done so before.

    Raises AlreadyExists (RESOURCE_EXISTS) when another operation's run has the id.
    """
    try:
        run.create(store, layout.run_document(run.id), f"runs/{run.id}")
    except AlreadyExists:
        if records.read_run(store, run.id).operation != run.operation:
            raise


def enter_if_absent(store: Store, run_id: str, operation: str, plan: Callable[[], Run]) -> None:
    """Enters the planned run of an operation that may have been begun before.

    It is planned only where there is no document, whatever the attempt: a server can die after it
    has accepted an operation, and again after it has begun, without having entered the run.

    Raises AlreadyExists (RESOURCE_EXISTS), and what `plan` raises.
    """
    if not store.exists(layout.run_document(run_id)):
        enter_run(store, plan().model_copy(update={"operation": operation}))


def starting(operation: str) -> Callable[[Store, Run], Run]:
    """Nothing to change in a run that this operation has made itself."""

    def prepare(store: Store, run: Run) -> Run:
        if run.operation != operation:
            check_absent(store, run.id)
        return run

    return prepare


def check_resumable(run: Run, kimg: float, active: Sequence[str]) -> None:
    """Raises FailedPrecondition (RUN_ACTIVE, RUN_COMPLETE) or InvalidArgument."""
    if active:
        raise FailedPrecondition(
            f"runs/{run.id} is being trained already ({active[0]}); wait for it, or stop it first.",
            reason="RUN_ACTIVE",
            resource=f"runs/{run.id}",
        )
    if not 0 <= kimg < 1e6:
        raise InvalidArgument(
            f"kimg is {kimg}, but should be from 0 (keep it) to 1000000.",
            reason="TRAINING_OPTION_INVALID",
            option="kimg",
        )
    if kimg and kimg < run.options.kimg:
        raise InvalidArgument(
            f"kimg is {kimg:g}, less than the {run.options.kimg:g} of runs/{run.id}; give a larger "
            "one, or 0 to keep it.",
            reason="TRAINING_OPTION_INVALID",
            option="kimg",
        )
    if run.state == "succeeded" and kimg <= run.options.kimg:
        raise FailedPrecondition(
            f"runs/{run.id} is trained to its {run.options.kimg:g} kimg; give a larger kimg to "
            "train it longer.",
            reason="RUN_COMPLETE",
            resource=f"runs/{run.id}",
        )


def continuing(operation: str, kimg: float) -> Callable[[Store, Run], Run]:
    """Makes a run that has ended ready to go on, once per operation."""

    def prepare(store: Store, run: Run) -> Run:
        if run.operation == operation:  # a second attempt: a stop asked for meanwhile counts
            return run
        check_resumable(run, kimg, [])
        records.clear_stop(store, run.id)
        options = run.options.model_copy(update={"kimg": kimg or run.options.kimg})
        progress = records.read_progress(store, run.id)
        reached = progress.images_seen / 1000 if progress else 0.0
        return records.update_run(
            store,
            run,
            patience_from_kimg=reached if kimg else run.patience_from_kimg,
            state="queued",
            message="Continues from its last durable state.",
            operation=operation,
            options=options,
        )

    return prepare


def stop_run(store: Store, name: str, active: Sequence[str]) -> RunView:
    """Asks a run to stop; one that is not being trained is left as it is."""
    view = get_run(store, name)
    if view.run.state in records.ENDED:
        return view
    if active:
        records.request_stop(store, view.run.id)
        return view
    # Accepted, and then abandoned by every server: nobody will ever see the request.
    stopped = records.update_run(store, view.run, state="stopped", message="Stopped, as asked.")
    return RunView(stopped, view.progress)


def delete_run(store: Store, name: str, active: Sequence[str]) -> None:
    """Removes a run with all that lies below it; its document last, so that it can be repeated.

    Raises FailedPrecondition (RUN_ACTIVE, RUN_REFERENCED).
    """
    run = get_run(store, name).run
    if active:
        raise FailedPrecondition(
            f"{name} is being trained ({active[0]}); stop it first.",
            reason="RUN_ACTIVE",
            resource=name,
        )
    for other in records.run_ids(store):
        if other == run.id:
            continue
        try:
            start = records.read_run(store, other).start
        except NotFound:
            continue
        if start.startswith(f"{name}/"):
            raise FailedPrecondition(
                f"runs/{other} starts from {start}; remove that run first.",
                reason="RUN_REFERENCED",
                resource=name,
                by=f"runs/{other}",
            )
    kept = (layout.run_document(run.id), lease_key(run.id))
    for info in list(store.iterate(f"runs/{run.id}/")):
        if info.key not in kept:
            store.delete(info.key)
    for key in kept:
        store.delete(key)
