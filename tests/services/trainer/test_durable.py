"""States are written beside the training: each of one step, one at a time, no error lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.trainer import records
from services.trainer.attend import Interrupted
from services.trainer.durable import DurableStates
from services.trainer.freeze import live_tensors
from services.trainer.loop import train
from services.trainer.opening import open_session
from services.trainer.ranks import ALONE
from services.trainer.runs import list_snapshots
from services.trainer.schedule import StateClock, StateSchedule
from services.trainer.session import Session
from services.trainer.snapshot import write_snapshot
from services.trainer.state import list_states, restore
from tagloom.artifacts import layout
from tagloom.artifacts.run import Run
from tagloom.errors import Unavailable
from tagloom.networks.catalog import open_network
from tagloom.progress import silent
from tagloom.store import Store
from tagloom.store.local import LocalStore

ALWAYS = StateSchedule(seconds=1e-9)
NEVER = StateSchedule(seconds=1e9, images=10**9)
PATIENCE_S = 60.0


class Gate:
    """Holds every file on its way into any local store until it is opened."""

    def __init__(self) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        self.inside = self.most = 0

    def pass_through(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.reached.set()
        assert self.opened.wait(PATIENCE_S)
        self.inside -= 1


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, put_file = Gate(), LocalStore.put_file

    def held(self: LocalStore, key: str, path: Path) -> str:
        if "/state/" in key:
            gate.pass_through()
        return put_file(self, key, path)

    monkeypatch.setattr(LocalStore, "put_file", held)
    yield gate
    gate.opened.set()


def open_run(store: Store, run_id: str = "r") -> Session:
    return open_session(store, records.read_run(store, run_id), ALONE)[0]


def images_of(states: list[str]) -> list[int]:
    return [int(prefix.split("/")[3].split(".")[0]) for prefix in states]


def test_a_state_is_that_of_the_step_it_was_begun_at(
    store: Store, make_run: Callable[..., Run], gate: Gate
) -> None:
    make_run("r", ada_target=-1.0)
    session = open_run(store)
    for _ in range(3):
        session.advance()
    session.seconds = 7.0
    then = {name: tensor.clone() for name, tensor in live_tensors(session).items()}
    names, sums = session.step.statistics.state()
    p = session.augment_p
    with DurableStates(store, session, ALWAYS) as states:
        states.begin()
        assert gate.reached.wait(PATIENCE_S)
        for _ in range(5):
            session.advance()
        session.seconds = 9.0
        session.step.statistics.take()
        assert list_states(store, "r") == [], "the training waited for its state"
        gate.opened.set()
    assert images_of(list_states(store, "r")) == [12]
    assert states.memory == sum(t.nbytes for t in [*then.values(), sums])

    again = open_run(store)
    assert (again.step.steps, again.step.images_seen, again.seconds) == (3, 12, 7.0)
    assert again.augment_p == p
    assert again.step.statistics.state()[0] == names
    assert torch.equal(again.step.statistics.state()[1], sums)
    restored = live_tensors(again)
    assert restored.keys() == then.keys()
    assert all(torch.equal(tensor, then[name]) for name, tensor in restored.items())
    moved = live_tensors(session)
    assert not all(torch.equal(tensor, then[name]) for name, tensor in moved.items())
    for _ in range(5):
        again.advance()
    assert all(torch.equal(tensor, moved[name]) for name, tensor in live_tensors(again).items())


def test_one_is_written_at_a_time_and_the_next_begins_when_it_is_durable(
    store: Store, make_run: Callable[..., Run], gate: Gate
) -> None:
    make_run("r", keep_states=10)
    session = open_run(store)
    with DurableStates(store, session, ALWAYS) as states:
        for step in range(6):
            session.advance()
            states.keep_up()
            if step == 0:
                assert gate.reached.wait(PATIENCE_S)
        gate.opened.set()
        states.save()
        assert images_of(list_states(store, "r")) == [4, 24]
        session.advance()
        states.keep_up()
    assert images_of(list_states(store, "r")) == [4, 24, 28], "the context left one unfinished"
    assert gate.most == 1


def test_what_writing_raises_is_raised_in_the_training(
    store: Store,
    make_run: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_run("r")
    put_file, tried = LocalStore.put_file, threading.Event()

    def broken(self: LocalStore, key: str, path: Path) -> str:
        if "/state/" not in key:
            return put_file(self, key, path)
        tried.set()
        raise Unavailable("The store is away.", reason="STORE_UNAVAILABLE")

    monkeypatch.setattr(LocalStore, "put_file", broken)
    with pytest.raises(Unavailable, match="The store is away"):
        train(store, "r", silent, states=ALWAYS)
    run = records.read_run(store, "r")
    assert (run.state, run.message) == ("failed", "The store is away.")
    progress = records.read_progress(store, "r")
    assert progress is not None
    assert progress.images_seen < 64, "it was noticed at the end only"

    session = open_run(store)
    session.advance()
    tried.clear()
    with pytest.raises(KeyError, match="of the training"):
        break_down_while_one_is_written(store, session, tried)
    assert "The last state could not be written: The store is away." in caplog.text
    with (
        pytest.raises(Unavailable, match="The store is away"),
        DurableStates(store, session, ALWAYS) as states,
    ):
        states.begin()
    with (
        pytest.raises(Unavailable, match="The store is away"),
        DurableStates(store, session, NEVER) as states,
    ):
        states.save()


def break_down_while_one_is_written(store: Store, session: Session, tried: threading.Event) -> None:
    with DurableStates(store, session, ALWAYS) as states:
        states.begin()
        assert tried.wait(PATIENCE_S)
        raise KeyError("of the training")


def test_who_is_told_to_stop_waits_for_the_state_of_that_step(
    store: Store, make_run: Callable[..., Run], gate: Gate
) -> None:
    make_run("r")
    steps = 0

    def count(phase: str, done: int, total: int, message: str = "") -> None:
        nonlocal steps
        steps += phase == "train"

    def stop() -> bool:
        if steps == 5:
            threading.Timer(0.2, gate.opened.set).start()
        return steps >= 5

    with pytest.raises(Interrupted):
        train(store, "r", count, stop=stop, states=ALWAYS)
    assert images_of(list_states(store, "r")) == [4, 20]
    assert records.read_run(store, "r").state == "queued"


def test_a_run_killed_between_a_state_and_its_snapshot_takes_it_later(
    store: Store, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("whole")
    train(store, "whole", silent)
    make_run("r")
    for images in (32, 64):
        with monkeypatch.context() as patch:

            def killed(store: Store, session: Session, *_: object, images: int = images) -> str:
                if session.step.images_seen == images:
                    raise KeyboardInterrupt
                return write_snapshot(store, session)

            patch.setattr("services.trainer.keeper.write_snapshot", killed)
            with pytest.raises(KeyboardInterrupt):
                train(store, "r", silent)
        assert images_of(list_states(store, "r"))[-1] == images
    train(store, "r", silent)
    assert records.read_run(store, "r").state == "succeeded"
    ids = [snapshot.id for snapshot in list_snapshots(store, "runs/r", 100, "")[0]]
    assert ids == ["000000.000", "000000.032", "000000.064"]
    assert [tick.kimg for tick in records.read_ticks(store, "r")] == [0.016, 0.032, 0.048, 0.064]
    for snapshot in ids:
        whole, pieces = (
            open_network(store, f"runs/{run_id}/snapshots/{snapshot}").load(store, ["G_ema", "D"])
            for run_id in ("whole", "r")
        )
        for role, tensors in whole.items():
            assert all(torch.equal(tensor, pieces[role][key]) for key, tensor in tensors.items())
    assert store.get(layout.snapshot_samples("whole", ids[1])) == store.get(
        layout.snapshot_samples("r", ids[1])
    )


def test_a_state_that_is_there_is_not_written_again(
    store: Store, make_run: Callable[..., Run]
) -> None:
    make_run("r")
    session = open_run(store)
    session.advance()
    with DurableStates(store, session, NEVER) as states:
        states.save()
        first = {info.key: info.modified for info in store.iterate("runs/r/state/")}
        states.save()
    assert {info.key: info.modified for info in store.iterate("runs/r/state/")} == first
    assert restore(store, open_run(store)) is not None


@given(
    step_s=st.floats(1e-3, 30),
    batch=st.integers(1, 500),
    write_s=st.floats(1e-3, 20),
)
def test_no_durable_state_becomes_older_than_scheduled(
    step_s: float, batch: int, write_s: float
) -> None:
    """At no moment is the newest durable state a minute or a kimg behind the training.

    Where a state and two steps take longer than half of that, as fast as they come one by one.
    """
    now, images = 0.0, 0
    clock = StateClock(StateSchedule(), 0, clock=lambda: now)
    newest, newest_images, count = 0.0, 0, 0
    writing: tuple[float, float, int] | None = None
    once_s = write_s + 2 * step_s  # from one's beginning to the next one's, when back to back
    seconds = max(60.0, 2 * once_s)
    allowed = max(1000, (2 * once_s / step_s + 1) * batch)
    while count < 20:
        now, images = now + step_s, images + batch
        due = clock.is_due(images)
        if writing is not None and writing[0] <= now:
            _, newest, newest_images = writing
            writing, count = None, count + 1
            clock.durable(write_s)
        if count or write_s <= 2.0:  # the first is begun before it is known how long one takes
            assert now - newest <= seconds + 1e-6
            assert images - newest_images <= allowed
        if due and writing is None:
            clock.begun(images)
            writing = (now + write_s, now, images)


def test_nothing_is_due_while_nothing_was_trained() -> None:
    now = 0.0
    clock = StateClock(StateSchedule(seconds=60, images=1000), 400, clock=lambda: now)
    now = 1e6
    assert not clock.is_due(400)
    assert clock.is_due(404)
