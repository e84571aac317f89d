"""A page in one HTML file: its style, its charts, and text that cannot break out of it."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from importlib import resources

__all__ = ["escaped", "jpeg_uri", "line_chart", "page"]

_STYLE = (resources.files("tagloom.cli") / "page.css").read_text("utf-8")


def escaped(text: object) -> str:
    """Text as it may stand in HTML, in an attribute as well."""
    return html.escape(str(text), quote=True)


def jpeg_uri(data: bytes) -> str:
    """A picture inside the page."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def page(title: str, body: str, script: str = "", *, images: str = "data:") -> str:
    """The whole file. It loads nothing from elsewhere; `images` says where pictures may lie."""
    policy = (
        f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'"
    )
    code = f"<script>{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{code}</body>\n</html>\n"
    )


_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 10, 26


def line_chart(
    lines: Iterable[tuple[str, Sequence[tuple[float, float]]]],
    x_range: tuple[float, float],
    *,
    y_range: tuple[float, float] = (0.0, 1.0),
    marks: Iterable[tuple[str, float]] = (),
    dots: Iterable[tuple[str, float, float, str]] = (),
    x_name: str = "",
    x_scale: float = 1.0,
) -> str:
    """An SVG: lines (class, points), vertical marks (class, x), dots (class, x, y, title).

    The y axis is in per cent. Labels of the x axis are multiplied by `x_scale`.
    """
    low, high = x_range
    span, tall = (high - low) or 1.0, (y_range[1] - y_range[0]) or 1.0

    def across(x: float) -> float:
        inside = min(max(x, low), high)
        return _LEFT + (inside - low) / span * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _TOP + (y_range[1] - y) / tall * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">']
    for tick in range(5):
        y = y_range[0] + tall * tick / 4
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down(y):.1f}" '
            f'y2="{down(y):.1f}"/><text x="{_LEFT - 5}" y="{down(y) + 4:.1f}" '
            f'text-anchor="end">{100 * y:.0f}</text>'
        )
        x = low + span * tick / 4
        anchor = "start" if tick == 0 else "end" if tick == 4 else "middle"
        parts.append(
            f'<text x="{across(x):.1f}" y="{_HEIGHT - _BOTTOM + 14}" '
            f'text-anchor="{anchor}">{x * x_scale:.3g}</text>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 1}" '
        f'text-anchor="middle">{escaped(x_name)}</text>'
    )
    for name, x in marks:
        parts.append(
            f'<line class="{name}" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}"/>'
        )
    for name, points in lines:
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="line {name}" points="{path}"/>')
    for name, x, y, title in dots:
        parts.append(
            f'<circle class="{name}" cx="{across(x):.1f}" cy="{down(y):.1f}" r="4.5">'
            f"<title>{escaped(title)}</title></circle>"
        )
    return "".join(parts) + "</svg>"
