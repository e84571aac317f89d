"""`tagloom collection export`: a collection's photos as files, in folders of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options
from tagloom.errors import FailedPrecondition

if TYPE_CHECKING:
    from tagloom.v1 import scraper_pb2

__all__ = ["collection_command"]

_LAYOUTS = ("flat", "tag", "date")
_UNSAFE = re.compile(r"[^\w.-]+")
_KEPT = re.compile(r"[\u200c\u200d\U0001f3fb-\U0001f3ff]")
"""what joins emoji and words, and skin colours"""
_MAX_NAME = 80


@click.group("collection")
def collection_command() -> None:
    """Take collections out of the store."""


@collection_command.command("export")
@click.argument("collection", metavar="ID")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where to."
)
@click.option(
    "--layout",
    type=click.Choice(_LAYOUTS),
    default="flat",
    show_default=True,
    help="Folders: none, one for each hashtag or profile, or one for each month.",
)
@command_options
def export_command(session: Session, collection: str, out: Path, layout: str) -> None:
    """Write a collection's photos to a folder, with items.jsonl: where each is from.

    The folder is new, empty, or that of an earlier export of this collection, to which is added
    what it lacks. Images come straight from the store: with --target, name the store, too.

    \b
    tagloom collection export cats --out cats --layout tag
    """
    from tagloom.artifacts.layout import image
    from tagloom.cli.export_folder import ExportFolder
    from tagloom.cli.output import count, plain
    from tagloom.client import iterate
    from tagloom.store import ObjectNotFound
    from tagloom.v1 import scraper_pb2

    name = collection if "/" in collection else f"collections/{collection}"
    request = scraper_pb2.ListItemsRequest(parent=name, page_size=1000)
    with session.clients("scraper", works=False) as clients:
        items = list(iterate(clients.scraper.ListItems, request, lambda page: page.items))
    store, lines, folder = session.store(), list[dict[str, Any]](), ExportFolder(out, name)
    stored = [i for i in items if i.state == scraper_pb2.Item.STATE_STORED]
    with Bars() as bars:
        for done, item in enumerate(stored):
            bars.show("export", "write", done, len(stored), None, item.source)
            try:
                data = store.get(image(item.sha256))
            except ObjectNotFound as error:
                raise FailedPrecondition(
                    f"The photos of {name} are not in {session.store_url}; name their store with "
                    "--store.",
                    reason="IMAGE_MISSING",
                    sha256=item.sha256,
                ) from error
            file = f"{folder_of(item, layout)}{file_name(item, data)}"
            folder.write(file, data)
            lines.append({"file": file, **plain(item)})
    left = folder.finish(lines)
    session.answer(
        {"name": name, "out": str(out), "photos": len(lines), "left": left},
        f"{count(len(lines), 'photo')} of {name}: {out}"
        + (
            f"\n{count(len(left), 'file')} of an earlier export stay there that this one does not "
            f"have, such as {left[0]}."
            if left
            else ""
        ),
    )


def folder_of(item: scraper_pb2.Item, layout: str) -> str:
    """With a slash, or empty."""
    if layout == "tag":
        return f"{_safe(item.feed.lstrip('#@')) or 'other'}/"
    if layout == "date":
        known = item.HasField("time")
        return f"{item.time.ToDatetime():%Y-%m}/" if known else "undated/"
    return ""


def file_name(item: scraper_pb2.Item, data: bytes) -> str:
    """What it is called where it comes from, made unique by its hash, and honest by its bytes."""
    suffix = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}.get(data[:2], ".bin")
    path = re.split(r"[?#]", item.source)[0].rstrip("/")
    stem = item.post or Path(path).stem
    return f"{_safe(stem)[:_MAX_NAME] or 'photo'}-{item.sha256[:12]}{suffix}"


def _safe(name: str) -> str:
    # Marks and emoji are kept: without them, tags of some scripts would share a folder.
    return _UNSAFE.sub(lambda found: _plain(found.group()), name).strip("._")


def _plain(text: str) -> str:
    kept = (c if _KEPT.fullmatch(c) or category(c).startswith(("M", "So")) else "\n" for c in text)
    return re.sub("\n+", "_", "".join(kept))
