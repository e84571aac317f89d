"""The dashboards of what is trained: of an experiment's runs side by side, and of runs in depth."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from tools.monitoring.panels import Query, board, grid, lines, number, query_variable

__all__ = ["experiment_board", "training_board"]

_RUN = '{run=~"$run"}'
_OF_EXPERIMENT = '{run=~"($experiment)(-.*)?"}'
_RUNS = "label_values(tagloom_training_start_timestamp_seconds, run)"


def experiment_board() -> builders.Dashboard:
    """An experiment: its runs, how far each is, which one leads, and what the stages did."""

    def of(name: str) -> str:
        return f"tagloom_training_{name}{_OF_EXPERIMENT}"

    by_run = "max by (run) ({})".format
    experiments = query_variable("experiment", "Experiment", _RUNS).regex(
        "/^(.*?)(?:-[0-9a-f]{10})?$/"  # a run is called <experiment>-<hash of what it is>
    )
    return (
        board(
            "tagloom-experiment",
            "Tagloom: experiment",
            "The runs of an experiment side by side. A run is here while it is trained; afterwards "
            "its scores are in the experiment's report.",
            hours=24,
        )
        .with_variable(experiments)
        .with_row(builders.Row("Runs"))
        .with_panel(
            grid(
                "Runs in training",
                "What each run is, how much of it is done, and how long it will take at its speed.",
                Query(f"max by (run, config, dataset, start) ({of('run_info')})", "info"),
                Query(by_run(f"{of('images_seen')} / {of('images_wanted')} * 100")),
                Query(
                    by_run(
                        f"({of('images_wanted')} - {of('images_seen')}) / 1000"
                        f" * {of('seconds_per_kimg')} / 3600"
                    )
                ),
                Query(by_run(of("snapshot_score"))),
                columns={
                    "run": "Run",
                    "config": "Network",
                    "dataset": "Dataset",
                    "start": "Start",
                    "Value #B": "Done, %",
                    "Value #C": "To go, hours",
                    "Value #D": "Last score",
                },
            )
        )
        .with_panel(
            lines(
                "Score of the last snapshot",
                "Kernel distance to real images, where snapshots are scored on the way; lower is "
                "better.",
                "short",
                Query(by_run(of("snapshot_score")), "{{run}}"),
                span=12,
                logarithmic=True,
            )
        )
        .with_panel(
            lines(
                "Progress",
                "Images seen over images wanted.",
                "percentunit",
                Query(by_run(f"{of('images_seen')} / {of('images_wanted')}"), "{{run}}"),
                span=12,
                high=1,
            )
        )
        .with_panel(
            lines(
                "Augmentation probability",
                "ADA's p. Above 0.8 augmentations begin to show in the images.",
                "percentunit",
                Query(by_run(of("augment_probability_ratio")), "{{run}}"),
                high=1,
            )
        )
        .with_panel(
            lines(
                "Variety of the samples",
                "Distance between samples over that between training images; 1 is as varied.",
                "percentunit",
                Query(by_run(of("sample_diversity_ratio")), "{{run}}"),
            )
        )
        .with_panel(
            lines(
                "Alarms",
                "1 while a run raises the alarm.",
                "short",
                Query(f"max by (run, kind) ({of('alarm')}) > 0", "{{run}}: {{kind}}"),
                high=1,
            )
        )
        .with_row(builders.Row("Stages, of all experiments"))
        .with_panel(
            lines(
                "Operations that ended",
                "Collections, datasets, trainings and evaluations within an hour, by outcome.",
                "short",
                Query(
                    "sum by (method, outcome) (increase(tagloom_operations_ended_total[1h])) > 0",
                    "{{method}} {{outcome}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Photos collected and judged",
                "Within an hour.",
                "short",
                Query(
                    "sum by (state) (increase(tagloom_scraper_items_total[1h]))",
                    "collected: {{state}}",
                ),
                Query(
                    "sum by (verdict) (increase(tagloom_filter_images_total[1h]))",
                    "judged: {{verdict}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Evaluations",
                "Finished within an hour, by whether training brought the generator nearer to the "
                "target beyond doubt; and the snapshots in them.",
                "short",
                Query(
                    "sum by (outcome) (increase(tagloom_evaluator_gates_total[1h]))", "{{outcome}}"
                ),
                Query("sum(increase(tagloom_evaluator_snapshots_total[1h]))", "snapshots"),
            )
        )
    )


def training_board() -> builders.Dashboard:
    """Runs in depth: what the official program writes into its log, and how the machine fares."""

    def of(name: str, legend: str = "{{run}}") -> Query:
        return Query(f"max by (run) (tagloom_training_{name}{_RUN})", legend)

    def age(name: str) -> Query:
        return Query(f"time() - max by (run) (tagloom_training_{name}{_RUN})", "{{run}}")

    return (
        board(
            "tagloom-training",
            "Tagloom: training",
            "Runs while they are trained: progress, losses, augmentation, memory. "
            "`tagloom get runs/ID` has the same numbers of a run that has ended.",
        )
        .with_variable(query_variable("run", "Run", _RUNS))
        .with_panel(
            number(
                "Runs in training",
                "That some trainer follows now.",
                "short",
                Query("count(max by (run) (tagloom_training_start_timestamp_seconds))"),
                empty="0",
            )
        )
        .with_panel(
            number(
                "Oldest progress",
                "A training that lives tells about it each second.",
                "s",
                Query(f"max({age('last_progress_timestamp_seconds').expr})"),
                bad_from=900,
            )
        )
        .with_panel(
            number(
                "Oldest last snapshot",
                "How much would be lost with the full state.",
                "s",
                Query(f"max({age('last_snapshot_timestamp_seconds').expr})"),
            )
        )
        .with_panel(
            number(
                "Updates left out",
                "Their gradients were not finite.",
                "short",
                Query(f"max({of('updates_left_out').expr})"),
                bad_from=1,
            )
        )
        .with_panel(
            number(
                "Score rises in a row",
                "Snapshots that got worse one after the other.",
                "short",
                Query(f"max({of('score_rises').expr})"),
                bad_from=4,
            )
        )
        .with_panel(
            number(
                "Restarts, 24 h",
                "Training processes that died and were started again.",
                "short",
                Query("sum(increase(tagloom_training_restarts_total[24h]))"),
                bad_from=1,
            )
        )
        .with_row(builders.Row("Progress"))
        .with_panel(
            lines(
                "kimg",
                "Thousands of images shown to D.",
                "short",
                Query(f"max by (run) (tagloom_training_images_seen{_RUN}) / 1000", "{{run}}"),
                of("tick_kimg", "{{run}}, last tick"),
            )
        )
        .with_panel(
            lines("Seconds per kimg", "Of training, scoring left out.", "s", of("seconds_per_kimg"))
        )
        .with_panel(
            lines(
                "Age of the last snapshot",
                "Rises until the next one is made.",
                "s",
                age("last_snapshot_timestamp_seconds"),
            )
        )
        .with_panel(
            lines(
                "Score",
                "Kernel distance of the last snapshot; lower is better.",
                "short",
                of("snapshot_score"),
                logarithmic=True,
            )
        )
        .with_panel(
            lines(
                "Alarms",
                "Raised now; `tagloom get` has the run's own words.",
                "short",
                Query(
                    f"max by (run, kind) (tagloom_training_alarm{_RUN}) > 0", "{{run}}: {{kind}}"
                ),
                high=1,
            )
        )
        .with_panel(
            lines(
                "Trainings that ended",
                "Within an hour, by outcome.",
                "short",
                Query(
                    "sum by (outcome) (increase(tagloom_training_runs_ended_total[1h]))",
                    "{{outcome}}",
                ),
                Query("sum(increase(tagloom_training_runs_started_total[1h]))", "taken on"),
            )
        )
        .with_row(builders.Row("Generator against discriminator"))
        .with_panel(
            lines(
                "Losses",
                "Means over a tick.",
                "short",
                of("g_loss", "G, {{run}}"),
                of("d_loss", "D, {{run}}"),
                low=None,
            )
        )
        .with_panel(
            lines(
                "Scores that D gives",
                "Real and generated images; apart is confident.",
                "short",
                of("real_score", "real, {{run}}"),
                of("fake_score", "generated, {{run}}"),
                low=None,
            )
        )
        .with_panel(
            lines(
                "Gradient norms",
                "Means over a tick, main phases.",
                "short",
                of("g_gradient_norm", "G, {{run}}"),
                of("d_gradient_norm", "D, {{run}}"),
                logarithmic=True,
            )
        )
        .with_panel(
            lines(
                "Penalties",
                "R1's before it is weighted by gamma, that of path lengths (StyleGAN2) before its "
                "weight.",
                "short",
                of("r1_penalty", "R1, {{run}}"),
                of("path_penalty", "path lengths, {{run}}"),
                logarithmic=True,
            )
        )
        .with_panel(
            lines(
                "Augmentation",
                "p, the sign of the real scores that drives it, and that of generated images'.",
                "percentunit",
                of("augment_probability_ratio", "p, {{run}}"),
                of("real_sign_ratio", "sign of real scores, {{run}}"),
                of("fake_sign_ratio", "sign of fake scores, {{run}}"),
                low=None,
            )
        )
        .with_panel(
            lines(
                "Variety and overfitting",
                "Samples' distances over training images'; how far D tells held-out from "
                "training images (1: it takes them for generated ones).",
                "percentunit",
                of("sample_diversity_ratio", "variety, {{run}}"),
                of("overfitting_ratio", "overfitting, {{run}}"),
                low=None,
            )
        )
        .with_row(builders.Row("Memory"))
        .with_panel(
            lines(
                "Memory of the machine",
                "Peak of the training process (rank 0).",
                "bytes",
                of("peak_memory_bytes"),
                span=12,
            )
        )
        .with_panel(
            lines(
                "Memory of the GPU",
                "Most that tensors took within a tick; what nobody used; all of it.",
                "bytes",
                of("gpu_memory_peak_bytes", "tensors, {{run}}"),
                of("gpu_memory_free_bytes", "free, {{run}}"),
                of("gpu_memory_total_bytes", "in all, {{run}}"),
                span=12,
            )
        )
    )
