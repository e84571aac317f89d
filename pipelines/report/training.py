"""The part of the page about one run: growth of its samples, curves from inside, its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.report.charts import Chart, Point, Reference, Series, number
from pipelines.report.gather import WALK_SEEDS, RunMaterials
from pipelines.report.pictures import Picture, sample
from pipelines.report.scores import family
from pipelines.report.words import TIMES, alarm_sentence, count, duration, size
from tagloom.v1 import trainer_pb2

__all__ = ["Growth", "RunView", "run_view"]


@dataclass(frozen=True, slots=True)
class Growth:
    """One snapshot's samples."""

    kimg: str
    note: str
    pictures: list[Picture]


@dataclass(frozen=True)
class RunView:
    """A run's section."""

    label: str
    sentence: str
    growth: list[Growth]
    walk: list[Picture]
    walk_caption: str
    charts: list[Chart]
    alarms: list[str]
    explained: str
    facts: list[tuple[str, str]]


def run_view(run: RunMaterials) -> RunView:
    """Lays one run out."""
    record = run.run
    start = record.start or "random weights"
    return RunView(
        label=run.label,
        sentence=(
            f"{record.name}: from {start} to {number(record.images_seen / 1000)} kimg in "
            f"{duration(record.seconds)} "
            f"({number(record.images_seen / max(record.seconds, 1e-9))} images a second)."
        ),
        growth=_growth(run),
        walk=[sample(png, f"frame {index}") for index, png in enumerate(run.walk)],
        walk_caption=(
            f"A closed path through seeds 0 to {WALK_SEEDS - 1} of {run.evaluation.best_snapshot}. "
            "Point at a frame to hold it."
        ),
        charts=_charts(run),
        alarms=[alarm_sentence(alarm) for alarm in record.alarms],
        explained=_explained(record.options, max((t.augment_p for t in run.ticks), default=0.0)),
        facts=_facts(record, max((tick.peak_memory_bytes for tick in run.ticks), default=0)),
    )


def _growth(run: RunMaterials) -> list[Growth]:
    rows = []
    for scored in run.evaluation.snapshots:
        if scored.snapshot not in run.samples:
            continue
        kernel = next((s for s in scored.scores if family(s.metric) == "kernel"), None)
        note = f"kernel {number(kernel.value)}" if kernel else ""
        pictures = [
            sample(png, f"{number(scored.kimg)} kimg, seed {seed}")
            for seed, png in enumerate(run.samples[scored.snapshot])
        ]
        rows.append(Growth(number(scored.kimg), note, pictures))
    return rows


def _charts(run: RunMaterials) -> list[Chart]:
    label = "kimg, thousands of images seen"

    def series(name: str, colour: int, field: str, first: Sequence[Point] = ()) -> Series:
        # A tick without a good update has no mean of it.
        values = [(t.kimg, _value(t, field)) for t in run.ticks]
        points = [Point(kimg, value) for kimg, value in values if value is not None]
        return Series(name, colour, [*first, *points])

    options = run.run.options
    # A tick tells what p was at its end; at the very start nothing has been adapted yet. What the
    # other curves show are means over a tick: they begin with the first one.
    fixed = options.augment == trainer_pb2.TrainingOptions.AUGMENT_FIXED
    start = Point(0.0, options.augment_p if fixed else 0.0)
    control = [series("p, how often images are augmented", 1, "augment_p", [start])]
    control.append(series("mean sign of D's scores of real images", 2, "real_sign"))
    adaptive = options.augment in (
        trainer_pb2.TrainingOptions.AUGMENT_UNSPECIFIED,
        trainer_pb2.TrainingOptions.AUGMENT_ADA,
    )
    target = options.ada_target or 0.6
    references = [Reference(target, f"target of the sign: {number(target)}")] if adaptive else []
    return [
        Chart("Augmentation", label, control, references, zero_based=True),
        Chart(
            "Losses",
            label,
            [series("generator", 1, "g_loss"), series("discriminator", 2, "d_loss")],
            zero_based=True,
        ),
        Chart(
            "Scores of the discriminator",
            label,
            [series("real images", 1, "real_score"), series("generated images", 2, "fake_score")],
            zero_based=True,
        ),
        Chart(
            "R1 penalty, before its weight", label, [series("R1", 3, "r1_penalty")], zero_based=True
        ),
    ]


def _value(tick: trainer_pb2.Tick, field: str) -> float | None:
    """The field of the tick; None where the tick does not have it."""
    if tick.DESCRIPTOR.fields_by_name[field].has_presence and not tick.HasField(field):
        return None
    return float(getattr(tick, field))


def _explained(options: trainer_pb2.TrainingOptions, highest_p: float) -> str:
    text = (
        f"The shown generator is a moving average with a half-life of {number(options.ema_kimg)} "
        "kimg"
    )
    usual = options.batch * 10 / 32
    if 0 < options.ema_kimg < usual:
        text += f", shorter than the usual {number(usual)} of this batch, to follow sooner"
    text += ". "
    if options.augment in (0, trainer_pb2.TrainingOptions.AUGMENT_ADA):
        text += (
            "Adaptive augmentation raises p while the discriminator is surer of real images than "
            f"its target (a mean sign of {number(options.ada_target)}) and lowers it otherwise; at "
            f"full speed p goes from 0 to 1 in {number(options.ada_kimg)} kimg. In this run it "
            f"reached {number(round(highest_p, 3))}."
        )
    elif options.augment == trainer_pb2.TrainingOptions.AUGMENT_FIXED:
        text += f"Augmentation is constant at p = {number(options.augment_p)}."
    else:
        text += "Nothing is augmented."
    return text


def _facts(run: trainer_pb2.Run, peak: int) -> list[tuple[str, str]]:
    options = run.options
    mirror = "yes" if options.mirror else "no"
    return [
        ("Images seen", f"{run.images_seen:,} = {run.steps:,} steps {TIMES} {options.batch}"),
        ("Training time", f"{duration(run.seconds)} in {count(run.attempts, 'attempt')}"),
        ("Change of G's parameters", f"{100 * run.g_parameter_change:.2f} % (mean of tensors)"),
        ("Change of D's parameters", f"{100 * run.d_parameter_change:.2f} % (mean of tensors)"),
        ("Learning rates G, D", f"{options.g_learning_rate:g}, {options.d_learning_rate:g}"),
        ("R1 weight", number(options.r1_gamma)),
        ("Channels", f"{options.channel_base:,} / resolution, at most {options.channel_max}"),
        ("Latent size, mapping layers", f"{options.latent_size}, {options.mapping_layers}"),
        ("Moving average half-life", f"{number(options.ema_kimg)} kimg"),
        ("Mirrored images", mirror),
        ("Seed", str(options.seed)),
        ("Dataset content (SHA-256)", run.dataset_sha256[:16] + "…"),
        ("Peak memory", size(peak)),
    ]
