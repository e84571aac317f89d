"""`tagloom tune`: thresholds from a person's marks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagloom.cli.bars import Bars
from tagloom.cli.files import GivenPath, write_new
from tagloom.cli.session import Session, command_options

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["tune_command"]


@click.command("tune")
@click.option("--collection", required=True, metavar="ID", help="The collection that is marked.")
@click.option(
    "--labels",
    "marks",
    required=True,
    type=GivenPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="CSV of marks: image,mark,reason (keep or reject; the reason names a check, or is empty).",
)
@click.option(
    "--resolution",
    type=click.IntRange(8, 4096),
    help="Pixels to judge for; without, the check of the resolution stays as it is.",
)
@click.option(
    "--profile",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="The profile to begin with; checks that it switches off stay off.",
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    help="Hold this precision and keep as many good photos as it allows [default: the best F1].",
)
@click.option(
    "--out",
    type=GivenPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the proposal there, for `filter --profile`.",
)
@click.option(
    "--page",
    type=GivenPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page (HTML) with the trade-offs and the photos that would change sides.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that differ.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@command_options
def tune_command(
    session: Session,
    collection: str,
    marks: Path,
    resolution: int | None,
    profile: str,
    precision: float | None,
    out: Path | None,
    page: Path | None,
    overwrite: bool,
    seed: int,
) -> None:
    """Propose thresholds that agree best with photos marked keep or reject.

    Nothing is changed: the proposal is a profile for `tagloom filter --profile FILE`.
    """
    from tagloom.cli.marks import read_marks
    from tagloom.cli.output import plain
    from tagloom.cli.profile import read_profile
    from tagloom.cli.tune_page import tune_page
    from tagloom.v1 import filter_pb2

    if out and page and out.absolute() == page.absolute():
        raise click.UsageError("--out and --page name the same file; give each its own.")
    name, thresholds = read_profile(profile)
    request = filter_pb2.TuneProfileRequest(
        collection=f"collections/{collection.removeprefix('collections/')}",
        marks=read_marks(marks),
        resolution=resolution or 0,
        profile=name,
        thresholds=thresholds,
        precision=precision or 0.0,
        seed=seed,
    )
    with session.clients("filter") as clients, Bars() as bars:
        proposal = clients.wait(
            clients.filter.TuneProfile(request),
            filter_pb2.TuneProfileResponse,
            on_progress=bars.follow("tune"),
        )
        if page:
            html = tune_page(clients, request, proposal)
            write_new(page, html.encode(), overwrite=overwrite)
    if out:
        write_new(out, profile_yaml(request, proposal).encode(), overwrite=overwrite)
    text = _summary(proposal)
    if out:
        use = f"tagloom filter --profile {out} …{session.store_options}"
        text += f"\nThe proposal is in {out}; use it: {use}"
    if page:
        text += f"\nTrade-offs and photos: {page}"
    session.answer(plain(proposal), text)


def profile_yaml(
    request: filter_pb2.TuneProfileRequest, proposal: filter_pb2.TuneProfileResponse
) -> str:
    """The proposal as a profile file, with where it comes from."""
    marks = proposal.keep_count + proposal.reject_count
    aim = f"a precision of {request.precision:g}" if request.precision else "the best F1"
    lines = [
        f"# Proposed by `tagloom tune` for {aim},",
        f"# from {marks:,} marks of {request.collection}.",
    ]
    if proposal.HasField("expected"):
        lines.append(f"# Expected of other photos like them: {agreement(proposal.expected)}.")
    if request.profile and request.profile != "default":
        lines.append(f"extends: {request.profile}")
    lines += [
        f"{threshold.check}: {f'{threshold.value:.15g}' if threshold.enabled else 'off'}"
        for threshold in proposal.thresholds
        if threshold.check != "format"  # it is never off
    ]
    return "\n".join(lines) + "\n"


def agreement(agreed: filter_pb2.Agreement) -> str:
    """Precision, recall and F1 with their intervals, in one line."""
    return ", ".join(
        f"{name} {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
        for name, estimate in (
            ("precision", agreed.precision),
            ("recall", agreed.recall),
            ("F1", agreed.f1),
        )
    )


def _summary(proposal: filter_pb2.TuneProfileResponse) -> str:
    from tagloom.cli.output import table

    rows = [
        [
            check.check,
            bound(check, check.before),
            bound(check, check.after),
            between(check),
            apart(check),
            f"{check.change_count:,}",
        ]
        for check in proposal.checks
    ]
    heads = ("check", "was", "proposed", "90 % of proposals", "tells apart", "photos")
    lines = [
        table(heads, rows),
        "",
        f"Marks: {proposal.keep_count:,} keep, {proposal.reject_count:,} reject. 95 % intervals in "
        "parentheses.",
        f"Before:    {agreement(proposal.before)}",
        f"Proposal:  {agreement(proposal.fitted)} on the marks that chose it",
    ]
    if proposal.HasField("expected"):
        lines.append(f"Expected:  {agreement(proposal.expected)} on other photos (cross-validated)")
    lines.append(
        f"Of the collection {proposal.kept_after_count:,} photos stay instead of "
        f"{proposal.kept_before_count:,}; {proposal.change_count:,} change sides."
    )
    return "\n".join([*lines, *(f"Note: {sentence}" for sentence in proposal.advice)])


def bound(check: filter_pb2.TunedCheck, threshold: filter_pb2.Threshold) -> str:
    """`≥ 0.4`, or `off`."""
    if not threshold.enabled:
        return "off"
    return f"{'≥' if check.minimum else '≤'} {threshold.value:.6g}"


def apart(check: filter_pb2.TunedCheck) -> str:
    """How well the check tells photos to keep from photos to reject, where marks say so."""
    return f"{check.separation:.2f}" if check.curve else "no marks"


def between(check: filter_pb2.TunedCheck) -> str:
    """`0.38 to 0.45`; `off` where an end is infinite."""
    ends = [f"{end:.3g}" if abs(end) != float("inf") else "off" for end in (check.low, check.high)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
