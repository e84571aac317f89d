"""The dashboard of the object store below the services."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from tools.monitoring.panels import Query, board, lines, number, quantiles

__all__ = ["store_board"]


def store_board() -> builders.Dashboard:
    """The store as the services meet it, and MinIO's own word where it is MinIO."""
    seconds = "tagloom_store_request_seconds"
    return (
        board(
            "tagloom-store",
            "Tagloom: store",
            "What the services and their workers ask of the object store, and how it answers.",
        )
        .with_panel(
            number(
                "Failures, 1 h",
                "After all repetitions.",
                "short",
                Query("sum(increase(tagloom_store_failures_total[1h]))"),
                bad_from=1,
            )
        )
        .with_panel(
            number(
                "Repetitions, 1 h",
                "Requests that were sent again.",
                "short",
                Query("sum(increase(tagloom_store_retries_total[1h]))"),
            )
        )
        .with_panel(
            number(
                "Space left",
                "As MinIO tells; other stores tell nothing.",
                "percentunit",
                Query(
                    "minio_cluster_capacity_usable_free_bytes"
                    " / minio_cluster_capacity_usable_total_bytes"
                ),
                bad_below=0.1,
                empty="not MinIO",
            )
        )
        .with_row(builders.Row("Requests of the services"))
        .with_panel(
            lines(
                "Requests",
                "Per second.",
                "reqps",
                Query(f"sum by (request) (rate({seconds}_count[$__rate_interval]))", "{{request}}"),
            )
        )
        .with_panel(
            lines(
                "Time of requests",
                "Half of them, and 99 of 100, are answered within.",
                "s",
                *quantiles(f"{seconds}_bucket", "", "request"),
                logarithmic=True,
            )
        )
        .with_panel(
            lines(
                "Time spent in the store",
                "Seconds per second, over all threads.",
                "s",
                Query(f"sum by (request) (rate({seconds}_sum[$__rate_interval]))", "{{request}}"),
            )
        )
        .with_panel(
            lines(
                "Failures",
                "Per minute, by reason.",
                "short",
                Query(
                    "sum by (request, reason) "
                    "(rate(tagloom_store_failures_total[$__rate_interval])) * 60 > 0",
                    "{{request}}: {{reason}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Share that fails",
                "",
                "percentunit",
                Query(
                    "sum(rate(tagloom_store_failures_total[$__rate_interval]))"
                    f" / sum(rate({seconds}_count[$__rate_interval]))",
                    "failing",
                ),
            )
        )
        .with_panel(
            lines(
                "Repetitions",
                "Per minute: the store was slow, busy or away.",
                "short",
                Query("sum(rate(tagloom_store_retries_total[$__rate_interval])) * 60", "repeated"),
            )
        )
        .with_row(builders.Row("MinIO"))
        .with_panel(
            lines(
                "Space",
                "Usable for objects.",
                "bytes",
                Query("minio_cluster_capacity_usable_free_bytes", "free"),
                Query("minio_cluster_capacity_usable_total_bytes", "in all"),
            )
        )
        .with_panel(
            lines(
                "Requests to MinIO",
                "Per second.",
                "reqps",
                Query("sum by (api) (rate(minio_s3_requests_total[$__rate_interval]))", "{{api}}"),
            )
        )
        .with_panel(
            lines(
                "Traffic",
                "Bytes per second.",
                "Bps",
                Query("sum(rate(minio_s3_traffic_received_bytes[$__rate_interval]))", "received"),
                Query("sum(rate(minio_s3_traffic_sent_bytes[$__rate_interval]))", "sent"),
            )
        )
    )
