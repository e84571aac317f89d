"""Hostile files: one clear error each, nothing run, nothing written, the reader unharmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tagloom.errors import DataLoss, InvalidArgument, ResourceExhausted, TagloomError
from tests.plugins.checkpoint_attacks import MARKER, attacks, tensor_file
from tests.plugins.checkpoint_files import SOURCE, checkpoint

ATTACKS = list(attacks())
KINDS = {
    "CHECKPOINT_REFUSED": InvalidArgument,
    "CHECKPOINT_DAMAGED": DataLoss,
    "CHECKPOINT_TOO_LARGE": ResourceExhausted,
}


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What these files would make does not exist afterwards, wherever they would have made it."""
    monkeypatch.chdir(tmp_path)
    yield
    for folder in (tmp_path, Path("/"), Path("/tmp"), Path(__file__).parents[4]):
        assert not list(folder.glob("PWNED*"))
    assert not list(tmp_path.iterdir())


def refuse(open_checkpoint: Any, data: bytes, says: str | None) -> TagloomError:
    with pytest.raises(TagloomError, match=says) as caught:
        open_checkpoint(data)
    error = caught.value
    assert type(error) is KINDS[error.reason]
    assert error.message.startswith("file.pkl is not imported: ")
    assert len(error.message) < 700
    assert error.message.isprintable()
    assert "the process that read it failed" not in error.message
    assert open_checkpoint.written < 1000  # at most a header that was begun
    return error


@pytest.mark.parametrize(("data", "says"), [a[1:] for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_an_attack_ends_in_a_sentence(open_checkpoint: Any, data: bytes, says: str) -> None:
    refuse(open_checkpoint, data, says)


def test_the_sound_form_of_those_files_is_read(open_checkpoint: Any) -> None:
    """What is refused above is refused for its attack alone."""
    assert open_checkpoint(tensor_file()).networks.keys() == {"G_ema"}
    assert open_checkpoint.tensors["G_ema.weight"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (f"import os\nos.system('touch {MARKER}')\n", "line 2 runs something when it is opened"),
        (f"open('{MARKER}', 'w').close()\n" + SOURCE, "line 1 runs something"),
        (SOURCE + f"\nx = open('{MARKER}', 'w')\n", "uses open"),
        ("import subprocess as numpy\n" + SOURCE, "imports subprocess"),
        ("from os.path import join\n", "imports os.path"),
        ("class A:\n    eval('1')\n", "uses eval"),
        ("def f(x=exec('1')): pass\n", "uses exec"),
        ("@(lambda f: __import__('os'))\ndef f(): pass\n", "uses __import__"),
        ("import torch\ny = torch.os.system('x')\n", "uses .system"),
        ("y = [c for c in ().__class__.__base__.__subclasses__()]\n", "uses .__subclasses__"),
        ("x = (\n", "is not Python"),
        ("x = " + "(" * 50_000 + ")" * 50_000, "is not Python"),
        ("x = " + "-" * 200_000 + "1", "is not Python"),
        ("x = '\0'\n", "is not Python"),
        ("#" * 1_100_000, "has 1,100,000 characters"),
    ],
)
def test_a_changed_source_text_is_seen_and_never_run(
    open_checkpoint: Any, make_network: Any, source: str, says: str
) -> None:
    _, stored = make_network("stylegan2", source=source)
    refuse(open_checkpoint, checkpoint(G_ema=stored), says)


def test_a_file_cut_off_anywhere_says_so(open_checkpoint: Any, make_network: Any) -> None:
    _, stored = make_network("stylegan2")
    data = checkpoint(G_ema=stored)
    for length in [*range(1, 40), *range(40, len(data), len(data) // 100)]:
        error = refuse(open_checkpoint, data[:length], None)
        assert error.reason == "CHECKPOINT_DAMAGED"
    assert open_checkpoint(data).networks
