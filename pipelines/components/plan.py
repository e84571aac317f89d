"""Step: the grid spanned by the lists of `train`, one item a run."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["plan_runs"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plan_runs(
    experiment: str, dataset: str, train: dict[str, Any], evaluate: dict[str, Any]
) -> list[dict[str, Any]]:
    """Returns one dictionary a run, with all that training and evaluating it needs.

    All, because `kfp.local` (2.17) hands the loop's item to *every* input of a loop's body that
    comes from another task: the item must not depend on such inputs.
    """
    from pipelines.steps.plan import plan_runs as run

    return run(experiment, dataset, train, evaluate)
