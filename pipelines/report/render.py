"""One self-contained HTML file from the materials of an experiment."""

from __future__ import annotations

from importlib import resources

import jinja2
from markupsafe import Markup

from pipelines.report.gather import Materials
from pipelines.report.view import build_view

__all__ = ["render"]


def render(materials: Materials, spec_yaml: str) -> str:
    """The page: styles, charts and pictures inside, nothing loaded from elsewhere."""
    templates = resources.files("pipelines.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text("utf-8")),
        # Everything is escaped, whatever a template's name ends with: file names and captions are
        # strangers' text. Only the style sheet, our own file, goes in as it is.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (templates / "report.css").read_text("utf-8")
    page = environment.get_template("report.html.j2")
    return page.render(view=build_view(materials, spec_yaml), css=Markup(css))
