"""What a run takes over is in its record, its message and the log; what is frozen stays."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch

from services.trainer import records
from services.trainer.convert import run_message
from services.trainer.loop import Interrupted, train
from services.trainer.options import RequestedOptions, plan_run
from services.trainer.runs import get_run
from tagloom.artifacts import layout
from tagloom.artifacts.dataset import Dataset
from tagloom.artifacts.run import Run
from tagloom.networks.catalog import open_network
from tagloom.progress import silent
from tagloom.store import Store

START = "runs/source/snapshots/000000.004"


@pytest.fixture
def source(store: Store, make_run: Callable[..., Run]) -> Run:
    run = make_run("source", kimg=0.004)
    train(store, "source", silent)
    return run


def test_a_start_of_another_resolution_is_said_clearly_and_stays_said(
    store: Store,
    source: Run,
    make_dataset: Callable[..., Dataset],
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_dataset(store, "large", images=8, side=32)
    run = plan_run(store, "r", "datasets/large", START, RequestedOptions(kimg=0.008, batch=4))
    run.create(store, layout.run_document("r"), "runs/r")
    said: list[str] = []
    caplog.set_level(logging.INFO)
    with pytest.raises(Interrupted):
        train(store, "r", lambda p, d, t, message="": said.append(message), stop=lambda: True)
    train(store, "r", silent)

    run = records.read_run(store, "r")
    assert run.state == "succeeded"
    g, d = run.transfer
    assert (g.network, d.network) == ("G", "D")
    assert 0 < g.copied < g.tensors == g.copied + len(g.fresh)
    assert all(name.startswith("synthesis.b32.") for name in g.fresh)
    assert all(name.startswith("b32.") for name in d.fresh)
    assert 0 < g.parameters_taken < g.parameters
    message = run_message(get_run(store, "runs/r"))
    assert list(message.transfer[0].fresh) == list(g.fresh)
    (told,) = {entry.getMessage() for entry in caplog.records if "G takes" in entry.getMessage()}
    assert f"G takes {g.copied} of {g.tensors} tensors" in told
    assert "new at 32 px: synthesis.b32.conv0" in told
    weights = open_network(store, "runs/r/snapshots/000000.000").load(store, ["G", "D"])
    before = open_network(store, START).load(store, ["G_ema", "D"])
    name = "synthesis.b16.conv1.weight"
    assert torch.equal(weights["G"][name], before["G_ema"][name])
    assert torch.equal(weights["D"]["b16.conv1.weight"], before["D"]["b16.conv1.weight"])


def test_at_the_same_resolution_nothing_needs_to_be_said(
    store: Store, source: Run, make_run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make_run("r", start=START, kimg=0.004)
    train(store, "r", silent)
    assert all(
        not part.fresh and not part.adapted for part in records.read_run(store, "r").transfer
    )
    assert f"Starts from {START} on 12 images." in [e.getMessage() for e in caplog.records]


def test_frozen_layers_do_not_move_and_the_others_do(
    store: Store, source: Run, make_run: Callable[..., Run]
) -> None:
    run = make_run("r", start=START, kimg=0.016, freeze_d=4, augment="none")
    assert run.discriminator["freeze_layers"] == 4
    train(store, "r", silent)
    first, last = (
        open_network(store, f"runs/r/snapshots/{kimg}").load(store, ["D"])["D"]
        for kimg in ("000000.000", "000000.016")
    )
    moved = {name for name, value in last.items() if not torch.equal(first[name], value)}
    assert not any(name.startswith("b16.") for name in moved)
    assert {"b8.conv0.weight", "b8.conv1.weight", "b8.skip.weight", "b4.out.weight"} <= moved
    # And such a snapshot is a start like any other, thawed again.
    train_on = make_run("s", start="runs/r/snapshots/000000.016", kimg=0.004)
    assert train_on.discriminator["freeze_layers"] == 0
    train(store, "s", silent)
