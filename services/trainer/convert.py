"""Messages of trainer.proto to domain values and back."""

from __future__ import annotations

from typing import TypeVar

from services.trainer.options import RequestedOptions
from services.trainer.runs import RunView
from tagloom.artifacts.run import (
    Alarm,
    AlarmKind,
    Augment,
    Config,
    Snapshot,
    Tick,
    TrainingOptions,
    TrainingScore,
)
from tagloom.errors import InvalidArgument
from tagloom.v1 import trainer_pb2 as pb

__all__ = ["requested_options", "run_message", "snapshot_message", "tick_message"]

E = TypeVar("E", bound=int)
T = TypeVar("T")

_CONFIGS: dict[pb.TrainingOptions.Config, Config] = {
    pb.TrainingOptions.CONFIG_STYLEGAN3_T: "stylegan3-t",
    pb.TrainingOptions.CONFIG_STYLEGAN3_R: "stylegan3-r",
    pb.TrainingOptions.CONFIG_STYLEGAN2: "stylegan2",
}
_AUGMENTS: dict[pb.TrainingOptions.Augment, Augment] = {
    pb.TrainingOptions.AUGMENT_ADA: "ada",
    pb.TrainingOptions.AUGMENT_FIXED: "fixed",
    pb.TrainingOptions.AUGMENT_NONE: "none",
}
_ALARMS: dict[AlarmKind, pb.Alarm.Kind] = {
    "mode_collapse": pb.Alarm.KIND_MODE_COLLAPSE,
    "discriminator_overfitting": pb.Alarm.KIND_DISCRIMINATOR_OVERFITTING,
    "runaway_p": pb.Alarm.KIND_RUNAWAY_P,
    "not_finite": pb.Alarm.KIND_NOT_FINITE,
}


def requested_options(message: pb.TrainingOptions) -> RequestedOptions:
    """Raises InvalidArgument for an enum value that this version does not know."""

    def optional(name: str) -> float | None:
        return getattr(message, name) if message.HasField(name) else None

    return RequestedOptions(
        config=_known("config", message.config, _CONFIGS),
        kimg=message.kimg,
        batch=message.batch,
        r1_gamma=optional("r1_gamma"),
        g_learning_rate=optional("g_learning_rate"),
        d_learning_rate=optional("d_learning_rate"),
        augment=_known("augment", message.augment, _AUGMENTS),
        ada_target=message.ada_target,
        ada_kimg=message.ada_kimg,
        augment_p=optional("augment_p"),
        ema_kimg=message.ema_kimg,
        mirror=message.mirror,
        seed=message.seed,
        channel_base=message.channel_base,
        channel_max=message.channel_max,
        latent_size=message.latent_size,
        mapping_layers=message.mapping_layers,
        snapshot_kimg=message.snapshot_kimg,
        tick_kimg=message.tick_kimg,
        samples=message.samples,
        freeze_d=message.freeze_d,
        ema_rampup=optional("ema_rampup"),
        path_length_weight=optional("path_length_weight"),
        path_length_interval=message.path_length_interval,
        style_mixing=optional("style_mixing"),
        blur_sigma=optional("blur_sigma"),
        blur_fade_kimg=message.blur_fade_kimg,
        r1_interval=message.r1_interval,
        ada_interval=message.ada_interval,
        augment_pipe=message.augment_pipe,
        num_layers=message.num_layers,
        margin_size=message.margin_size if message.HasField("margin_size") else None,
        mbstd_group=message.mbstd_group,
        conv_clamp=optional("conv_clamp"),
        adam_beta1=optional("adam_beta1"),
        adam_beta2=optional("adam_beta2"),
        adam_epsilon=message.adam_epsilon,
        bad_updates_limit=message.bad_updates_limit,
        patience=message.patience,
        score_samples=message.score_samples,
        keep_states=message.keep_states,
        keep_snapshots=message.keep_snapshots,
        gamma_auto=message.gamma_auto,
        gamma_trial_kimg=message.gamma_trial_kimg,
        micro_batch=message.micro_batch,
        mixed_precision=message.mixed_precision,
        conditional=message.conditional,
    )


def _known(name: str, value: E, names: dict[E, T]) -> T | None:
    if value == 0:
        return None
    if value not in names:
        raise InvalidArgument(
            f"{name} {value} is not known to this version; choose one of {sorted(names)}.",
            reason="TRAINING_OPTION_INVALID",
            option=name,
        )
    return names[value]


def run_message(view: RunView) -> pb.Run:
    """The run and its progress as one message."""
    run, progress = view.run, view.progress
    message = pb.Run(
        name=f"runs/{run.id}",
        create_time=run.create_time,
        update_time=run.update_time,
        state=f"STATE_{run.state.upper()}",
        message=run.message,
        dataset=run.dataset,
        dataset_sha256=run.dataset_sha256,
        start=run.start,
        options=_options_message(run.options),
        resolution=run.resolution,
        attempts=run.attempts,
        transfer=[pb.TransferPart(**part.model_dump()) for part in run.transfer],
        gamma_trials=[
            pb.GammaTrial(score=_score_message(trial.score), **trial.model_dump(exclude={"score"}))
            for trial in run.gamma_trials
        ],
    )
    if progress is not None:
        message.images_seen = progress.images_seen
        message.steps = progress.steps
        message.seconds = progress.seconds
        message.g_parameter_change = progress.g_parameter_change
        message.d_parameter_change = progress.d_parameter_change
        message.updates_left_out = progress.updates_left_out
        message.best_snapshot = progress.best_snapshot
        message.alarms.extend(map(_alarm_message, progress.alarms))
        if progress.update_time > run.update_time:
            message.update_time.FromDatetime(progress.update_time)
            if run.state == "running" and progress.message:
                message.message = progress.message
    return message


def _options_message(options: TrainingOptions) -> pb.TrainingOptions:
    values = options.model_dump(exclude={"config", "augment", "ema_rampup"})
    return pb.TrainingOptions(
        ema_rampup=options.ema_rampup or 0.0,
        config=next(number for number, name in _CONFIGS.items() if name == options.config),
        augment=next(number for number, name in _AUGMENTS.items() if name == options.augment),
        **values,
    )


def snapshot_message(snapshot: Snapshot) -> pb.Snapshot:
    """A snapshot by its resource name."""
    return pb.Snapshot(
        name=f"{snapshot.run}/snapshots/{snapshot.id}",
        create_time=snapshot.create_time,
        kimg=snapshot.kimg,
        weights_sha256=snapshot.weights_sha256,
        score=None if snapshot.score is None else _score_message(snapshot.score),
    )


def _score_message(score: TrainingScore) -> pb.TrainingScore:
    return pb.TrainingScore(**score.model_dump())


def tick_message(tick: Tick) -> pb.Tick:
    """A row of the history."""
    values = {
        f"{name}_bytes" if name.endswith("_memory") else name: value
        for name, value in tick.model_dump(exclude={"time", "alarms"}, exclude_none=True).items()
    }
    return pb.Tick(
        time=tick.time,
        alarms=[_ALARMS[kind] for kind in tick.alarms],
        **values,
    )


def _alarm_message(alarm: Alarm) -> pb.Alarm:
    return pb.Alarm(kind=_ALARMS[alarm.kind], **alarm.model_dump(exclude={"kind"}))
