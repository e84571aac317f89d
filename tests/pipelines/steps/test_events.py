"""What steps tell, and how it is read while they write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.steps import events
from pipelines.steps.events import (
    VARIABLE,
    Closed,
    Failed,
    Finished,
    Progressed,
    Started,
    Tail,
    as_error,
    in_log,
    tell,
)
from tagloom.errors import NotFound


def test_events_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    path.touch()
    monkeypatch.setenv(VARIABLE, str(path))
    tail = Tail(path)
    given = [
        Started(step="train", label="scratch, ada"),
        Progressed(
            step="train", operation="operations/trainer.1", phase="train", done=1, total=2, eta_s=3
        ),
        Failed(
            step="train", error="NotFound", reason="X_Y", message="no\nsuch", metadata={"a": "b"}
        ),
        Finished(step="train", seconds=1.5, sentence="ünïcode"),
    ]
    for event in given[:2]:
        tell(event)
    assert tail.new() == given[:2]
    assert tail.new() == []
    for event in given[2:]:
        tell(event)
    assert tail.new() == given[2:]


def test_a_half_written_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = Started(step="filter").model_dump_json().encode() + b"\n"
    path.write_bytes(line + line[:10])
    tail = Tail(path)
    assert len(tail.new()) == 1
    with path.open("ab") as file:
        file.write(line[10:])
    assert tail.new() == [Started(step="filter")]


WRITER = """
import sys
from pipelines.steps.events import Started, tell
for _ in range(200):
    tell(Started(step="train", label=sys.argv[1] * 500))
"""


def test_steps_that_write_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.touch()
    environment = {**os.environ, VARIABLE: str(path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, label], env=environment) for label in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    labels = [event.label for event in Tail(path).new()]
    assert len(labels) == 600
    assert all(len(set(label)) == 1 and len(label) == 500 for label in labels)


def test_without_a_watcher_events_go_to_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    tell(Started(step="collect"))
    assert '"step":"collect"' in capsys.readouterr().err


def progressed(phase: str, done: int) -> Progressed:
    return Progressed(
        step="train", operation="operations/trainer.1", phase=phase, done=done, total=9
    )


def test_a_pods_log_gets_progress_now_and_then_and_all_else_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    clock = [0.0]
    monkeypatch.setattr(events.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(events, "_logged", {})
    for second in range(100):
        clock[0] = float(second)
        tell(progressed("training" if second < 95 else "saving", second))
    told = list(in_log(capsys.readouterr().err))
    assert [event.done for event in told] == [0, 30, 60, 90, 95]
    tell(Started(step="train"))
    tell(Started(step="train"))
    assert len(list(in_log(capsys.readouterr().err))) == 2


def test_events_are_found_among_whatever_else_is_in_a_log() -> None:
    started = Started(step="train", label="scratch, ada")
    closed = Closed(step="close", state="failed", error="Ünlucky\nday")
    log = "\n".join(
        [
            "[KFP Executor 2026-11-28 INFO]: Got executor_input:",
            '{"step": "not ours"}',
            started.model_dump_json(),
            '{"step":"train","kind":"of another version"}',
            closed.model_dump_json(),
            '{"step":"train","kind":"sta',
        ]
    )
    assert list(in_log(log)) == [started, closed]


def test_an_error_is_raised_as_the_step_raised_it() -> None:
    failed = Failed(
        step="train", error="NotFound", reason="RUN_NOT_FOUND", message="No.", metadata={"run": "r"}
    )
    error = as_error(failed)
    assert isinstance(error, NotFound)
    assert (error.message, error.reason, error.metadata) == ("No.", "RUN_NOT_FOUND", {"run": "r"})
