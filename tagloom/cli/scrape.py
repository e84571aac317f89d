"""`tagloom scrape`: photos into a collection; `tagloom scrape login`: a session for Instagram."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagloom.cli.bars import Bars
from tagloom.cli.files import GivenPath
from tagloom.cli.session import Session, command_options
from tagloom.errors import AlreadyExists, FailedPrecondition
from tagloom.files import not_written

if TYPE_CHECKING:
    from tagloom.v1 import scraper_pb2

__all__ = ["scrape_command"]

_FEW = 1000
_SMALL_BYTES = 256 * 1024
"""what the scraper takes in a request"""
_FILE = GivenPath(path_type=Path)


@click.group("scrape", invoke_without_command=True)
@click.option("--collection", metavar="ID", help="Id of the new collection.  [required]")
@click.option("--folder", type=_FILE, metavar="DIR", help="Take a folder.")
@click.option("--zip", "zip_file", type=_FILE, metavar="FILE", help="Take a zip file.")
@click.option("--s3", metavar="PREFIX", help="Take the objects below s3://bucket/prefix.")
@click.option(
    "--urls", type=_FILE, metavar="FILE", help="Take what a list of addresses leads to, one a line."
)
@click.option(
    "--hashtag", "hashtags", multiple=True, metavar="TAG", help="Take an Instagram hashtag's posts."
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME",
    help="Take an Instagram profile's posts.",
)
@click.option(
    "--posts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Posts to take at most, of each hashtag or profile.",
)
@click.option("--first-picture", is_flag=True, help="Of a post with several pictures, the first.")
@click.option("--likes", is_flag=True, help="Keep the number of likes.")
@click.option("--comments", is_flag=True, help="Keep comments: a query or more for each post.")
@click.option(
    "--frames",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Take N frames of each video; without it, videos are skipped.",
)
@click.option("--update", is_flag=True, help="Take what is new from where the collection is from.")
@command_options
def scrape_command(
    session: Session,
    collection: str | None,
    folder: Path | None,
    zip_file: Path | None,
    s3: str | None,
    urls: Path | None,
    hashtags: tuple[str, ...],
    profiles: tuple[str, ...],
    posts: int | None,
    first_picture: bool,
    likes: bool,
    comments: bool,
    frames: int | None,
    update: bool,
) -> None:
    """Fill a new collection with photos. Hashtags and profiles may be repeated.

    \b
    tagloom scrape --collection cats --folder ~/Pictures/cats
    tagloom scrape --collection cats --hashtag cats --hashtag kittens --posts 1000
    tagloom scrape --collection cats --update
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    if not collection:
        raise click.UsageError("Say --collection ID, the id of the new collection.")
    sources = (folder, zip_file, s3, urls, hashtags or None, profiles or None)
    given = sum(source is not None for source in sources)
    if update:
        if given or first_picture or likes or comments or frames:
            raise click.UsageError("--update takes from where the collection is from, as it was.")
        _update(session, collection, posts)
        return
    if given != 1:
        raise click.UsageError(
            "Give exactly one of --folder, --zip, --s3, --urls, --hashtag and --profile."
        )
    if not hashtags and not profiles:
        if posts is not None:
            raise click.UsageError(
                "--posts counts posts of a hashtag or profile; other sources are taken whole."
            )
        if first_picture or likes or comments:
            raise click.UsageError(
                "--first-picture, --likes and --comments are of posts; other sources have none."
            )
    from tagloom.v1 import scraper_pb2

    request = scraper_pb2.CreateCollectionRequest(
        collection_id=collection, frames_per_video=frames or 0
    )
    if folder is not None:
        # The services may have another working directory.
        request.folder.path = str(folder.expanduser().absolute())
    elif zip_file is not None:
        request.zip.path = str(zip_file.expanduser().absolute())
    elif s3 is not None:
        request.s3.url = s3
    elif urls is not None:
        _name_list(request.urls, urls.expanduser().absolute(), away=bool(session.target))
    elif hashtags:
        first, *more = (tag.removeprefix("#") for tag in hashtags)
        request.hashtag.hashtag = first
        request.hashtag.more_hashtags.extend(more)
    else:
        request.profile.profile = profiles[0]
        request.profile.more_profiles.extend(profiles[1:])
    if hashtags or profiles:
        feed = request.hashtag if hashtags else request.profile
        feed.max_posts = posts or 0
        feed.options.first_picture_only = first_picture
        feed.options.likes, feed.options.comments = likes, comments
    with session.clients("scraper") as clients, Bars() as bars:
        result = clients.wait(
            clients.scraper.CreateCollection(request),
            scraper_pb2.Collection,
            on_progress=bars.follow("scrape"),
        )
    _answer(session, result)


