"""Thousands of damaged and hostile files through one confined process, which survives them all."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tagloom.errors import TagloomError
from tests.plugins.checkpoint_files import checkpoint, persistent
from tests.plugins.checkpoint_mutations import variation


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


def _fuzz(open_checkpoint: Any, seeds: list[bytes], count: int) -> Counter[str]:
    """How `count` variations end. Hypothesis chooses them, and shrinks one that goes wrong."""
    ends: Counter[str] = Counter()

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(draw=st.randoms(use_true_random=False))
    def vary(draw: random.Random) -> None:
        ends[_end(open_checkpoint, variation(seeds, draw))] += 1

    vary()
    print(f"{ends.total()} files: {dict(ends)}")
    return ends


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_every_variation_is_read_or_refused(
    open_checkpoint: Any, make_network: Any, count: int
) -> None:
    seeds = fuzz_seeds(make_network)
    process = open_checkpoint.pid
    before = set(os.listdir(open_checkpoint.folder))
    ends = _fuzz(open_checkpoint, seeds, count)
    assert ends.total() >= count
    # The variations are worth something: they end in every way there is.
    assert all(
        ends[way] > count / 100 for way in ("read", "CHECKPOINT_REFUSED", "CHECKPOINT_DAMAGED")
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
    assert _fuzz(open_checkpoint, seeds, 3_000).total() >= 3_000
    assert not list(Path("/").glob("PWNED*"))
