"""What steps tell, and how it is read while they write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.steps.events import VARIABLE, Failed, Finished, Progressed, Started, Tail, tell


def test_events_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    path.touch()
    monkeypatch.setenv(VARIABLE, str(path))
    tail = Tail(path)
    events = [
        Started(step="train", label="scratch, ada"),
        Progressed(
            step="train", operation="operations/trainer.1", phase="train", done=1, total=2, eta_s=3
        ),
        Failed(
            step="train", error="NotFound", reason="X_Y", message="no\nsuch", metadata={"a": "b"}
        ),
        Finished(step="train", seconds=1.5, sentence="ünïcode"),
    ]
    for event in events[:2]:
        tell(event)
    assert tail.new() == events[:2]
    assert tail.new() == []
    for event in events[2:]:
        tell(event)
    assert tail.new() == events[2:]


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
