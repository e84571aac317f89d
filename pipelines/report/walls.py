"""The part of the page about photos: the two walls, the verdict table, the files not stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.report.charts import number
from pipelines.report.gather import Materials, shown
from pipelines.report.pictures import Picture, photo
from pipelines.report.words import MISSING, TIMES, count
from tagloom.v1 import filter_pb2, scraper_pb2

__all__ = [
    "Bar",
    "CheckHead",
    "LeftOut",
    "Photo",
    "VerdictCell",
    "VerdictRow",
    "file_name",
    "left_out",
    "verdict_rows",
    "walls",
]


_YES_OR_NO = {"valid", "boolean"}
"""units of checks whose score is 0 or 1"""
_BARS = 3


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo on a wall."""

    name: str
    picture: Picture | None
    map: Picture | None
    """where it is sharp, where that was in question"""
    checks: list[str]
    note: str
    bars: list[Bar]
    """of the checks that decided, or nearly did"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One score against its threshold, which is in the middle."""

    check: str
    text: str
    style: str
    left: float
    """per cent of the width"""
    width: float


@dataclass(frozen=True, slots=True)
class CheckHead:
    """A column of the verdict table: `sharpness`, `≥ 0.4`."""

    name: str
    rule: str


@dataclass(frozen=True, slots=True)
class VerdictCell:
    """One score."""

    text: str
    style: str
    detail: str


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One photo's line."""

    name: str
    kept: bool
    cells: list[VerdictCell]
    size: str
    tiles: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that was met and not stored."""

    source: str
    state: str
    why: str


def walls(materials: Materials) -> tuple[list[Photo], list[Photo]]:
    """The photos kept and the photos rejected, boxes drawn on them."""
    kept: list[Photo] = []
    rejected: list[Photo] = []
    for verdict in shown(materials.verdicts):
        jpeg = materials.previews.get(verdict.sha256)
        picture = photo(jpeg, verdict.source) if jpeg else None
        sharp = materials.maps.get(verdict.sha256)
        blur = photo(sharp, f"where {verdict.source} is sharp") if sharp else None
        name, bars = file_name(verdict.source), _bars(verdict)
        if verdict.kept:
            note = f"{_size(verdict)} px, {count(verdict.tile_count, 'square')}"
            kept.append(Photo(name, picture, blur, [], note, bars))
        else:
            why = [r.detail or r.check for r in verdict.results if not r.passed]
            checks = list(verdict.failed_checks)
            rejected.append(Photo(name, picture, blur, checks, " ".join(why), bars))
    return kept, rejected


def verdict_rows(materials: Materials) -> tuple[list[CheckHead], list[VerdictRow]]:
    """The verdict table: every photo against every check."""
    heads: dict[str, CheckHead] = {}
    for verdict in materials.verdicts:
        for result in verdict.results:
            sign = "≥" if result.minimum else "≤"
            rule = f"{sign} {number(result.threshold)} {result.unit}"
            if result.unit in _YES_OR_NO:
                rule = "yes or no"
            elif result.unit == "ratio":
                rule = f"{sign} {number(100 * result.threshold)} %"
            heads.setdefault(result.check, CheckHead(result.check, rule))
    rows = []
    for verdict in materials.verdicts:
        results = {result.check: result for result in verdict.results}
        cells = [_cell(results.get(check)) for check in heads]
        rows.append(
            VerdictRow(
                file_name(verdict.source), verdict.kept, cells, _size(verdict), verdict.tile_count
            )
        )
    return list(heads.values()), rows


def left_out(items: Sequence[scraper_pb2.Item]) -> list[LeftOut]:
    """Every file that is not in the store under its own hash, and why."""
    states = {2: "duplicate", 3: "skipped", 4: "refused"}
    return [
        LeftOut(item.source, states[item.state], item.detail or item.reason or "the same bytes")
        for item in items
        if item.state in states
    ]


def file_name(source: str) -> str:
    """A path's last part; an address as it is."""
    return source if "://" in source else source.rsplit("/", 1)[-1]


def _bars(verdict: filter_pb2.Verdict) -> list[Bar]:
    """The score nearest to its threshold; of a photo that went, those that failed."""
    results = [r for r in verdict.results if r.unit not in _YES_OR_NO]
    failed = [r for r in results if not r.passed]
    nearest = sorted(results, key=lambda r: r.margin)[:1] if verdict.kept else []
    bars = []
    for result in failed[:_BARS] or nearest:
        cell, width = _cell(result), 50 * abs(result.margin)
        rule = _bound(result.threshold, result.unit)
        sign = "≥" if result.minimum else "≤"
        left = 50.0 if result.margin >= 0 else 50 - width
        bars.append(Bar(result.check, f"{cell.text}, {sign} {rule}", cell.style, left, width))
    return bars


def _bound(value: float, unit: str) -> str:
    return f"{number(100 * value)} %" if unit == "ratio" else number(value)


def _size(verdict: filter_pb2.Verdict) -> str:
    if not verdict.width:
        return MISSING  # damaged: it could not be read that far
    return f"{verdict.width} {TIMES} {verdict.height}"


def _cell(result: filter_pb2.CheckResult | None) -> VerdictCell:
    if result is None:
        return VerdictCell(MISSING, "off", "not judged: an earlier check had to pass first")
    style = "pass" if result.passed else "fail"
    if result.unit in _YES_OR_NO:
        text = "yes" if result.score else "no"
    elif result.unit == "ratio":
        text = f"{number(round(100 * result.score, 1))} %"
    else:
        text = number(round(result.score, 3))
    return VerdictCell(text, style, result.detail)
