"""Step: every snapshot of one run scored."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["evaluate_run"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_run(
    cell: dict[str, Any],
    scores: dsl.Output[dsl.Metrics],
    model: dsl.Output[dsl.Model],
) -> dict[str, Any]:
    """Returns what became of the cell; the Model artifact refers to its best snapshot."""
    import json

    from pipelines.steps.evaluate import evaluate_run as run

    evaluation, outcome = run(cell)
    for snapshot in evaluation.snapshots:
        for score in snapshot.scores:
            scores.log_metric(f"{score.metric}_at_{snapshot.kimg:g}_kimg", score.value)
    scores.log_metric("gate_passed", float(evaluation.gate.passed))
    model.metadata["snapshot"] = evaluation.best_snapshot
    model.metadata["evaluation"] = evaluation.name
    model.metadata["gate"] = evaluation.gate.sentence
    with open(model.path, "w", encoding="utf-8") as file:
        json.dump(dict(model.metadata), file, indent=2)
    return outcome
