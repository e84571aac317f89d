"""A judged photo as a card of a page: its picture, its verdict, its scores against thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tagloom.cli.page import escaped

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["card", "score_bars", "score_text"]

_YES_OR_NO = frozenset({"valid", "boolean"})


def card(
    verdict: filter_pb2.Verdict, picture: str, blur: str = "", link: str = "", note: str = ""
) -> str:
    """HTML. picture, blur and link are addresses; the map of sharpness shows under the pointer."""
    state, good = ("kept", "good") if verdict.kept else ("rejected", "bad")
    failed = "".join(f'<span class="badge bad">{escaped(c)}</span>' for c in verdict.failed_checks)
    why = " ".join(r.detail for r in verdict.results if not r.passed and r.detail)
    squares = f"{verdict.tile_count} square{'s' * (verdict.tile_count != 1)}"
    facts = f"{squares} · {verdict.label}" if verdict.label else squares
    images = f'<img src="{picture}" alt="{escaped(verdict.source)}" loading="lazy">'
    if blur:
        images += f'<img src="{blur}" alt="where it is sharp" loading="lazy">'
    shown = f'<div class="turn" tabindex="0">{images}</div>' if picture else ""
    if link:
        shown = f'<a href="{link}">{shown}</a>'
    return (
        f'<figure class="card {state}" data-state="{state}" '
        f'data-failed="{escaped(" ".join(verdict.failed_checks))}">{shown}<div class="body">'
        f'<span class="badge {good}">{state}</span>{failed}'
        f'<div class="name">{escaped(verdict.source)}</div>'
        f'<div class="why">{escaped(why if why else facts if verdict.kept else "")}</div>'
        f"{note}{score_bars(verdict)}</div></figure>"
    )


def score_bars(verdict: filter_pb2.Verdict) -> str:
    """Each score as a bar from its threshold (the line) to the good or to the bad side."""
    rows = []
    for result in verdict.results:
        width = 50 * abs(result.margin)
        start = 50.0 if result.margin >= 0 else 50 - width
        style = "" if result.passed else ' class="fail"'
        track = "track" if result.passed else "track fail"
        rows.append(
            f"<span{style}>{escaped(result.check)}</span>"
            f'<span class="{track}"><i style="left:{start:.1f}%;width:{width:.1f}%"></i></span>'
            f'<span class="value">{escaped(score_text(result))}</span>'
        )
    return f'<div class="bars">{"".join(rows)}</div>' if rows else ""


def score_text(result: filter_pb2.CheckResult) -> str:
    """`71.2 % ≥ 40 %`; `0.61 > 0.5` for what failed."""
    if result.unit in _YES_OR_NO:
        return "yes" if result.score else "no"
    held, missed = ("≥", "<") if result.minimum else ("≤", ">")
    sign = held if result.passed else missed
    ratio = result.unit == "ratio"
    score, threshold = (
        f"{_number(100 * value)} %" if ratio else _number(value)
        for value in (result.score, result.threshold)
    )
    return f"{score} {sign} {threshold}"


def _number(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
