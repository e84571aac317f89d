"""Step: the report of the whole experiment."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["write_report"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write_report(
    experiment: dict[str, Any],
    salt: str,
    inputs: str,
    collection: str,
    dataset: str,
    outcomes: list[dict[str, Any]],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Metrics],
) -> None:
    """Fills the HTML artifact, and writes the report to Tagloom's store where one is given."""
    from pipelines.steps.report import write_report as run

    html = run(experiment, salt, inputs, collection, dataset, outcomes)
    with open(page.path, "w", encoding="utf-8") as file:
        file.write(html)
    summary.log_metric("runs", len(outcomes))
    summary.log_metric("gates_passed", sum(outcome["gate_passed"] for outcome in outcomes))
