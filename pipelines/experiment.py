"""The experiment as a Kubeflow pipeline: collect, filter, train and evaluate each cell, report.

One definition, two runners: compiled for Kubeflow, or executed on a laptop by `kfp.local`
(`pipelines.local`). The steps are thin: they call Tagloom's services by gRPC, at the address in
TAGLOOM_TARGET, and the services do the work. Steps are idempotent (`pipelines.identity`), so a
retried or repeated pipeline continues where it was; Kubeflow's own cache is off, because only the
services know whether what a step made still exists.

    python -m pipelines.experiment experiment.pipeline.yaml      # compiles
"""

import sys
from typing import Any

from kfp import compiler, dsl

from pipelines.components.collect import collect_photos
from pipelines.components.evaluate import evaluate_run
from pipelines.components.filter import filter_photos
from pipelines.components.plan import plan_runs
from pipelines.components.report import write_report
from pipelines.components.train import train_run

__all__ = ["compile_to", "experiment_pipeline"]


@dsl.pipeline(
    name="tagloom-experiment",
    description="From photos to a trained and scored image generator, with a report.",
)
def experiment_pipeline(
    name: str,
    collect: dict[str, Any],
    filter: dict[str, Any],
    train: dict[str, Any],
    evaluate: dict[str, Any],
    experiment: dict[str, Any],
    salt: str = "",
    inputs: str = "",
) -> None:
    """Runs an experiment.

    name, collect, filter, train, evaluate: the parts of an experiment file (`pipelines.spec`).
    experiment: the whole file, for the report.
    salt: part of every id; another salt starts over.
    inputs: hash of all inputs, kept with the report so that an equal experiment is recognised.
    """
    collected = collect_photos(experiment=name, collect=collect, salt=salt)
    filtered = filter_photos(
        experiment=name, collection=collected.outputs["Output"], filter=filter, salt=salt
    )
    plan = plan_runs(
        experiment=name, dataset=filtered.outputs["Output"], train=train, evaluate=evaluate
    )
    with dsl.ParallelFor(items=plan.output, name="runs") as cell:
        trained = train_run(cell=cell)
        evaluated = evaluate_run(cell=trained.outputs["Output"])
    report = write_report(
        experiment=experiment,
        salt=salt,
        inputs=inputs,
        collection=collected.outputs["Output"],
        dataset=filtered.outputs["Output"],
        outcomes=dsl.Collected(evaluated.outputs["Output"]),
    )
    for task in (collected, filtered, plan, trained, evaluated, report):
        task.set_caching_options(enable_caching=False)


def compile_to(path: str) -> None:
    """Writes the pipeline as Kubeflow's YAML."""
    compiler.Compiler().compile(experiment_pipeline, path)


if __name__ == "__main__":
    compile_to(sys.argv[1])
