"""The dashboard of the services: servers, calls, operations, and what each of them does."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from tools.monitoring.panels import Query, board, lines, number, quantiles

__all__ = ["services_board"]

_OURS = 'job="tagloom"'
_FAULTS = 'grpc_code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE"'


def services_board() -> builders.Dashboard:
    """Servers, calls, operations, and what is particular to each service."""
    calls = f"grpc_server_handled_total{{{_OURS}}}"
    faults = f"grpc_server_handled_total{{{_OURS}, {_FAULTS}}}"
    return (
        board(
            "tagloom-services",
            "Tagloom: services",
            "Whether the servers are there, what is asked of them, and what waits.",
        )
        .with_panel(
            number(
                "Servers",
                "That answer Prometheus.",
                "short",
                Query(f"sum(up{{{_OURS}}})"),
                bad_below=1,
                empty="0",
            )
        )
        .with_panel(
            number(
                "Servers down",
                "That should answer, and do not.",
                "short",
                Query(f"count(up{{{_OURS}}} == 0)"),
                bad_from=1,
                empty="0",
            )
        )
        .with_panel(
            number(
                "Not ready",
                "The store does not answer them.",
                "short",
                Query("count(tagloom_server_ready == 0)"),
                bad_from=1,
                empty="0",
            )
        )
        .with_panel(
            number(
                "Operations at work",
                "On all servers.",
                "short",
                Query("sum(tagloom_operations_running)"),
                empty="0",
            )
        )
        .with_panel(
            number(
                "Operations that wait",
                "Trainings queue behind each other.",
                "short",
                Query("sum(max by (service) (tagloom_operations_queued))"),
                empty="0",
            )
        )
        .with_panel(
            number(
                "Versions",
                "More than one: an update is under way.",
                "short",
                Query("count(group by (version) (tagloom_server_info))"),
                bad_from=2,
            )
        )
        .with_row(builders.Row("Calls"))
        .with_panel(
            lines(
                "Calls",
                "Per second, by method.",
                "reqps",
                Query(f"sum by (grpc_method) (rate({calls}[$__rate_interval]))", "{{grpc_method}}"),
            )
        )
        .with_panel(
            lines(
                "Failing calls",
                "Share that fails for the server's sake.",
                "percentunit",
                Query(
                    f"sum by (grpc_method) (rate({faults}[$__rate_interval]))"
                    f" / sum by (grpc_method) (rate({calls}[$__rate_interval]))",
                    "{{grpc_method}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Time of calls",
                "Half of them, and 99 of 100, are answered within.",
                "s",
                *quantiles("grpc_server_handling_seconds_bucket", _OURS, "grpc_method"),
            )
        )
        .with_row(builders.Row("Operations"))
        .with_panel(
            lines(
                "Queue",
                "What waits for a free server.",
                "short",
                Query("max by (service) (tagloom_operations_queued)", "{{service}}"),
            )
        )
        .with_panel(
            lines(
                "Age of the oldest that waits",
                "",
                "s",
                Query(
                    "time() - min by (service) "
                    "(tagloom_operations_oldest_queued_timestamp_seconds)",
                    "{{service}}",
                ),
            )
        )
        .with_panel(
            lines(
                "At work",
                "On all servers of a service.",
                "short",
                Query("sum by (service) (tagloom_operations_running)", "{{service}}"),
            )
        )
        .with_panel(
            lines(
                "Attempts",
                "Begun and ended within an hour.",
                "short",
                Query(
                    "sum by (service) (increase(tagloom_operations_started_total[1h]))",
                    "{{service}}: begun",
                ),
                Query(
                    "sum by (service, outcome) (increase(tagloom_operations_ended_total[1h])) > 0",
                    "{{service}}: {{outcome}}",
                ),
                span=12,
            )
        )
        .with_panel(
            lines(
                "Time of an attempt",
                "Half of them, and 99 of 100, are done within.",
                "s",
                *quantiles("tagloom_operations_attempt_seconds_bucket", "", "method", "1h"),
                span=12,
            )
        )
        .with_row(builders.Row("Scraper and filter"))
        .with_panel(
            lines(
                "Requests to Instagram",
                "Per minute, by what came of them.",
                "short",
                Query(
                    "sum by (kind, outcome) "
                    "(rate(tagloom_scraper_requests_total[$__rate_interval])) * 60",
                    "{{kind}}: {{outcome}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Instagram refuses",
                "1 while it does, by reason; and the pause left.",
                "short",
                Query("max by (reason) (tagloom_scraper_locked_out) > 0", "{{reason}}"),
                Query(
                    "clamp_min(max(tagloom_scraper_paused_until_timestamp_seconds)"
                    " - time(), 0) / 60",
                    "minutes of pause left",
                ),
                Query(
                    "sum by (reason) (rate(tagloom_scraper_wait_seconds_total[$__rate_interval]))",
                    "share of time waited: {{reason}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Processor time of the filter",
                "Per second, by check.",
                "s",
                Query(
                    "sum by (check) (rate(tagloom_filter_check_seconds_total[$__rate_interval]))",
                    "{{check}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Photos judged",
                "Within an hour; rejected ones under each check.",
                "short",
                Query(
                    "sum by (verdict, check) (increase(tagloom_filter_images_total[1h]))",
                    "{{verdict}} {{check}}",
                ),
                Query(
                    "sum(increase(tagloom_filter_scanned_images_total[1h]))", "decoded and scored"
                ),
                span=12,
            )
        )
        .with_panel(
            lines(
                "Photos collected",
                "Within an hour, of finished collections.",
                "short",
                Query(
                    "sum by (source, state) (increase(tagloom_scraper_items_total[1h]))",
                    "{{source}}: {{state}}",
                ),
                span=12,
            )
        )
        .with_row(builders.Row("Generator"))
        .with_panel(
            lines(
                "Images",
                "Rendered and failed, per second.",
                "short",
                Query("sum(rate(tagloom_generator_images_total[$__rate_interval]))", "rendered"),
                Query(
                    "sum(rate(tagloom_generator_failed_images_total[$__rate_interval]))", "failed"
                ),
                Query("sum(tagloom_generator_waiting_images)", "waiting"),
            )
        )
        .with_panel(
            lines(
                "Time to an image",
                "Waiting included.",
                "s",
                *quantiles("tagloom_generator_image_seconds_bucket", "", ""),
            )
        )
        .with_panel(
            lines(
                "Images in a batch",
                "Mean; more are better used.",
                "short",
                Query(
                    "sum(rate(tagloom_generator_batch_images_sum[$__rate_interval]))"
                    " / sum(rate(tagloom_generator_batch_images_count"
                    "[$__rate_interval]))",
                    "images",
                ),
            )
        )
        .with_row(builders.Row("Processes"))
        .with_panel(
            lines(
                "Memory",
                "Of the server processes; workers are not in it.",
                "bytes",
                Query(f"process_resident_memory_bytes{{{_OURS}}}", "{{instance}}"),
                span=12,
            )
        )
        .with_panel(
            lines(
                "Processor time",
                "Of the server processes, per second.",
                "s",
                Query(
                    f"rate(process_cpu_seconds_total{{{_OURS}}}[$__rate_interval])", "{{instance}}"
                ),
                span=12,
            )
        )
    )
