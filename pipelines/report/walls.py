"""The part of the page about photos: the two walls, the verdict table, the files not stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.report.charts import number
from pipelines.report.checks import YES_OR_NO, bound_text, rule_text
from pipelines.report.gather import MAX_ROWS, Materials, shown
from pipelines.report.pictures import Picture, photo
from pipelines.report.sources import Source, source_of
from pipelines.report.words import MISSING, TIMES, count
from tagloom.v1 import filter_pb2, scraper_pb2

__all__ = [
    "Bar",
    "CheckHead",
    "LeftOut",
    "Photo",
    "VerdictCell",
    "VerdictRow",
    "left_out",
    "verdict_rows",
    "walls",
]


_BARS = 3


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo on a wall."""

    source: Source
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

    source: Source
    kept: bool
    cells: list[VerdictCell]
    size: str
    tiles: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that was met and not stored."""

    source: Source
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
        source, bars = source_of(verdict.source), _bars(verdict)
        if verdict.kept:
            note = f"{_size(verdict)} px, {count(verdict.tile_count, 'square')}"
            kept.append(Photo(source, picture, blur, [], note, bars))
        else:
            why = [r.detail or r.check for r in verdict.results if not r.passed]
            checks = list(verdict.failed_checks)
            rejected.append(Photo(source, picture, blur, checks, " ".join(why), bars))
    return kept, rejected


def verdict_rows(materials: Materials) -> tuple[list[CheckHead], list[VerdictRow]]:
    """The verdict table: the photos nearest to a threshold against every check."""
    verdicts = materials.verdicts[:MAX_ROWS]
    heads: dict[str, CheckHead] = {}
    for verdict in verdicts:
        for result in verdict.results:
            heads.setdefault(result.check, CheckHead(result.check, rule_text(result)))
    rows = []
    for verdict in verdicts:
        results = {result.check: result for result in verdict.results}
        cells = [_cell(results.get(check)) for check in heads]
        source = source_of(verdict.source)
        rows.append(VerdictRow(source, verdict.kept, cells, _size(verdict), verdict.tile_count))
    return list(heads.values()), rows


def left_out(items: Sequence[scraper_pb2.Item]) -> list[LeftOut]:
    """Every file that is not in the store under its own hash, and why."""
    states = {2: "duplicate", 3: "skipped", 4: "refused"}
    return [
        LeftOut(
            source_of(item.source),
            states[item.state],
            item.detail or item.reason or "the same bytes",
        )
        for item in items
        if item.state in states
    ]


def _bars(verdict: filter_pb2.Verdict) -> list[Bar]:
    """The score nearest to its threshold; of a photo that went, those that failed."""
    results = [r for r in verdict.results if r.unit not in YES_OR_NO]
    failed = [r for r in results if not r.passed]
    nearest = sorted(results, key=lambda r: r.margin)[:1] if verdict.kept else []
    bars = []
    for result in failed[:_BARS] or nearest:
        cell, width = _cell(result), 50 * abs(result.margin)
        sign = "≥" if result.minimum else "≤"
        left = 50.0 if result.margin >= 0 else 50 - width
        bars.append(
            Bar(result.check, f"{cell.text}, {sign} {bound_text(result)}", cell.style, left, width)
        )
    return bars


def _size(verdict: filter_pb2.Verdict) -> str:
    if not verdict.width:
        return MISSING  # damaged: it could not be read that far
    return f"{verdict.width} {TIMES} {verdict.height}"


def _cell(result: filter_pb2.CheckResult | None) -> VerdictCell:
    if result is None:
        return VerdictCell(MISSING, "off", "not judged: an earlier check had to pass first")
    style = "pass" if result.passed else "fail"
    if result.unit in YES_OR_NO:
        text = "yes" if result.score else "no"
    elif result.unit == "ratio":
        text = f"{number(round(100 * result.score, 1))} %"
    else:
        text = number(round(result.score, 3))
    return VerdictCell(text, style, result.detail)
