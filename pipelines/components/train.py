"""Step: one cell of the grid trained to its end."""

from typing import Any

from kfp import dsl

from pipelines.components.image import IMAGE

__all__ = ["train_run"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_run(
    cell: dict[str, Any],
    progress: dsl.Output[dsl.Metrics],
    model: dsl.Output[dsl.Model],
) -> dict[str, Any]:
    """Returns the cell with its run's name.

    The Model artifact refers to the last snapshot, whose weights stay in Tagloom's store.
    """
    import json

    from pipelines.steps.train import train_run as run

    trained, snapshot = run(cell)
    progress.log_metric("kimg", trained.images_seen / 1000)
    progress.log_metric("steps", trained.steps)
    progress.log_metric("seconds", trained.seconds)
    progress.log_metric("g_parameter_change", trained.g_parameter_change)
    progress.log_metric("d_parameter_change", trained.d_parameter_change)
    model.metadata["run"] = trained.name
    model.metadata["snapshot"] = snapshot.name
    model.metadata["kimg"] = snapshot.kimg
    model.metadata["weights_sha256"] = snapshot.weights_sha256
    with open(model.path, "w", encoding="utf-8") as file:
        json.dump(dict(model.metadata), file, indent=2)
    return cell
