"""`tagloom run --kubeflow`: the experiment on a cluster, followed from here."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tagloom.cli.bars import Bars, show_event
from tagloom.cli.session import Session

__all__ = ["KubeflowOptions", "kubeflow_options", "run_on_kubeflow"]


@dataclass(frozen=True)
class KubeflowOptions:
    """Where Kubeflow is, and what is asked of it."""

    url: str
    namespace: str
    token_file: str
    token: str
    ca: str
    stop: bool


def kubeflow_options(function: Callable[..., None]) -> Callable[..., None]:
    """--kubeflow and what belongs to it, as one argument `kubeflow`; None without the option."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        kubeflow: str | None,
        kubeflow_namespace: str,
        kubeflow_token_file: str,
        kubeflow_ca: str,
        stop: bool,
        **kwargs: Any,
    ) -> None:
        import os

        options = None
        if kubeflow is not None:
            options = KubeflowOptions(
                kubeflow,
                kubeflow_namespace,
                kubeflow_token_file,
                # No option: other users of the machine see the command line.
                os.environ.get("TAGLOOM_KUBEFLOW_TOKEN", ""),
                kubeflow_ca,
                stop,
            )
        elif stop:
            raise click.UsageError("--stop ends a run on a cluster; name it with --kubeflow URL.")
        function(*args, kubeflow=options, **kwargs)

    options = (
        click.option(
            "--kubeflow",
            metavar="URL",
            help="Run on the cluster of this Kubeflow Pipelines; --target and --store do not matter"
            " there.",
        ),
        click.option(
            "--kubeflow-namespace",
            default="",
            metavar="NS",
            envvar="TAGLOOM_KUBEFLOW_NAMESPACE",
            help="Your namespace, where Kubeflow serves several users.",
        ),
        click.option(
            "--kubeflow-token-file",
            default="",
            metavar="FILE",
            envvar="TAGLOOM_KUBEFLOW_TOKEN_FILE",
            help="A file with the token that Kubeflow wants [or TAGLOOM_KUBEFLOW_TOKEN].",
        ),
        click.option(
            "--kubeflow-ca",
            default="",
            metavar="FILE",
            envvar="TAGLOOM_KUBEFLOW_CA",
            help="The CA of Kubeflow's certificate, where it is not a public one.",
        ),
        click.option("--stop", is_flag=True, help="End the experiment's run on the cluster."),
    )
    for option in reversed(options):
        wrapper = option(wrapper)
    return wrapper


def run_on_kubeflow(
    session: Session, kind: Any, experiment: Path, options: KubeflowOptions, *, fresh: bool
) -> None:
    """Submits, follows, answers; `kind` is `pipelines.kubeflow.run.KubeflowRun`."""
    address = kind.address(
        options.url,
        namespace=options.namespace,
        token=options.token,
        token_file=options.token_file,
        ca=options.ca,
    )
    if options.stop:
        stopped = kind.stop(experiment, address)
        session.answer(
            {"stopped": stopped},
            f"Told to stop: {stopped}\nA training that it started goes on until `tagloom stop`; "
            "the same experiment joins it.",
        )
        return
    begin = time.monotonic()
    run = kind.submit(experiment, address, fresh=fresh)
    how = "Joined the run that is active already" if run.joined else "Started"
    click.echo(f"{how}: {run.url}", err=True)
    try:
        with Bars() as bars:
            ended = run.follow(
                lambda event: show_event(bars, event), lambda tally: _show_tally(bars, run, tally)
            )
            _end_tally(bars, run, ended)
    except KeyboardInterrupt:
        click.echo(
            f"The run goes on: {run.url}\nThe same command follows it again; with --stop it ends "
            "the run.",
            err=True,
        )
        sys.exit(130)
    error = run.error(ended)
    if error is not None:
        if ended.closed is not None and ended.closed.report:
            click.echo(f"What there is: {ended.closed.report}", err=True)
        raise error
    _answer(session, run, ended, time.monotonic() - begin)


def _show_tally(bars: Bars, run: Any, tally: Any) -> None:
    note = ", ".join(tally.running)
    if tally.stuck:
        note = (
            f"the pod {tally.stuck[0]} does not start: `kubectl describe pod` says why "
            "(image, secret or resources)"
        )
    bars.show(run.spec.experiment, tally.state.lower(), tally.done, tally.total, None, note)


def _end_tally(bars: Bars, run: Any, ended: Any) -> None:
    bars.end(run.spec.experiment, ended.state.lower(), ok=ended.state == "SUCCEEDED")


def _answer(session: Session, run: Any, ended: Any, seconds: float) -> None:
    closed = ended.closed
    outcomes = list(closed.outcomes) if closed is not None else []
    # Without the exit handler's word, the store's address is known on the cluster alone.
    report = (closed.report if closed is not None else "") or run.report_key
    document: dict[str, Any] = {
        "experiment": run.spec.experiment,
        "run": run.run_id,
        "url": run.url,
        "pipeline_version": run.version,
        "joined": run.joined,
        "seconds": round(seconds, 1),
        "report": report,
        "collection": closed.collection if closed is not None else "",
        "dataset": closed.dataset if closed is not None else "",
        "outcomes": [outcome.model_dump(mode="json") for outcome in outcomes],
    }
    lines = []
    for outcome in outcomes:
        label = f"{outcome.label}: " if len(outcomes) > 1 else ""
        lines.append(f"{label}{outcome.gate_sentence}")
        lines += [f"{label}Alarm: {sentence}" for sentence in outcome.alarms]
    if outcomes:
        best = min(outcomes, key=lambda outcome: outcome.kernel_distance)
        document["gate_passed"] = all(outcome.gate_passed for outcome in outcomes)
        document["best_snapshot"] = best.best_snapshot
        lines.append("")
    lines += [f"Report: {report}", f"Run:    {run.url}"]
    session.answer(document, "\n".join(lines))
