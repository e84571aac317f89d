"""Turns the materials of a report into what the template prints."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.charts import Chart, number
from pipelines.report.checks import Findings, findings
from pipelines.report.gather import Materials, RunMaterials
from pipelines.report.pictures import Picture, sample
from pipelines.report.scores import (
    ScoreRow,
    best_kernel_distance,
    glossary,
    score_charts,
    score_names,
    score_rows,
)
from pipelines.report.training import RunView, run_view
from pipelines.report.walls import LeftOut, Photo, VerdictRow, left_out, verdict_rows, walls
from pipelines.report.words import count, duration
from pipelines.spec import Credit
from tagloom.v1 import filter_pb2

__all__ = ["Banner", "View", "build_view"]


@dataclass(frozen=True, slots=True)
class Banner:
    """The verdict on one run."""

    label: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class View:
    """Everything on the page, in its order."""

    title: str
    experiment: str
    made: str
    version: str
    lead: str
    banners: list[Banner]
    hero: list[Picture]
    hero_caption: str
    collected: str
    counts: list[tuple[str, str]]
    findings: Findings
    kept: list[Photo]
    kept_total: int
    rejected: list[Photo]
    rejected_total: int
    left_out: list[LeftOut]
    left_out_total: int
    filtered: str
    checks: list[Any]
    verdicts: list[VerdictRow]
    verdicts_total: int
    scored: str
    score_charts: list[Chart]
    score_names: list[str]
    score_rows: list[ScoreRow]
    glossary: list[tuple[str, str]]
    runs: list[RunView]
    timings: list[tuple[str, str]]
    spec_yaml: str
    resources: list[tuple[str, str]]
    credits: Sequence[Credit]
    commands: list[str]


def build_view(materials: Materials, spec_yaml: str, options: str = "") -> View:
    """Lays out `materials`; `spec_yaml` is the experiment file as it was run.

    options: what a command needs to find the same things, such as `--store DIR`.
    """
    options = f" {options}" if options else ""
    collection, dataset = materials.collection, materials.dataset
    best = best_run(materials.runs)
    kept, rejected = walls(materials)
    checks, rows = verdict_rows(materials)
    missing = left_out(materials.items)
    return View(
        title=materials.spec.title or materials.spec.experiment,
        experiment=materials.spec.experiment,
        made=materials.made.strftime("%-d %B %Y, %H:%M UTC"),
        version=importlib.metadata.version("tagloom"),
        lead=_lead(materials, best),
        banners=[
            Banner(run.label, run.evaluation.gate.passed, run.evaluation.gate.sentence)
            for run in materials.runs
        ],
        hero=[sample(png, f"seed {seed}") for seed, png in enumerate(best.best_samples)],
        hero_caption=(
            f"Seeds 0 to {len(best.best_samples) - 1} of {best.evaluation.best_snapshot}, the "
            "snapshot with the best kernel distance. Untouched: no picking, no truncation, "
            f"{best.run.resolution} pixels wide."
        ),
        collected=_collected(materials),
        counts=[
            (f"{collection.item_count:,}", "files met"),
            (f"{collection.stored_count:,}", "photos stored"),
            (f"{collection.duplicate_count:,}", "duplicates"),
            (f"{collection.skipped_count + collection.refused_count:,}", "not taken"),
            (f"{dataset.kept_count:,}", "photos kept"),
            (f"{dataset.rejected_count:,}", "photos rejected"),
            (f"{dataset.train_count:,}", "squares to train on"),
            (f"{dataset.held_out_count:,}", "squares held out"),
        ],
        findings=findings(materials.verdicts),
        kept=kept,
        kept_total=dataset.kept_count,
        rejected=rejected,
        rejected_total=dataset.rejected_count,
        left_out=missing,
        left_out_total=collection.item_count - collection.stored_count,
        filtered=_filtered(materials),
        checks=checks,
        verdicts=rows,
        verdicts_total=dataset.judged_count,
        scored=_scored(best),
        score_charts=score_charts(materials.runs),
        score_names=score_names(materials.runs),
        score_rows=score_rows(materials.runs),
        glossary=glossary(materials.runs),
        runs=[run_view(run) for run in materials.runs],
        timings=_timings(materials),
        spec_yaml=spec_yaml.strip(),
        resources=_resources(materials, best),
        credits=materials.spec.credits,
        commands=[
            f"tagloom generate --network {best.evaluation.best_snapshot} --seeds 0-15 "
            f"--out pictures{options}",
            f"tagloom verdicts {dataset.name.removeprefix('datasets/')} --overlays overlays"
            f"{options}",
        ],
    )


def best_run(runs: Sequence[RunMaterials]) -> RunMaterials:
    """The run whose best snapshot has the lowest kernel distance."""
    return min(runs, key=lambda run: best_kernel_distance(run.evaluation))


def _lead(materials: Materials, best: RunMaterials) -> str:
    collection, dataset, run = materials.collection, materials.dataset, best.run
    start = run.start.removeprefix("networks/")
    origin = f"starting from {start}" if start else "from scratch"
    runs = len(materials.runs)
    several = f"The best of {runs} runs: a" if runs > 1 else "A"
    return (
        f"{several} {resolution_name(best)} generator, trained {origin} on "
        f"{count(dataset.train_count, 'square')} cut from {count(dataset.kept_count, 'photo')} "
        f"(of {count(collection.stored_count, 'photo')} collected), for "
        f"{number(run.images_seen / 1000)} thousand images in {duration(run.seconds)}."
    )


def resolution_name(run: RunMaterials) -> str:
    """`StyleGAN3-T, 32 px`."""
    names = {1: "StyleGAN3-T", 2: "StyleGAN3-R", 3: "StyleGAN2"}
    name = names.get(run.run.options.config, "StyleGAN3-T")
    return f"{name} {run.run.resolution} px"


def _collected(materials: Materials) -> str:
    collection = materials.collection
    match collection.WhichOneof("source"):
        case "folder":
            where = f"From the folder {collection.folder.path}."
        case "zip":
            where = f"From the zip file {collection.zip.path}."
        case "s3":
            where = f"From the S3 prefix {collection.s3.url}."
        case "urls":
            where = f"From a list of addresses ({collection.urls.count:,})."
        case "hashtag":
            names = [collection.hashtag.hashtag, *collection.hashtag.more_hashtags]
            several = "hashtags" if len(names) > 1 else "hashtag"
            where = f"From Instagram's {several} {', '.join('#' + name for name in names)}."
        case _:
            names = [collection.profile.profile, *collection.profile.more_profiles]
            several = "profiles" if len(names) > 1 else "profile"
            where = f"From the Instagram {several} {', '.join(names)}."
    return f"{where} Every file is accounted for: stored once, a duplicate, or left with a reason."


def _filtered(materials: Materials) -> str:
    dataset = materials.dataset
    crop = dataset.crop
    output = crop.output_size or dataset.resolution
    if crop.mode == filter_pb2.Crop.MODE_TILES:
        apart = f"overlap by at most {crop.overlap:.0%}" if crop.overlap else "do not overlap"
        cut = (
            f"what stayed was cut into squares of {crop.tile_size or dataset.resolution} px that "
            f"{apart}, reduced to {output} px"
        )
    elif crop.mode == filter_pb2.Crop.MODE_SUBJECT:
        cut = (
            "of what stayed the largest square, moved to where the subject is, was reduced to "
            f"{output} px"
        )
    else:
        cut = f"of what stayed the largest centred square was reduced to {output} px"
    return f"Photos were judged for {dataset.resolution} px; {cut}."


def _scored(best: RunMaterials) -> str:
    evaluation = best.evaluation
    features = evaluation.features
    last = evaluation.snapshots[-1]
    against = "squares held out from training" if evaluation.held_out else "the training squares"
    return (
        f"Each snapshot made {count(last.generated_count, 'image')}, compared with "
        f"{count(last.real_count, 'real image')} ({against}) in the {features.dimensions:,} "
        f"features of {features.extractor}. kimg 0 is the start, before any training here. "
        "Bands and whiskers are 95 % intervals."
    )


def _timings(materials: Materials) -> list[tuple[str, str]]:
    seconds = materials.durations
    names = [(materials.collection.name, "collect"), (materials.dataset.name, "filter")]
    timings = [(duration(seconds[name]), label) for name, label in names if name in seconds]
    several = len(materials.runs) > 1
    for run in materials.runs:
        suffix = f" ({run.label})" if several else ""
        timings.append((duration(run.run.seconds), f"train{suffix}"))
        scored = sum(snapshot.seconds for snapshot in run.evaluation.snapshots)
        timings.append((duration(scored), f"evaluate{suffix}"))
    return timings


def _resources(materials: Materials, best: RunMaterials) -> list[tuple[str, str]]:
    names = [
        ("Collection", materials.collection.name),
        ("Dataset", materials.dataset.name),
    ]
    for run in materials.runs:
        names += [("Run", run.run.name), ("Evaluation", run.evaluation.name)]
    return [
        *names,
        ("Dataset content (SHA-256)", materials.dataset.content_sha256[:16] + "…"),
        ("Held-out content (SHA-256)", (materials.dataset.held_out_sha256[:16] or "none") + "…"),
        ("Features' weights (SHA-256)", best.evaluation.features.weights_sha256[:16] + "…"),
    ]
