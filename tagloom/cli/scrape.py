"""`tagloom scrape`: photos into a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options

if TYPE_CHECKING:
    from tagloom.v1 import scraper_pb2

__all__ = ["scrape_command"]

_FEW = 1000
_SMALL_BYTES = 256 * 1024
"""what the scraper takes in a request"""


@click.command("scrape")
@click.option("--collection", required=True, metavar="ID", help="Id of the new collection.")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="Take a folder.")
@click.option(
    "--zip", "zip_file", type=click.Path(path_type=Path), metavar="FILE", help="Take a zip file."
)
@click.option("--s3", metavar="PREFIX", help="Take the objects below s3://bucket/prefix.")
@click.option(
    "--urls",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take what a list of addresses leads to, one a line.",
)
@click.option("--hashtag", metavar="TAG", help="Take an Instagram hashtag's posts.")
@click.option("--profile", metavar="NAME", help="Take an Instagram profile's posts.")
@click.option("--posts", type=click.IntRange(min=1), metavar="N", help="Posts to take at most.")
@command_options
def scrape_command(
    session: Session,
    collection: str,
    folder: Path | None,
    zip_file: Path | None,
    s3: str | None,
    urls: Path | None,
    hashtag: str | None,
    profile: str | None,
    posts: int | None,
) -> None:
    """Fill a new collection with photos.

    \b
    tagloom scrape --collection cats --folder ~/Pictures/cats
    tagloom scrape --collection cats --urls addresses.txt
    """
    sources = (folder, zip_file, s3, urls, hashtag, profile)
    if sum(source is not None for source in sources) != 1:
        raise click.UsageError(
            "Give exactly one of --folder, --zip, --s3, --urls, --hashtag and --profile."
        )
    if posts is not None and hashtag is None and profile is None:
        raise click.UsageError(
            "--posts counts posts of a hashtag or profile; other sources are taken whole."
        )
    from tagloom.cli.output import count, plain
    from tagloom.v1 import scraper_pb2

    request = scraper_pb2.CreateCollectionRequest(collection_id=collection)
    if folder is not None:
        # The services may have another working directory.
        request.folder.path = str(folder.expanduser().absolute())
    elif zip_file is not None:
        request.zip.path = str(zip_file.expanduser().absolute())
    elif s3 is not None:
        request.s3.url = s3
    elif urls is not None:
        _name_list(request.urls, urls.expanduser().absolute(), away=bool(session.target))
    elif hashtag is not None:
        request.hashtag.hashtag = hashtag.removeprefix("#")
        request.hashtag.max_posts = posts or 0
    elif profile is not None:
        request.profile.profile = profile
        request.profile.max_posts = posts or 0
    with session.clients("scraper") as clients, Bars() as bars:
        result = clients.wait(
            clients.scraper.CreateCollection(request),
            scraper_pb2.Collection,
            on_progress=bars.follow("scrape"),
        )
    session.answer(
        plain(result),
        f"{result.name}: {count(result.stored_count, 'photo')} stored of "
        f"{count(result.item_count, 'file')} met "
        f"({result.duplicate_count:,} duplicates, {result.skipped_count:,} skipped, "
        f"{result.refused_count:,} refused).\n"
        f"Next: tagloom filter --collection {collection} --dataset {collection} --resolution 256"
        f"{session.store_options}",
    )


def _name_list(source: scraper_pb2.UrlsSource, path: Path, *, away: bool) -> None:
    """By its path; a short one that lies here goes to services elsewhere within the request."""
    if away and path.is_file() and path.stat().st_size <= _SMALL_BYTES:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if 0 < len(found) <= _FEW:
            source.urls.extend(found)
            return
    source.path = str(path)
