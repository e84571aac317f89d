"""A difference is claimed only beyond the spread of the seeds."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.transfer import table
from benchmarks.transfer.cells import CELLS, options


def result(kernel: float) -> dict[str, Any]:
    """What a cell's file holds, with this kernel distance at the end."""
    score = {"frechet": [9.0, 9.0, 9.0], "recall": [0.5, 0.5, 0.5]}
    return {
        "time": "2026-01-02T03:04:05+00:00",
        "seconds": 60,
        "real": 286,
        "generated": 500,
        "features": {"extractor": "some features"},
        "scores": [
            {"kimg": 0.0, "kernel": [9.0, 8.0, 10.0], **score},
            {"kimg": 20.0, "kernel": [kernel, kernel - 1, kernel + 1], **score},
        ],
        "ticks": [{"kimg": 20.0, "augment_p": 0.25}],
    }


@pytest.mark.parametrize(
    ("a", "b", "side"),
    [
        ([1, 2, 3], [4, 5, 6], "lower"),
        ([4, 5, 6], [1, 2, 3], "higher"),
        ([1, 2, 4], [3, 5, 6], ""),
        ([1, 2, 3], [3, 5, 6], ""),
        ([], [3], ""),
    ],
)
def test_claim(a: list[float], b: list[float], side: str) -> None:
    assert table.claim(a, b) == side


def test_page(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(table, "PAGE", tmp_path / "README.md")
    kernels = {"source-ada": 1.0, "scratch-ada": 3.0, "source-none": 1.1}
    results = {
        cell: result(kernels[cell.arm.removeprefix("stylegan2-")] + cell.seed / 10)
        for cell in CELLS
        if cell.arm.removeprefix("stylegan2-") in kernels
    }
    table.write_table(results)
    page = (tmp_path / "README.md").read_text()
    assert "9 of 18 runs are finished; the last one on 2026-01-02." in page
    assert "| StyleGAN2, transfer, ADA | 3 | 1.10 (1.00 to 1.20) |" in page
    said = {line.split("**")[1]: line for line in page.splitlines() if line.startswith("- **")}
    assert "has the lower kernel distance in every seed" in said["Transfer or scratch?"]
    assert "nothing is claimed" in said["ADA or none?"]
    assert "Not enough seeds" in said["ADA or fixed?"]
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")


def test_cells_differ_in_what_they_compare_alone() -> None:
    by_config: dict[str, set[str]] = {}
    for cell in CELLS:
        fields = {
            key: value
            for key, value in vars_of(options(cell)).items()
            if key not in ("seed", "augment", "augment_p", "ada_kimg")
        }
        by_config.setdefault(cell.config, set()).add(repr(fields))
    assert {config: len(kinds) for config, kinds in by_config.items()} == {
        "stylegan2": 1,
        "stylegan3-t": 1,
    }


def vars_of(requested: Any) -> dict[str, Any]:
    return {name: getattr(requested, name) for name in requested.__slots__}
