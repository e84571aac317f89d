"""`tagloom evaluate`: a run's snapshots, or one folder against another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options
from tagloom.errors import AlreadyExists

if TYPE_CHECKING:
    from tagloom.v1 import evaluator_pb2

__all__ = ["evaluate_command"]

_METRICS = {
    "frechet": "METRIC_FRECHET",
    "fid": "METRIC_FRECHET",
    "kernel": "METRIC_KERNEL",
    "kid": "METRIC_KERNEL",
    "precision": "METRIC_PRECISION",
    "recall": "METRIC_RECALL",
    "eqt_int": "METRIC_EQT_INT",
    "eqt_frac": "METRIC_EQT_FRAC",
    "eqr": "METRIC_EQR",
}


@click.command("evaluate")
@click.argument("run", required=False)
@click.option("--real", type=click.Path(path_type=Path), metavar="PATH", help="Real images.")
@click.option("--fake", type=click.Path(path_type=Path), metavar="PATH", help="Generated images.")
@click.option(
    "--metrics",
    default="frechet,kernel",
    show_default=True,
    help="Of frechet (fid), kernel (kid), precision, recall, whose names depend on the features; "
    "of a StyleGAN3 run also eqt_int, eqt_frac, eqr (equivariance, in dB).",
)
@click.option("--samples", type=click.IntRange(4), help="Images to generate per snapshot.")
@click.option(
    "--features",
    default="",
    help="inception_v3, efficientnet_lite0, or efficientnet_lite0_early for images below 64 px.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Inception-v3's weights file, for services started in here.",
)
@click.option("--id", "evaluation_id", default="", help="Id of the evaluation [default: derived].")
@command_options
def evaluate_command(
    session: Session,
    run: str | None,
    real: Path | None,
    fake: Path | None,
    metrics: str,
    samples: int | None,
    features: str,
    weights: Path | None,
    evaluation_id: str,
) -> None:
    """Score every snapshot of RUN, or the images in --fake against those in --real."""
    if (run is None) == (real is None or fake is None):
        raise click.UsageError("Give either RUN, or both --real and --fake.")
    unknown = [name for name in metrics.split(",") if name.strip() not in _METRICS]
    if unknown:
        raise click.UsageError(f"Unknown metric {unknown[0]!r}; known are {', '.join(_METRICS)}.")
    if weights is not None:
        if session.target:
            raise click.UsageError(
                "--weights is for services started in here; set TAGLOOM_INCEPTION_WEIGHTS where "
                "the evaluator runs."
            )
        os.environ["TAGLOOM_INCEPTION_WEIGHTS"] = str(weights.absolute())
    from tagloom.cli.output import plain
    from tagloom.v1 import evaluator_pb2

    wanted = list(dict.fromkeys(_METRICS[name.strip()] for name in metrics.split(",")))
    with session.clients("evaluator") as clients, Bars() as bars:
        if run is None:
            compared = clients.wait(
                clients.evaluator.CompareFolders(
                    evaluator_pb2.CompareFoldersRequest(
                        real_path=str(real.absolute()) if real else "",
                        generated_path=str(fake.absolute()) if fake else "",
                        metrics=wanted,
                        features=features,
                    )
                ),
                evaluator_pb2.SnapshotScore,
                on_progress=bars.follow("evaluate"),
            )
            session.answer(plain(compared), _scores([compared]))
            return
        run_id = run.removeprefix("runs/")
        inputs = f"{run_id} {sorted(wanted)} {samples} {features}"
        digest = hashlib.sha256(inputs.encode()).hexdigest()[:8]
        request = evaluator_pb2.CreateEvaluationRequest(
            evaluation_id=evaluation_id or f"{run_id[:54]}-{digest}",
            run=f"runs/{run_id}",
            metrics=wanted,
            samples=samples or 0,
            features=features,
        )
        try:
            operation = clients.evaluator.CreateEvaluation(request)
        except AlreadyExists:
            if evaluation_id:
                raise
            # The same question, asked before: its answer is there.
            name = f"evaluations/{request.evaluation_id}"
            result = clients.evaluator.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=name))
            click.echo(f"Scored before. To score again: --id, or tagloom rm {name}", err=True)
        else:
            result = clients.wait(
                operation, evaluator_pb2.Evaluation, on_progress=bars.follow("evaluate")
            )
    session.answer(
        plain(result),
        f"{_scores(list(result.snapshots))}\n\n{result.gate.sentence}\n"
        f"Best: {result.best_snapshot} ({result.name})",
    )


def _scores(rows: list[evaluator_pb2.SnapshotScore]) -> str:
    from tagloom.cli.output import table

    names = list(dict.fromkeys(score.metric for row in rows for score in row.scores))
    lines: list[list[Any]] = []
    for row in rows:
        scores = {score.metric: score for score in row.scores}
        cells = []
        for name in names:
            score = scores.get(name)
            if score is None:
                cells.append("")
            elif score.low < score.high:
                cells.append(f"{score.value:.5g} [{score.low:.5g}, {score.high:.5g}]")
            else:
                cells.append(f"{score.value:.5g}")
        lines.append([f"{row.kimg:g}", *cells, str(row.real_count), str(row.generated_count)])
    return table(("kimg", *names, "real", "generated"), lines, right=range(len(names) + 3))
