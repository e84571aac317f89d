"""Thousands of damaged and hostile files through one confined process, which survives them all."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tagloom.errors import TagloomError
from tests.plugins.checkpoint_files import checkpoint, persistent
from tests.plugins.checkpoint_mutations import mutations


def fuzz_seeds(make_network: Any) -> list[bytes]:
    """Small files with all that a checkpoint has, in three protocols, and a whole discriminator."""
    small = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm2d(2))
    stored = persistent(small, {"img_resolution": 16, "mapping_kwargs": {"num_layers": 2}})
    _, discriminator = make_network("discriminator", c_dim=2)
    files = [checkpoint(protocol, G_ema=stored) for protocol in (2, 4, 5)]
    return [*files, checkpoint(D=discriminator)]


def _end(open_checkpoint: Any, data: bytes) -> str:
    """`read`, or the reason of a proper error."""
    error: TagloomError | None = None
    try:
        open_checkpoint(data)
    except TagloomError as raised:
        error = raised
    if error is None:
        return "read"
    assert error.reason.startswith("CHECKPOINT_"), error
    assert "failed" not in error.message, (error.message, data)
    assert len(error.message) < 700
    assert error.message.isprintable()
    return error.reason


@pytest.mark.parametrize(
    ("count", "seed"),
    [(2_000, 4), pytest.param(100_000, 5, marks=pytest.mark.long)],
)
def test_every_variation_is_read_or_refused(
    open_checkpoint: Any, make_network: Any, count: int, seed: int
) -> None:
    seeds = fuzz_seeds(make_network)
    process = open_checkpoint.pid
    before = set(os.listdir(open_checkpoint.folder))
    ends: Counter[str] = Counter()
    for data in mutations(seeds, count, seed):
        ends[_end(open_checkpoint, data)] += 1
    print(f"{count} files: {dict(ends)}")
    assert sum(ends.values()) == count
    # The variations are worth something: they end in every way there is.
    assert all(
        ends[way] > count / 50 for way in ("read", "CHECKPOINT_REFUSED", "CHECKPOINT_DAMAGED")
    ), ends
    assert open_checkpoint.pid == process  # the same process from the first to the last
    Path(f"/proc/{process}").stat()
    assert set(os.listdir(open_checkpoint.folder)) == before
    assert not list(Path("/").glob("PWNED*"))


@pytest.mark.long
def test_variations_of_real_files(open_checkpoint: Any, golden_folder: Path) -> None:
    """The published layout, byte for byte; fewer, since each file has a megabyte."""
    seeds = [path.read_bytes() for path in sorted((golden_folder / "checkpoints").glob("*.pkl"))]
    assert seeds
    ends: Counter[str] = Counter()
    for data in mutations(seeds, 3_000, 6):
        ends[_end(open_checkpoint, data)] += 1
    print(f"3000 variations of real files: {dict(ends)}")
    assert not list(Path("/").glob("PWNED*"))
