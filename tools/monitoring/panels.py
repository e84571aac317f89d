"""The few kinds of panel that our dashboards are made of, all looking alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = ["Query", "board", "grid", "lines", "number", "quantiles", "query_variable"]

_SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT = 8


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and how Grafana names the series that it gives."""

    expr: str
    legend: str = ""


def board(uid: str, title: str, description: str, *, hours: int = 6) -> builders.Dashboard:
    """An empty dashboard with the variable `datasource`, linked to the other ones of ours."""
    links = (
        builders.DashboardLink("Tagloom")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["tagloom"])
        .as_dropdown(True)
        .keep_time(True)
    )
    return (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["tagloom"])
        .readonly()
        .timezone(common.TimeZoneBrowser)
        .refresh("30s")
        .time(f"now-{hours}h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(links)
        .with_variable(
            builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )


def query_variable(name: str, label: str, query: str) -> builders.QueryVariable:
    """A choice of some or all values of a label, as `label_values(metric, label)` gives them."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(_SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    span: int = 8,
    low: float | None = 0,
    high: float | None = None,
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Curves over time. unit: one of Grafana's, such as s, bytes, percentunit, short."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
        .unit(unit)
        .span(span)
        .height(_HEIGHT)
        .line_width(1.5)
        .fill_opacity(5)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if low is not None and not logarithmic:
        panel.min(low)
    if high is not None:
        panel.max(high)
    if logarithmic:
        panel.scale_distribution(
            common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        )
    for query in _targets(queries):
        panel.with_target(query.range())
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    span: int = 4,
    bad_from: float | None = None,
    bad_below: float | None = None,
    empty: str = "none",
) -> stat.Panel:
    """What is so now. bad_from, bad_below: red from there up, or below. empty: said if no data."""
    steps = [models.Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(models.Threshold(value=bad_from, color="red"))
    if bad_below is not None:
        steps = [
            models.Threshold(value=None, color="red"),
            models.Threshold(value=bad_below, color="green"),
        ]
    (target,) = _targets([query])
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
        .unit(unit)
        .span(span)
        .height(_HEIGHT // 2)
        .no_value(empty)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .with_target(target.instant())
    )


def grid(
    title: str, description: str, *queries: Query, columns: dict[str, str], span: int = 24
) -> table.Panel:
    """What is so now, a row for each run.

    queries: each gives a column, called by its legend. columns: from label or legend to the
    heading, in their order; what is not among them is left out.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
        .span(span)
        .height(_HEIGHT)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="filterFieldsByName", options={"include": {"names": list(columns)}}
            )
        )
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "renameByName": columns,
                    "indexByName": {name: index for index, name in enumerate(columns)},
                },
            )
        )
    )
    for target in _targets(queries):
        panel.with_target(target.instant().format(PromQueryFormat.TABLE))
    return panel


def _targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery()
        .datasource(_SOURCE)
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .ref_id(chr(ord("A") + index))
        for index, query in enumerate(queries)
    ]


def quantiles(
    buckets: str, matchers: str, by: str, window: str = "$__rate_interval"
) -> tuple[Query, Query]:
    """p50 and p99 of a histogram, by one more label where `by` names one."""
    labels = f"le, {by}" if by else "le"
    rate = f"sum by ({labels}) (rate({buckets}{{{matchers}}}[{window}]))"
    name = f"{{{{{by}}}}}" if by else ""
    return (
        Query(f"histogram_quantile(0.5, {rate})", f"p50 {name}".strip()),
        Query(f"histogram_quantile(0.99, {rate})", f"p99 {name}".strip()),
    )
