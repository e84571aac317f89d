"""Axes, numbers and geometry of the report's charts."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.charts import Chart, Point, Series, nice_ticks, number
from pipelines.report.render import chart_svg

finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4))


@given(finite, finite, st.integers(2, 10))
def test_ticks_are_round_evenly_spaced_and_span_the_range(a: float, b: float, count: int) -> None:
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high, count)
    steps = {round(y - x, 9) for x, y in itertools.pairwise(ticks)}
    assert 2 <= len(ticks) <= count + 2
    assert max(steps) - min(steps) <= 1e-6 * max(steps)
    slack = 1e-6 * max(steps)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    digits = max(steps) / 10 ** math.floor(math.log10(max(steps)) + 1e-9)
    assert min(abs(digits - d) for d in (1, 2, 5, 10)) < 1e-3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.3, "0.3"),
        (1234.5, "1,234"),
        (0.031249, "0.03125"),
        (-2, "\N{MINUS SIGN}2"),
        (1e-9, "0"),
        (6.0, "6"),
        (math.nan, "\N{EN DASH}"),
    ],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


@given(st.lists(st.tuples(st.floats(0, 1e4), finite, st.floats(0, 10)), min_size=1, max_size=20))
def test_all_points_and_intervals_lie_inside_the_plot(
    data: list[tuple[float, float, float]],
) -> None:
    points = [Point(x, y, y - half, y + half) for x, y, half in data]
    chart = Chart("t", "kimg", [Series("s", 1, points, markers=True)], zero_based=True)
    (drawn,) = chart.drawn
    assert len(drawn.dots) == len(points)
    for x, y, _ in drawn.dots:
        assert chart.left - 0.1 <= x <= chart.right + 0.1
        assert chart.top - 0.1 <= y <= chart.bottom + 0.1
    for _, low, high in drawn.whiskers:
        assert chart.top - 0.1 <= high <= low <= chart.bottom + 0.1


def test_larger_values_are_drawn_higher_and_later_ones_further_right() -> None:
    chart = Chart("t", "kimg", [Series("s", 1, [Point(0, 1), Point(1, 2), Point(2, 3)])])
    xs = [x for x, _, _ in chart.drawn[0].dots]
    ys = [y for _, y, _ in chart.drawn[0].dots]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)


def test_what_is_not_a_number_is_left_out() -> None:
    points = [Point(0, 1), Point(1, math.nan), Point(2, 3)]
    assert len(Chart("t", "kimg", [Series("s", 1, points)]).drawn[0].dots) == 2


def test_a_run_without_ticks_still_has_axes() -> None:
    chart = Chart("t", "kimg", [Series("s", 1, [])])
    assert chart.x_ticks
    assert chart.y_ticks


def test_a_chart_of_its_own_is_whole_svg_with_its_own_ink() -> None:
    points = [Point(0, 0.4, 0.3, 0.5), Point(5, 0.2, 0.1, 0.3)]
    svg = chart_svg(Chart("Distance", "kimg", [Series("a & b", 1, points, markers=True)]))
    root = ElementTree.fromstring(svg)
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    (line,) = root.iter(f"{name}polyline")
    assert len((line.get("points") or "").split()) == 2
    titles = [title.text for title in root.iter(f"{name}title")]
    assert titles[0] == "a & b: 0.4 at 0 kimg (95 % interval 0.3 to 0.5)"
    (style,) = root.iter(f"{name}style")
    assert "--series-1:" in (style.text or "")
    assert "http" not in (style.text or "")
