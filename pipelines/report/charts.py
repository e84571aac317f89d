"""Line charts as inline SVG: geometry here, ink in `templates/chart.svg.j2`.

Colours are CSS variables of the page (`--series-1` …), so a chart follows light and dark mode.
Every point carries a `<title>`, which browsers show as a tooltip and screen readers can read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.report.words import MISSING

__all__ = ["Chart", "Point", "Reference", "Series", "number"]

WIDTH, HEIGHT = 560, 270
LEFT, RIGHT, TOP, BOTTOM = 54, 18, 14, 40


@dataclass(frozen=True, slots=True)
class Point:
    """One measured value; `low` and `high` bound its 95 % interval where one is known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name, and the number of its colour (1 to 8)."""

    name: str
    colour: int
    points: Sequence[Point]
    markers: bool = False
    """draw every point; for few ones"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A dashed level to compare with."""

    y: float
    name: str


@dataclass(frozen=True, slots=True)
class _Drawn:
    name: str
    colour: int
    line: str
    band: str
    whiskers: list[tuple[float, float, float]]
    dots: list[tuple[float, float, str]]
    markers: bool


@dataclass
class Chart:
    """Series over one x axis, laid out for the template."""

    title: str
    x_label: str
    series: Sequence[Series]
    references: Sequence[Reference] = ()
    zero_based: bool = False
    """keep 0 on the y axis"""
    y_range: tuple[float, float] | None = None
    width: int = WIDTH
    height: int = HEIGHT
    x_ticks: list[tuple[float, str]] = field(init=False)
    y_ticks: list[tuple[float, str]] = field(init=False)
    drawn: list[_Drawn] = field(init=False)
    levels: list[tuple[float, str]] = field(init=False)

    def __post_init__(self) -> None:
        points = [point for series in self.series for point in series.points]
        xs = [0.0, *(point.x for point in points)]  # a run begins at kimg 0
        ys = [
            value
            for point in points
            for value in (point.y, point.low, point.high)
            if value is not None and math.isfinite(value)
        ] or [0.0, 1.0]
        ys += [reference.y for reference in self.references]
        low, high = self.y_range or (min(ys), max(ys))
        if self.zero_based:
            low, high = min(low, 0.0), max(high, 0.0)
        x_values = nice_ticks(min(xs), max(xs), 7)
        y_values = nice_ticks(low, high, 5)
        self._x0, self._x1 = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1.0
        self._y0, self._y1 = min(low, y_values[0]), max(high, y_values[-1])
        self.x_ticks = [
            (self._x(v), number(v)) for v in x_values if self._x0 <= v <= self._x1 + 1e-9
        ]
        self.y_ticks = [(self._y(value), number(value)) for value in y_values]
        self.levels = [(self._y(reference.y), reference.name) for reference in self.references]
        self.drawn = [self._draw(series) for series in self.series]

    @property
    def left(self) -> int:
        """Left edge of the plot."""
        return LEFT

    @property
    def right(self) -> int:
        """Right edge of the plot."""
        return self.width - RIGHT

    @property
    def top(self) -> int:
        """Top edge of the plot."""
        return TOP

    @property
    def bottom(self) -> int:
        """Bottom edge of the plot."""
        return self.height - BOTTOM

    @property
    def summary(self) -> str:
        """The chart in words, for those who do not see it."""
        ends = [
            f"{s.name} goes from {number(s.points[0].y)} to {number(s.points[-1].y)}"
            for s in self.series
            if s.points
        ]
        return f"{self.title}: {'; '.join(ends)}."

    def _x(self, value: float) -> float:
        share = (value - self._x0) / (self._x1 - self._x0)
        return round(self.left + share * (self.right - self.left), 2)

    def _y(self, value: float) -> float:
        share = (value - self._y0) / (self._y1 - self._y0)
        return round(self.bottom - share * (self.bottom - self.top), 2)

    def _draw(self, series: Series) -> _Drawn:
        points = [point for point in series.points if math.isfinite(point.y)]
        bounded = [
            (self._x(p.x), self._y(p.low), self._y(p.high))
            for p in points
            if p.low is not None and p.high is not None
        ]
        upper = [f"{x},{high}" for x, _, high in bounded]
        lower = [f"{x},{low}" for x, low, _ in reversed(bounded)]
        dots = []
        for p in points:
            text = f"{series.name}: {number(p.y)} at {number(p.x)} {self.x_label.split(',')[0]}"
            if p.low is not None and p.high is not None:
                text += f" (95 % interval {number(p.low)} to {number(p.high)})"
            dots.append((self._x(p.x), self._y(p.y), text))
        return _Drawn(
            name=series.name,
            colour=series.colour,
            line=" ".join(f"{x},{y}" for x, y, _ in dots),
            band=" ".join(upper + lower) if len(bounded) > 1 else "",
            whiskers=bounded,
            dots=dots,
            markers=series.markers,
        )


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round values that span [low, high]: multiples of 1, 2 or 5 times 10^n."""
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-100):
        spread = abs(low) / 2 if abs(low) > 1e-100 else 1.0
        low, high = low - spread, high + spread
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Rounded, so that 3 * 0.1 is labelled 0.3.
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """For people: four significant digits, a real minus sign, no noise (1,234 or 0.0312)."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 7)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "\N{MINUS SIGN}")
