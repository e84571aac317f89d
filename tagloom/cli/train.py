"""`tagloom train`, `tagloom stop` and `tagloom resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options

if TYPE_CHECKING:
    from tagloom.v1 import trainer_pb2

__all__ = ["resume_command", "stop_command", "train_command"]

# name, type, help: one for each field of trainer.proto's TrainingOptions that may stay unset.
_OPTIONS: list[tuple[str, Any, str]] = [
    ("batch", click.IntRange(1), "Images per step [default: 32]."),
    ("micro_batch", click.IntRange(1), "Images at once, a divisor of the batch [default: all]."),
    ("g_learning_rate", click.FloatRange(0), "Adam's rate of the generator."),
    ("d_learning_rate", click.FloatRange(0), "Adam's rate of the discriminator [default: 0.002]."),
    ("ada_target", click.FloatRange(0, 1), "ADA: target of the mean sign [default: 0.6]."),
    ("ada_kimg", click.FloatRange(0), "ADA: kimg for p to go from 0 to 1."),
    ("augment_p", click.FloatRange(0, 1), "Fixed augmentation: p [default: 0.2]."),
    ("ema_kimg", click.FloatRange(0), "Half-life of the moving average in kimg."),
    ("seed", click.IntRange(0), "Seeds every random draw [default: 0]."),
    ("channel_base", click.IntRange(1), "Channels at resolution r are this / r, …"),
    ("channel_max", click.IntRange(1), "… at most this."),
    ("latent_size", click.IntRange(1), "Dimensions of z and w [default: 512]."),
    ("mapping_layers", click.IntRange(1), "Layers of the mapping network."),
    ("snapshot_kimg", click.FloatRange(0), "Take a snapshot every so many kimg."),
    ("tick_kimg", click.FloatRange(0), "Write a row of history every so many kimg."),
    ("samples", click.IntRange(1), "Samples drawn per snapshot [default: 16]."),
    ("freeze_d", click.IntRange(0), "Freeze-D: keep so many of D's layers, from the image on."),
    ("ema_rampup", click.FloatRange(0, 1), "Half-life as a share of the images seen; 0: no limit."),
    ("path_length_weight", click.FloatRange(0), "StyleGAN2: path length weight [default: 2]."),
    ("path_length_interval", click.IntRange(1), "StyleGAN2: steps between two [default: 4]."),
    ("style_mixing", click.FloatRange(0, 1), "StyleGAN2: probability of mixing [default: 0.9]."),
    ("blur_sigma", click.FloatRange(0), "Blur of D's images at the start, in pixels."),
    ("blur_fade_kimg", click.FloatRange(0), "The blur is gone after so many kimg."),
    ("r1_interval", click.IntRange(1), "Steps between two R1 regularisations [default: 16]."),
    ("ada_interval", click.IntRange(1), "ADA: steps between two changes of p [default: 4]."),
    ("augment_pipe", str, "blit, geom, color, filter, noise, cutout, bg, … [default: bgc]."),
    ("num_layers", click.IntRange(1), "StyleGAN3: layers of the synthesis [default: 14]."),
    ("margin_size", click.IntRange(0), "StyleGAN3: margin in pixels [default: 10]."),
    ("mbstd_group", click.IntRange(1), "Images that D compares with each other [default: 4]."),
    ("conv_clamp", click.FloatRange(0), "Clamp after convolutions; 0: none [default: 256]."),
    ("adam_beta1", click.FloatRange(0, 1), "[default: 0]"),
    ("adam_beta2", click.FloatRange(0, 1), "[default: 0.99]"),
    ("adam_epsilon", click.FloatRange(0), "[default: 1e-8]"),
    ("patience", click.IntRange(0), "End after so many snapshots that are not the best one yet."),
    ("score_samples", click.IntRange(1), "Score snapshots by so many images [500 where needed]."),
    ("keep_states", click.IntRange(1), "Full training states to keep [default: 2]."),
    ("keep_snapshots", click.IntRange(0), "Keep the start, the best and so many; 0: all [0]."),
    ("gamma_trial_kimg", click.FloatRange(0), "--gamma auto: length of a trial [kimg / 20]."),
    ("bad_updates_limit", click.IntRange(1), "Updates in a row, not finite, that end the run [10]"),
]


class _Gamma(click.ParamType[float | Literal["auto"], Any]):
    """A number of at least 0, or `auto`."""

    name = "NUMBER|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | Literal["auto"]:
        if value == "auto":
            return "auto"
        return float(click.FloatRange(0).convert(value, param, ctx))


def _training_options(command: Any) -> Any:
    for name, kind, text in reversed(_OPTIONS):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, type=kind, default=None, help=text)(command)
    return command


@click.command("train")
@click.option("--run", required=True, metavar="ID", help="Id of the new run.")
@click.option("--dataset", required=True, metavar="ID", help="The dataset to train on.")
@click.option(
    "--config",
    type=click.Choice(["stylegan3-t", "stylegan3-r", "stylegan2"]),
    default="stylegan3-t",
    show_default=True,
)
@click.option(
    "--start",
    default="",
    metavar="NETWORK",
    help="Start from networks/ID or runs/ID/snapshots/KIMG; else from scratch.",
)
@click.option(
    "--kimg", required=True, type=click.FloatRange(0, min_open=True), help="Thousands of images."
)
@click.option(
    "--augment", type=click.Choice(["ada", "fixed", "none"]), default="ada", show_default=True
)
@click.option("--mirror", is_flag=True, help="Mirror half of the images.")
@click.option(
    "--cond",
    "conditional",
    is_flag=True,
    default=None,
    help="Train on the dataset's labels: images of a class can then be asked for.",
)
@click.option(
    "--gamma",
    "--r1-gamma",
    "gamma",
    type=_Gamma(),
    help="R1 weight [default: 0.0002 * resolution^2 / batch], or auto: the best in short trials.",
)
@click.option(
    "--mixed-precision",
    is_flag=True,
    default=None,
    help="Convolutions in bfloat16, but for R1: faster, with less memory, less exact.",
)
@_training_options
@command_options
def train_command(
    session: Session,
    /,
    run: str,
    dataset: str,
    config: str,
    start: str,
    kimg: float,
    augment: str,
    mirror: bool,
    gamma: float | Literal["auto"] | None,
    **options: Any,
) -> None:
    """Train a generator on a dataset, from a start network or from scratch."""
    from tagloom.v1 import trainer_pb2

    given = {name: value for name, value in options.items() if value is not None}
    if gamma == "auto":
        given["gamma_auto"] = True
    elif gamma is not None:
        given["r1_gamma"] = gamma
    request = trainer_pb2.CreateRunRequest(
        run_id=run,
        dataset=f"datasets/{dataset.removeprefix('datasets/')}",
        start=start if not start or "/" in start else f"networks/{start}",
        options=trainer_pb2.TrainingOptions(
            config=f"CONFIG_{config.upper().replace('-', '_')}",
            augment=f"AUGMENT_{augment.upper()}",
            kimg=kimg,
            mirror=mirror,
            **given,
        ),
    )
    with session.clients("trainer") as clients, Bars() as bars:
        result = clients.wait(
            clients.trainer.CreateRun(request),
            trainer_pb2.Run,
            on_progress=bars.follow("train"),
        )
    _answer(session, result)


@click.command("stop")
@click.argument("run")
@command_options
def stop_command(session: Session, run: str) -> None:
    """Ask a run to stop after saving its full state; `tagloom resume` continues it."""
    from tagloom.cli.output import plain
    from tagloom.v1 import trainer_pb2

    with session.clients("trainer", works=False) as clients:
        result = clients.trainer.StopRun(trainer_pb2.StopRunRequest(name=_name(run)))
    session.answer(
        plain(result), f"{result.name} stops after saving its state, at {_kimg(result)}."
    )


@click.command("resume")
@click.argument("run")
@click.option("--kimg", type=click.FloatRange(0, min_open=True), help="Train longer than asked.")
@command_options
def resume_command(session: Session, run: str, kimg: float | None) -> None:
    """Continue a stopped or failed run from its last durable state."""
    from tagloom.v1 import trainer_pb2

    with session.clients("trainer") as clients, Bars() as bars:
        request = trainer_pb2.ResumeRunRequest(name=_name(run), kimg=kimg or 0)
        result = clients.wait(
            clients.trainer.ResumeRun(request),
            trainer_pb2.Run,
            on_progress=bars.follow("train"),
        )
    _answer(session, result)


def _name(run: str) -> str:
    return f"runs/{run.removeprefix('runs/')}"


def _kimg(run: trainer_pb2.Run) -> str:
    return f"{run.images_seen / 1000:g} kimg"


def _answer(session: Session, run: trainer_pb2.Run) -> None:
    from tagloom.cli.output import plain
    from tagloom.v1 import trainer_pb2

    state = trainer_pb2.Run.State.Name(run.state).removeprefix("STATE_").lower()
    rate = run.images_seen / run.seconds if run.seconds else 0.0
    told = [run.message, *(f"Alarm: {alarm.message}" for alarm in run.alarms if alarm.active)]
    session.answer(
        plain(run),
        f"{run.name} {state} at {_kimg(run)} after {run.seconds:.0f} s ({rate:.0f} images a "
        f"second); G changed by {run.g_parameter_change:.2%}, D by {run.d_parameter_change:.2%}.\n"
        + "".join(f"{sentence}\n" for sentence in told)
        + f"Score it: tagloom evaluate {run.name.removeprefix('runs/')}{session.store_options}",
    )
