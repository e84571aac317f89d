"""What a step leaves behind when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.steps import session
from pipelines.steps.session import step
from tagloom.errors import NotFound


def fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGLOOM_TARGET", "127.0.0.1:1")
    with pytest.raises(SystemExit, match="No such run"), step("train"):
        raise NotFound("No such run.", reason="RUN_NOT_FOUND")


def test_the_sentence_is_the_containers_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "termination-log"
    words.touch()  # as the kubelet does
    monkeypatch.setenv("TAGLOOM_TERMINATION_LOG", str(words))
    fail(monkeypatch)
    assert words.read_text() == "No such run. [RUN_NOT_FOUND]"


def test_outside_of_a_container_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAGLOOM_TERMINATION_LOG", raising=False)
    monkeypatch.setattr(session, "TERMINATION_LOG", str(tmp_path / "none"))
    fail(monkeypatch)
    assert list(tmp_path.iterdir()) == []
