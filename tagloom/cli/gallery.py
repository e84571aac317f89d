"""The page of `tagloom verdicts --overlays`: all photos, the borderline ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tagloom.cli.cards import card
from tagloom.cli.page import escaped, page

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["Pictures", "gallery", "page_title", "picture_stem"]

_SCRIPT = """\
const cards = [...document.querySelectorAll(".card")];
for (const button of document.querySelectorAll(".filters button")) button.onclick = () => {
  for (const other of document.querySelectorAll(".filters button"))
    other.setAttribute("aria-pressed", other === button);
  const wanted = button.dataset.show;
  for (const card of cards)
    card.hidden = wanted !== "all" && card.dataset.state !== wanted
      && !card.dataset.failed.split(" ").includes(wanted);
};
"""


class Pictures:
    """Names of the files of one photo, in the folder of the page; empty where there is none."""

    def __init__(self, photo: str = "", blur: str = "", sheet: str = "") -> None:
        self.photo, self.blur, self.sheet = photo, blur, sheet


def picture_stem(verdict: filter_pb2.Verdict) -> str:
    """Names a photo's files: its verdict, what it was called, and enough of its hash."""
    state = "kept" if verdict.kept else "rejected"
    stem = Path(verdict.source).stem or "image"
    return f"{state}-{stem[:80]}-{verdict.sha256[:8]}"


def gallery(
    dataset: filter_pb2.Dataset,
    verdicts: Sequence[filter_pb2.Verdict],
    pictures: Sequence[Pictures],
) -> str:
    """The page, of verdicts in the order in which they are to be shown."""
    failed = Counter(check for verdict in verdicts for check in verdict.failed_checks)
    kept = sum(verdict.kept for verdict in verdicts)
    judged = dataset.judged_count
    shown = "" if len(verdicts) == judged else f" The first {len(verdicts):,} are here."
    buttons = [
        ("all", f"all {len(verdicts):,}"),
        ("kept", f"kept {kept:,}"),
        ("rejected", f"rejected {len(verdicts) - kept:,}"),
        *((check, f"{check} {count:,}") for check, count in failed.most_common()),
    ]
    filters = "".join(
        f'<button data-show="{escaped(name)}" aria-pressed="{str(name == "all").lower()}">'
        f"{escaped(text)}</button>"
        for name, text in buttons
    )
    cards = "\n".join(
        card(verdict, quote(files.photo), quote(files.blur), quote(files.sheet))
        for verdict, files in zip(verdicts, pictures, strict=True)
    )
    name = escaped(dataset.name)
    body = (
        f"<h1>{dataset.kept_count:,} of {judged:,} photos stay</h1>\n"
        f'<p class="note"><code>{name}</code>, judged for {dataset.resolution} px. The borderline '
        "photos come first: those whose verdict the smallest step of a threshold would turn."
        f"{shown} "
        "Bars run from the threshold (the line) to the right where a check passed, to the left "
        "where it failed. Bright is what was cut for training. Under the pointer: which tiles are "
        "sharp (green) or blurred (red); framed ones have edges enough to be asked. A click "
        "opens the whole sheet.</p>\n"
        f'<div class="filters">{filters}</div>\n<div class="cards">\n{cards}\n</div>'
    )
    return page(page_title(dataset), body, _SCRIPT, images="'self' file: data:")


def page_title(dataset: filter_pb2.Dataset) -> str:
    """What the page is called: it tells it from those of other datasets."""
    return f"Verdicts of {dataset.name}"
