"""The results as a page: a table, what may be claimed from it, and curves."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks.transfer.cells import CELLS, RESULTS, Cell
from pipelines.report.charts import Chart, Point, Series
from pipelines.report.render import chart_svg

__all__ = ["claim", "write_table"]

PAGE: Final = RESULTS.parent / "README.md"

NAMES: Final = {
    "stylegan2-source-ada": "StyleGAN2, transfer, ADA",
    "stylegan2-scratch-ada": "StyleGAN2, scratch, ADA",
    "stylegan2-source-fixed": "StyleGAN2, transfer, fixed p 0.2",
    "stylegan2-source-none": "StyleGAN2, transfer, no augmentation",
    "stylegan3-t-source-ada": "StyleGAN3-T, transfer, ADA",
    "stylegan3-t-scratch-ada": "StyleGAN3-T, scratch, ADA",
}
QUESTIONS: Final = (
    ("Transfer or scratch?", "stylegan2-source-ada", "stylegan2-scratch-ada"),
    ("ADA or none?", "stylegan2-source-ada", "stylegan2-source-none"),
    ("ADA or fixed?", "stylegan2-source-ada", "stylegan2-source-fixed"),
    ("Fixed or none?", "stylegan2-source-fixed", "stylegan2-source-none"),
    ("Transfer or scratch, StyleGAN3-T?", "stylegan3-t-source-ada", "stylegan3-t-scratch-ada"),
)
Result = dict[str, Any]

INTRODUCTION: Final = """# Does transfer help, and augmentation?
The seed study's two findings in miniature, on real photos: `python -m benchmarks.transfer`
(resumable; `--table` makes this page again from `results/`, a file a run). StyleGAN2 and
StyleGAN3-T at 32 px learn {target} squares of 12 flower photos for 20 kimg, batch 16, and are
judged by {real} squares of 12 other flower photos. The StyleGAN2 runs start from a network that saw
89 photos of animals, fruit and vegetables for 40 kimg, the StyleGAN3-T runs from the packaged
`networks/photos-32` (space, tissue, a rocket); photos are disjoint by file. What differs between
the runs of a configuration is in their names and in nothing else ([settings](cells.py),
[photos](photos.py)).

Kernel distances with `{features}`, {generated} generated images. Each number is the median of the
seeds, with the lowest and the highest behind it. A difference is claimed only where every seed of
one arm is better than every seed of the other.
"""


def write_table(results: Mapping[Cell, Result]) -> None:
    """Writes `README.md` and `curves.svg` beside this file; nothing without results."""
    if not results:
        return
    one = next(iter(results.values()))
    arms = {
        arm: [results[cell] for cell in CELLS if cell.arm == arm and cell in results]
        for arm in dict.fromkeys(cell.arm for cell in CELLS)
    }
    page = [
        INTRODUCTION.format(
            target=12 * 8,
            real=one["real"],
            generated=one["generated"],
            features=one["features"]["extractor"],
        ),
        f"{len(results)} of {len(CELLS)} runs are finished; the last one on "
        f"{max(result['time'] for result in results.values())[:10]}.\n",
        "| runs | seeds | kernel distance at 20 kimg | lowest of the run | at kimg | Fréchet "
        "distance at 20 kimg | recall at 20 kimg | p at the end | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(arm, found) for arm, found in arms.items() if found),
        "\n## What may be said",
        *(_answer(question, arms[a], arms[b], a, b) for question, a, b in QUESTIONS),
        "\n## Curves\n![Kernel distance by kimg](curves.svg)\n\n"
        "Medians of the seeds from the first snapshot after the start on; the bars reach from the "
        "lowest to the highest seed.\n",
    ]
    notes = RESULTS.parent / "notes.md"
    if notes.exists():
        page.append(notes.read_text().rstrip() + "\n")
    PAGE.write_text("\n".join(page).rstrip() + "\n")
    (RESULTS.parent / "curves.svg").write_text(_curves(arms))


def claim(a: Sequence[float], b: Sequence[float]) -> str:
    """Whether all of `a` lie below all of `b`, or the other way round: lower, higher or ''."""
    if not a or not b:
        return ""
    if max(a) < min(b):
        return "lower"
    return "higher" if min(a) > max(b) else ""


def _kernel(result: Result, index: int = -1) -> float:
    return float(result["scores"][index]["kernel"][0])


def _lowest(result: Result) -> tuple[float, float]:
    """The lowest kernel distance after the start, and its kimg."""
    return min((score["kernel"][0], score["kimg"]) for score in result["scores"] if score["kimg"])


def _row(arm: str, found: Sequence[Result]) -> str:
    def last(metric: str) -> Callable[[Result], float]:
        return lambda result: result["scores"][-1][metric][0]

    cells = (
        NAMES[arm],
        str(len(found)),
        _spread([_kernel(result) for result in found]),
        _spread([_lowest(result)[0] for result in found]),
        _spread([_lowest(result)[1] for result in found], "{:g}"),
        _spread([last("frechet")(result) for result in found], "{:.1f}"),
        _spread([last("recall")(result) for result in found], "{:.2f}"),
        _spread([result["ticks"][-1]["augment_p"] for result in found], "{:.2f}"),
        _spread([result["seconds"] / 60 for result in found], "{:.0f}"),
    )
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    median = form.format(statistics.median(values))
    if len(values) == 1:
        return median
    return f"{median} ({form.format(min(values))} to {form.format(max(values))})"


def _answer(question: str, a: Sequence[Result], b: Sequence[Result], *arms: str) -> str:
    first, second = (NAMES[arm] for arm in arms)
    if min(len(a), len(b)) < 2:
        return f"- **{question}** Not enough seeds are finished to say."
    said = []
    for what, of in (
        ("at 20 kimg", _kernel),
        ("the lowest of the run", lambda result: _lowest(result)[0]),
    ):
        side = claim([of(result) for result in a], [of(result) for result in b])
        said.append(
            f"{what}, *{first}* has the {side} kernel distance in every seed"
            if side
            else f"{what}, the seeds of *{first}* and of *{second}* overlap: nothing is claimed"
        )
    answer = "; ".join(said)
    return f"- **{question}** {answer[0].upper()}{answer[1:]} ({len(a)} and {len(b)} seeds)."


def _curves(arms: Mapping[str, Sequence[Result]]) -> str:
    series = []
    for colour, (arm, found) in enumerate(arms.items(), 1):
        points = []
        for scores in zip(*(result["scores"] for result in found), strict=True):
            values = [score["kernel"][0] for score in scores]
            kimg = scores[0]["kimg"]
            if kimg == 0:
                continue  # noise, for those from scratch: it would leave no room for the rest
            points.append(Point(kimg, statistics.median(values), min(values), max(values)))
        if points:
            series.append(Series(NAMES[arm], colour, points, markers=True))
    title = "Kernel distance to flowers that were never trained on"
    chart = Chart(title, "kimg, thousands of images seen", series, zero_based=True)
    return chart_svg(chart)
