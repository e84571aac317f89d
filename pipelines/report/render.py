"""One self-contained HTML file from the materials of an experiment."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from pipelines.report.charts import Chart
from pipelines.report.gather import Materials
from pipelines.report.view import build_view
from pipelines.spec import Experiment
from pipelines.steps.events import Closed

__all__ = ["chart_svg", "render", "render_closing"]

LEGEND_LINE = 20
"""height of a line of the legend of `chart_svg`"""
_TEMPLATES = resources.files("pipelines.report") / "templates"


def render(materials: Materials, spec_yaml: str, notice: str = "", options: str = "") -> str:
    """The page: styles, charts and pictures inside, nothing loaded from elsewhere.

    notice: what the reader has to know first, such as that it is not all there.
    options: what the commands shown need to find the same things, such as `--store DIR`.
    """
    page = _environment().get_template("report.html.j2")
    return page.render(
        view=build_view(materials, spec_yaml, options), notice=notice, css=Markup(_css())
    )


def render_closing(spec: Experiment, closed: Closed) -> str:
    """A short page: how an experiment ended, and the names of what it made."""
    page = _environment().get_template("closing.html.j2")
    return page.render(spec=spec, closed=closed, css=Markup(_css()))


def chart_svg(chart: Chart) -> str:
    """A chart as a picture of its own, in the report's ink on white, for a page of Markdown.

    What the report says of the lines in a list above the chart stands below it, in the picture.
    """
    macros: Any = _environment().get_template("chart.svg.j2").module
    figure = str(macros.line_chart(chart))
    svg = figure[figure.index("<svg") : figure.index("</svg>") + len("</svg>")]
    light = next(line for line in _css().split("}") if line.lstrip().startswith(":root"))
    rules = [line for line in _css().splitlines() if line.startswith(("svg ", ".s1 ", ".s5 "))]
    style = f"{light}}}\n" + "\n".join(rules) + "\ntext { font-family: sans-serif; }"
    opened = f'<svg xmlns="http://www.w3.org/2000/svg" width="{chart.width}" '
    ground = f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
    first, rest = svg.removeprefix("<svg ").split(">", 1)
    legend = str(macros.legend(chart)) if len(chart.drawn) > 1 else ""
    height = chart.height + len(chart.drawn) * LEGEND_LINE if legend else chart.height
    first = first.replace(f"{chart.width} {chart.height}", f"{chart.width} {height}", 1)
    return f"{opened}{first}>{ground}{rest.removesuffix('</svg>')}{legend}</svg>\n"


def _css() -> str:
    return (_TEMPLATES / "report.css").read_text("utf-8")


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (_TEMPLATES / name).read_text("utf-8")),
        # Everything is escaped, whatever a template's name ends with: file names and captions are
        # strangers' text. Only the style sheet, our own file, goes in as it is.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
