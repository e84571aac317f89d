"""Every option of the API reaches the run, the command line and the experiment file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from pipelines.spec import TrainSpec
from services.trainer.convert import requested_options, run_message, tick_message
from services.trainer.options import RequestedOptions
from services.trainer.runs import RunView
from tagloom.artifacts.base import now
from tagloom.artifacts.run import Run, Tick, TrainingOptions
from tagloom.cli.train import train_command
from tagloom.v1 import trainer_pb2 as pb

TRAINING_PAGE = Path(__file__).parents[3] / "docs" / "training.md"
FIELDS = {field.name for field in pb.TrainingOptions.DESCRIPTOR.fields}


def test_every_option_is_everywhere() -> None:
    assert {field.name for field in dataclasses.fields(RequestedOptions)} == FIELDS
    assert set(TrainingOptions.model_fields) == FIELDS
    assert set(TrainSpec.model_fields) - {"start"} == FIELDS
    flags = {parameter.name for parameter in train_command.params}
    assert FIELDS - flags == {"r1_gamma", "gamma_auto"}, "these two are --gamma"


def test_all_of_a_tick_is_shown() -> None:
    tick = Tick(
        **{name: 1 for name in Tick.model_fields if name not in ("time", "alarms")}, time=now()
    )
    shown = {field.name for field, _ in tick_message(tick).ListFields()}
    assert shown == {field.name for field in pb.Tick.DESCRIPTOR.fields} - {"alarms"}


def test_the_page_for_users_of_the_official_programs_tells_of_every_option() -> None:
    # The first column of the table has the official names.
    ours = re.sub(r"^\| .*? \|", "", TRAINING_PAGE.read_text(), flags=re.MULTILINE)
    told = set(re.findall(r"`(--[a-z0-9-]+)", ours))
    flags = {parameter.name: parameter.opts for parameter in train_command.params}
    spelt = {name: set(flags.get(name, ["--gamma"])) for name in FIELDS}
    assert [name for name in sorted(FIELDS) if not spelt[name] & told] == []


def test_what_is_asked_for_comes_through_and_is_shown(make_run: Callable[..., Run]) -> None:
    message = pb.TrainingOptions(config=pb.TrainingOptions.CONFIG_STYLEGAN2, kimg=1)
    asked: dict[str, float] = {}
    for field in pb.TrainingOptions.DESCRIPTOR.fields:
        if field.type in (field.TYPE_DOUBLE, field.TYPE_INT32) and field.name != "kimg":
            asked[field.name] = field.number
            setattr(message, field.name, field.number)
    requested = requested_options(message)
    assert {name: getattr(requested, name) for name in asked} == asked
    assert requested_options(pb.TrainingOptions()) == RequestedOptions()

    run = make_run("r", freeze_d=0, ema_rampup=0.0, path_length_weight=1.5)
    shown = run_message(RunView(run, None)).options
    assert shown.path_length_weight == 1.5
    assert (shown.ema_rampup, shown.HasField("ema_rampup")) == (0, True)
    assert shown.r1_interval == 16
