"""`tagloom run`: an experiment file, all the way to its report, here or on a cluster."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from tagloom.cli.bars import Bars, show_event
from tagloom.cli.kubeflow import KubeflowOptions, kubeflow_options, run_on_kubeflow
from tagloom.cli.session import Session, command_options
from tagloom.errors import FailedPrecondition

__all__ = ["run_command"]


@click.command("run")
@click.argument("experiment", type=click.Path(path_type=Path))
@click.option("--fresh", is_flag=True, help="Start over under new names; what there is stays.")
@kubeflow_options
@command_options
def run_command(
    session: Session, experiment: Path, fresh: bool, kubeflow: KubeflowOptions | None
) -> None:
    """Run an EXPERIMENT file: collect, filter, train, evaluate, report.

    A second run reuses all that is there: an unchanged experiment ends at once, a changed one
    repeats only the steps that the change concerns, an interrupted one continues.

    With --kubeflow the steps run on a cluster, against the services and the store there.
    """
    kind = _experiment_run()
    if kubeflow is not None:
        run_on_kubeflow(session, kind.on_kubeflow(), experiment, kubeflow, fresh=fresh)
        return
    prepared = kind.prepare(experiment, session.store_url, fresh=fresh)
    if prepared.finished is not None:
        _answer(session, prepared, prepared.finished, reused=True)
        return
    begin = time.monotonic()
    with session.clients() as clients, Bars() as bars:
        finished = prepared.execute(
            clients.target, lambda event: show_event(bars, event), private=not session.target
        )
    _answer(session, prepared, finished, reused=False, seconds=time.monotonic() - begin)


def _experiment_run() -> Any:
    """`pipelines.run.ExperimentRun`, found by its entry point: this package imports no pipeline."""
    entries = importlib.metadata.entry_points(group="tagloom.pipelines", name="run")
    for entry in entries:
        try:
            return entry.load()
        except ImportError as error:
            raise FailedPrecondition(
                f"The pipeline lacks {error.name}; pip install 'tagloom[pipelines]'.",
                reason="PIPELINES_NOT_INSTALLED",
            ) from error
    raise FailedPrecondition(
        "The pipeline is not installed; pip install 'tagloom[pipelines]'.",
        reason="PIPELINES_NOT_INSTALLED",
    )


def _answer(
    session: Session, prepared: Any, finished: Any, *, reused: bool, seconds: float = 0.0
) -> None:
    report = _place(prepared.store.url, prepared.report_key)
    best = min(finished.outcomes, key=lambda outcome: outcome.kernel_distance)
    commands = [
        f"tagloom generate --network {best.best_snapshot} --seeds 0-15 --out pictures"
        f"{session.store_options}"
    ]
    document = {
        "experiment": finished.id,
        "reused": reused,
        "seconds": round(seconds, 1),
        "report": report,
        "collection": finished.collection,
        "dataset": finished.dataset,
        "outcomes": [outcome.model_dump(mode="json") for outcome in finished.outcomes],
        "gate_passed": all(outcome.gate_passed for outcome in finished.outcomes),
        "next": commands,
    }
    lines = []
    if reused:
        lines.append(
            f"{finished.id} is complete: nothing changed since "
            f"{finished.update_time:%Y-%m-%d %H:%M} UTC. (--fresh starts over.)"
        )
    for outcome in finished.outcomes:
        label = f"{outcome.label}: " if len(finished.outcomes) > 1 else ""
        lines.append(f"{label}{outcome.gate_sentence}")
        lines += [f"{label}Alarm: {sentence}" for sentence in outcome.alarms]
    lines += ["", f"Report: {report}", f"Next:   {commands[0]}"]
    session.answer(document, "\n".join(lines))


def _place(store_url: str, key: str) -> str:
    """Where a person finds an object: a path for a folder, else its address."""
    split = urlsplit(store_url)
    if split.scheme == "s3":
        return f"{store_url.rstrip('/')}/{key}"
    root = Path(unquote(split.path)) if split.scheme == "file" else Path(store_url)
    path = root / key
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
