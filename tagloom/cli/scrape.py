"""`tagloom scrape`: photos into a collection."""

from __future__ import annotations

from pathlib import Path

import click

from tagloom.cli.bars import Bars
from tagloom.cli.session import Session, command_options

__all__ = ["scrape_command"]


@click.command("scrape")
@click.option("--collection", required=True, metavar="ID", help="Id of the new collection.")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="Take a folder.")
@click.option("--hashtag", metavar="TAG", help="Take an Instagram hashtag's posts.")
@click.option("--profile", metavar="NAME", help="Take an Instagram profile's posts.")
@click.option("--posts", type=click.IntRange(min=1), metavar="N", help="Posts to take at most.")
@command_options
def scrape_command(
    session: Session,
    collection: str,
    folder: Path | None,
    hashtag: str | None,
    profile: str | None,
    posts: int | None,
) -> None:
    """Fill a new collection with photos from a folder, a hashtag or a profile.

    \b
    tagloom scrape --collection cats --folder ~/Pictures/cats
    """
    if sum(source is not None for source in (folder, hashtag, profile)) != 1:
        raise click.UsageError("Give exactly one of --folder, --hashtag and --profile.")
    if folder is not None and posts is not None:
        raise click.UsageError("--posts counts posts; a folder is taken whole.")
    from tagloom.cli.output import count, plain
    from tagloom.v1 import scraper_pb2

    request = scraper_pb2.CreateCollectionRequest(collection_id=collection)
    if folder is not None:
        # The services may have another working directory.
        request.folder.path = str(folder.expanduser().absolute())
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