@scrape_command.command("login")
@click.option("--username", required=True, metavar="NAME", help="The account's user name.")
@click.option("--out", required=True, type=_FILE, metavar="FILE", help="Where to write it.")
@click.option(
    "--cookies", type=_FILE, metavar="FILE", help="Take a browser's cookies.txt; do not log in."
)
@click.option("--untried", is_flag=True, help="With --cookies: do not ask Instagram about them.")
@click.option("--overwrite", is_flag=True, help="Replace a session that is there.")
@command_options
def login_command(
    session: Session,
    username: str,
    out: Path,
    cookies: Path | None,
    untried: bool,
    overwrite: bool,
) -> None:
    """Make a session for Instagram, for TAGLOOM_INSTAGRAM_SESSION.

    Asks for the password, and for the code of a second factor; both go to Instagram alone. Logging
    in from a new place can make Instagram suspicious: with --cookies, the session that a browser
    has already is taken (any extension that exports cookies.txt will do). One request asks whether
    Instagram takes it; one that it refuses is not written.

    \b
    tagloom scrape login --username NAME --out session.json
    export TAGLOOM_INSTAGRAM_SESSION=$PWD/session.json
    """
    import importlib.metadata

    username = username.strip().removeprefix("@")
    if not username:
        raise click.UsageError("--username is empty; write the account's user name.")
    if untried and cookies is None:
        raise click.UsageError("--untried is for --cookies; logging in tries the session.")
    if os.path.lexists(out) and not overwrite:
        raise AlreadyExists(
            f"{out} exists; choose another file, or say --overwrite.",
            reason="FILE_EXISTS",
            path=str(out),
        )
    entries = list(importlib.metadata.entry_points(group="tagloom.stack"))
    if not entries:
        raise FailedPrecondition(
            "The scraper is not installed here; install tagloom[scraper].",
            reason="STACK_NOT_INSTALLED",
        )
    # Its place is taken first: a login that could not be kept would have to be repeated.
    with _secret(out) as write:
        password = ""
        if cookies is None:
            password = click.prompt(f"Password of {username}", hide_input=True, err=True)
        text, doubt = (
            entries[0]
            .load()
            .make_session(
                username,
                password=password,
                ask_code=lambda: str(click.prompt("Code of the second factor", err=True)),
                cookies=cookies,
                untried=untried,
            )
        )
        write(text)
    path = out.expanduser().absolute()
    session.answer(
        {"username": username, "session": str(path), "tried": not doubt, "doubt": doubt},
        f"Session of {username}: {path} (for your eyes only).\n"
        + (
            f"Whether Instagram takes it is not known: {doubt}.\n"
            if doubt
            else "Instagram takes it.\n"
        )
        + f"Next: export TAGLOOM_INSTAGRAM_SESSION={path}",
    )


def _update(session: Session, collection: str, posts: int | None) -> None:
    from tagloom.v1 import scraper_pb2

    name = f"collections/{collection}"
    request = scraper_pb2.RefreshCollectionRequest(name=name, max_posts=posts or 0)
    with session.clients("scraper") as clients, Bars() as bars:
        get = scraper_pb2.GetCollectionRequest(name=name)
        before = clients.scraper.GetCollection(get).stored_count
        result = clients.wait(
            clients.scraper.RefreshCollection(request),
            scraper_pb2.Collection,
            on_progress=bars.follow("scrape"),
        )
    _answer(session, result, new=result.stored_count - before)


def _answer(session: Session, result: scraper_pb2.Collection, new: int | None = None) -> None:
    from tagloom.cli.output import count, plain

    collection = result.name.removeprefix("collections/")
    added = "" if new is None else f"{count(new, 'new photo')}; "
    session.answer(
        plain(result),
        f"{result.name}: {added}{count(result.stored_count, 'photo')} stored of "
        f"{count(result.item_count, 'file')} met "
        f"({count(result.duplicate_count, 'duplicate')}, {result.skipped_count:,} skipped, "
        f"{result.refused_count:,} refused).\n"
        f"Next: tagloom filter --collection {collection} --dataset {collection} --resolution 256"
        f"{session.store_options}",
    )


def _name_list(source: scraper_pb2.UrlsSource, path: Path, *, away: bool) -> None:
    """By its path; a short one that lies here goes to services elsewhere within the request."""
    if away and path.is_file() and path.stat().st_size <= _SMALL_BYTES:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        stripped = (line.strip() for line in lines)
        found = [line for line in stripped if line and not line.startswith("#")]
        if 0 < len(found) <= _FEW:
            source.urls.extend(found)
            return
    source.path = str(path)


@contextmanager
def _secret(path: Path) -> Iterator[Callable[[str], None]]:
    """What writes the file, which is readable by its owner alone from its first byte on; whether it
    can be written is known before. Raises as `not_written` tells."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")

    def write(text: str) -> None:
        try:
            with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
                file.write(text)
            os.replace(draft, path)
        except OSError as error:
            raise not_written(path, error) from error

    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise not_written(path, error) from error
    try:
        yield write
    finally:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
