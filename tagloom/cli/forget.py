"""`tagloom forget`: an image, or a post's images, leave everything, and never come back."""

from __future__ import annotations

import re

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options

__all__ = ["forget_command"]

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@click.command("forget")
@click.argument("what", metavar="POST|SHA256")
@command_options
def forget_command(session: Session, what: str) -> None:
    """Forget an image (by its SHA-256), or a post and all its images (by its address or shortcode).

    It leaves the store, every collection, every dataset and its verdicts, and no source brings it
    back. Networks that were trained on it cannot forget: the runs are listed. Asking again is safe,
    and finishes what was interrupted.

    \b
    tagloom forget https://www.instagram.com/p/C0ffee123/
    """
    from tagloom.cli.output import count
    from tagloom.client import iterate
    from tagloom.v1 import filter_pb2, scraper_pb2, trainer_pb2

    request = scraper_pb2.ForgetItemsRequest()
    if _HASH.fullmatch(what):
        request.sha256 = what.lower()
    else:
        request.post = what
    with session.clients("scraper", "filter", "trainer") as clients, Bars() as bars:
        takedown = clients.wait(
            clients.scraper.ForgetItems(request),
            scraper_pb2.Takedown,
            on_progress=bars.follow("collections"),
        )
        cleared = filter_pb2.ForgetImagesResponse()
        if takedown.sha256:
            cleared = clients.wait(
                clients.filter.ForgetImages(filter_pb2.ForgetImagesRequest(sha256=takedown.sha256)),
                filter_pb2.ForgetImagesResponse,
                on_progress=bars.follow("datasets"),
            )
        every = iterate(
            clients.trainer.ListRuns, trainer_pb2.ListRunsRequest(), lambda page: page.runs
        )
        runs = [run.name for run in every if run.dataset in set(cleared.datasets)]
    document = {
        "sha256": list(takedown.sha256),
        "collections": list(takedown.collections),
        "unfinished": list(takedown.unfinished),
        "datasets": list(cleared.datasets),
        "changed": list(cleared.changed),
        "runs": runs,
    }
    lines = [
        f"{count(len(takedown.sha256), 'image')} forgotten for good."
        if takedown.sha256
        else "No image of it was ever collected; it will not be."
    ]
    if takedown.sha256 and not (takedown.collections or takedown.unfinished or cleared.datasets):
        # A wrong digit would otherwise look like an image that is gone.
        lines.append("No collection or dataset has it now; if one should, check what you wrote.")
    if takedown.collections:
        lines.append(f"Collections changed: {', '.join(takedown.collections)}.")
    if takedown.unfinished:
        lines.append(
            f"Unfinished, and free of it when they end: {', '.join(takedown.unfinished)}. "
            "Finish or remove them."
        )
    if cleared.changed:
        lines.append(f"Datasets made again without it: {', '.join(cleared.changed)}.")
    if runs:
        lines.append(
            f"Trained on it: {', '.join(runs)}. A network cannot forget; `tagloom rm` removes a "
            "run, and its experiment's report may show the image."
        )
    session.answer(document, "\n".join(lines))
