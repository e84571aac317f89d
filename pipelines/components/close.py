"""Step: the end of an experiment, however it ended."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["close_experiment"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def close_experiment(
    experiment: dict[str, Any],
    salt: str,
    inputs: str,
    status: dsl.PipelineTaskFinalStatus,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Metrics],
) -> str:
    """Returns `succeeded` or `failed`; the page shows what there is.

    Runs after all other steps whether they ended well or not (`dsl.ExitHandler`).
    """
    from pipelines.steps.close import close_experiment as run

    closed, html = run(experiment, salt, inputs, status.state, status.error_message or "")
    with open(page.path, "w", encoding="utf-8") as file:
        file.write(html)
    summary.log_metric("runs", len(closed.outcomes))
    summary.log_metric("succeeded", float(closed.state == "succeeded"))
    return closed.state
