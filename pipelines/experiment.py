"""The experiment as a Kubeflow pipeline: collect, filter, train and evaluate each cell, report.

One definition, two runners: compiled for Kubeflow, or executed on a laptop by `kfp.local`
(`pipelines.local`). The steps are thin: they call Tagloom's services by gRPC, at the address in
TAGLOOM_TARGET, and the services do the work. Steps are idempotent (`pipelines.identity`), so a
retried or repeated pipeline continues where it was. However the steps end, the exit handler marks
the experiment and keeps what there is.

Kubeflow's cache serves the one step whose result depends on its inputs alone. All others speak of
things that may be gone since: only the services know (ADR 20).

    python -m pipelines.experiment experiment.pipeline.yaml      # compiles, for the cluster of
                                                                 # TAGLOOM_PIPELINES_*
"""

import sys
from typing import Any

from kfp import compiler, dsl

from pipelines.cluster import Cluster
from pipelines.components.close import close_experiment
from pipelines.components.collect import collect_photos
from pipelines.components.evaluate import evaluate_run
from pipelines.components.filter import filter_photos
from pipelines.components.plan import plan_runs
from pipelines.components.report import write_report
from pipelines.components.score import score_photos
from pipelines.components.train import train_run

__all__ = ["PIPELINE", "build", "compile_to", "experiment_pipeline"]

PIPELINE = "tagloom-experiment"


def build(cluster: Cluster | None = None) -> Any:
    """The pipeline; its steps settled for a cluster, or to be run by this machine.

    On a cluster whose filter has several replicas, parts of the collection are scored side by side
    first; the filter then finds the scores. One machine's filter uses all its cores anyway.
    """
    shards = 1 if cluster is None else cluster.filter_shards

    @dsl.pipeline(
        name=PIPELINE,
        description="From photos to a trained and scored image generator, with a report.",
    )
    def experiment_pipeline(
        name: str,
        filter: dict[str, Any],
        train: dict[str, Any],
        evaluate: dict[str, Any],
        experiment: dict[str, Any],
        salt: str = "",
        inputs: str = "",
    ) -> None:
        """Runs an experiment.

        name, filter, train, evaluate: parts of an experiment file (`pipelines.spec`).
        experiment: the whole file.
        salt: part of every id; another salt starts over.
        inputs: hash of all inputs, kept with the report so that an equal experiment is recognised.
        """
        steps: list[Any] = []
        closed = close_experiment(experiment=experiment, salt=salt, inputs=inputs)
        with dsl.ExitHandler(closed, name="experiment"):
            collected = collect_photos(experiment=experiment, salt=salt, inputs=inputs)
            photos = collected.outputs["Output"]
            before: dict[str, Any] = {}
            if shards > 1:
                parts = [f"{part}/{shards}" for part in range(shards)]
                with dsl.ParallelFor(items=parts, name="shards") as shard:
                    scored = score_photos(collection=photos, filter=filter, shard=shard)
                steps.append(scored)
                before["scored"] = dsl.Collected(scored.output)
            filtered = filter_photos(
                experiment=name, collection=photos, filter=filter, salt=salt, **before
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
        stores = (collected, report, closed)
        steps += (collected, filtered, plan, trained, evaluated, report, closed)
        for task in steps:
            task.set_caching_options(enable_caching=task is plan)
            if cluster is not None:
                cluster.settle(task, stores=task in stores)

    return experiment_pipeline


experiment_pipeline = build()
"""for this machine"""


def compile_to(path: str, cluster: Cluster) -> None:
    """Writes the pipeline for a cluster as Kubeflow's YAML; same settings, same bytes."""
    compiler.Compiler().compile(build(cluster), path)


if __name__ == "__main__":
    compile_to(sys.argv[1], Cluster.from_environment())
