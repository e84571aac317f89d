"""Collects the pictures of hashtags' or profiles' posts, and goes on where it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import requests
from instaloader import Post
from instaloader.exceptions import (
    BadResponseException,
    PostChangedException,
    QueryReturnedForbiddenException,
)

from services.scraper.instagram.account import Account
from services.scraper.instagram.context import InstagramContext
from services.scraper.instagram.feed import Feed, FeedName, GonePost, feeds_of
from services.scraper.instagram.pace import Waiter
from services.scraper.instagram.persistence import Persistence
from services.scraper.instagram.posts import Media, TakenPost, address_of, read_post
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.instagram.transport import HostNotAllowed
from services.scraper.intake import (
    FORGOTTEN,
    MAX_IMAGE_BYTES,
    Film,
    Photo,
    Refusal,
    judge,
    too_large,
)
from services.scraper.journal import Journal
from services.scraper.ledger import Ledger
from services.scraper.traffic import TrafficLog
from tagloom.artifacts.collection import HashtagSource, Item, ProfileSource
from tagloom.errors import NotFound
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["collect_instagram"]

_CHUNK = 65536
_KNOWN_IN_A_ROW = 12
"""posts of the former collection in a row, a page of them, after which an update finds no more"""


def collect_instagram(
    store: Store,
    ledger: Ledger,
    journal: Journal,
    source: HashtagSource | ProfileSource,
    settings: InstagramSettings,
    traffic: TrafficLog,
    report: Report,
    former: list[Item],
) -> None:
    """Takes up to `source.max_posts` posts of each feed, those of former attempts included.

    `former`: items of the collection that is updated; they do not count. After each post the
    journal is durable. Raises what `Persistence.run` raises, and Cancelled.
    """
    waiter = Waiter(report, traffic)
    with (
        Account.borrowed(store, settings, waiter) as account,
        InstagramContext(settings, waiter, traffic, account) as context,
    ):
        persistence = Persistence(settings, waiter, account)
        harvest = _Harvest(context, settings, waiter, persistence, journal, ledger, source)
        harvest.take(former)


class _Harvest:
    """One attempt."""

    def __init__(
        self,
        context: InstagramContext,
        settings: InstagramSettings,
        waiter: Waiter,
        persistence: Persistence,
        journal: Journal,
        ledger: Ledger,
        source: HashtagSource | ProfileSource,
    ) -> None:
        self._context = context
        self._settings = settings
        self._waiter = waiter
        self._run = persistence.run
        self._journal = journal
        self._ledger = ledger
        self._source = source
        self._taken = {item.post for item in ledger.items}

    def take(self, former: list[Item]) -> None:
        names = feeds_of(self._source)
        old = {item.post for item in former}
        posts: dict[str, set[str]] = {str(name): set() for name in names}
        for item in self._journal.items:
            posts.setdefault(item.feed, set()).add(item.post)
        self._waiter.done = sum(map(len, posts.values()))
        self._waiter.images = sum(item.state == "stored" for item in self._journal.items)
        self._waiter.total = self._source.max_posts * len(names)
        for number, name in enumerate(names):
            if number >= self._journal.feed:
                self._take_feed(name, number, old, len(posts[str(name)] - {""}))

    def _take_feed(self, name: FeedName, number: int, old: set[str], taken: int) -> None:
        """The posts of one feed, `taken` of which are there already."""
        limit = self._source.max_posts
        self._waiter.progress(f"opening {name.words}")
        if taken >= limit:
            return
        feed, known_in_a_row = Feed(self._context, name), 0
        frozen = self._journal.frozen if number == self._journal.feed else None
        self._run(lambda: feed.open(frozen), name.words)
        if feed.count is not None:
            self._waiter.total -= limit - min(limit, max(feed.count, taken))
        while taken < limit and known_in_a_row < _KNOWN_IN_A_ROW:
            post = self._run(feed.next, name.words)
            if post is None:
                break
            if post.shortcode in self._taken:  # saved before a kill, shared, or listed twice
                known_in_a_row += post.shortcode in old
                continue
            known_in_a_row = 0
            saved = len(self._ledger.items)
            self._take_post(post, str(name))
            self._taken.add(post.shortcode)
            taken += 1
            self._save(saved, feed.freeze(), number)
            self._waiter.done += 1
            self._waiter.total = max(self._waiter.total, self._waiter.done)
            self._waiter.progress(f"post {post.shortcode}")
        if feed.ended_early:
            saved = len(self._ledger.items)
            detail = (
                f"Instagram showed {taken:,} of about {feed.count or 0:,} posts of the "
                f"{name.words}, then pages without any; `tagloom scrape --update` later may find "
                "more."
            )
            refusal = Refusal("refused", "FEED_ENDED_EARLY", detail)
            self._ledger.add(refusal, source=str(name), feed=str(name))
            self._save(saved, None, number + 1)
        else:
            self._save(len(self._ledger.items), None, number + 1)

    def _save(self, saved: int, frozen: dict[str, Any] | None, feed: int) -> None:
        new = self._ledger.items[saved:]
        self._journal.save(new, frozen, feed)
        self._waiter.images += sum(item.state == "stored" for item in new)

    def _take_post(self, post: Post | GonePost, feed: str) -> None:
        code, address = post.shortcode, address_of(post.shortcode)
        if self._ledger.forgotten.has_post(code):
            self._ledger.add(FORGOTTEN, source=address, post=code, feed=feed)
            return
        taken = None if isinstance(post, GonePost) else self._read(post, address)
        if taken is None:
            detail = "The post was listed, but Instagram shows it no more."
            refusal = Refusal("refused", "POST_UNAVAILABLE", detail)
            self._ledger.add(refusal, source=address, post=code, feed=feed)
            return
        for number, media in enumerate(taken.media):
            self._ledger.add(
                self._fetch(media),
                source=media.source,
                post=code,
                owner=taken.owner,
                caption=taken.caption,
                tags=taken.tags,
                time=taken.time,
                permalink=address,
                feed=feed,
                likes=taken.likes,
                comments=() if number else taken.comments,  # once is enough
            )

    def _read(self, post: Post, address: str) -> TakenPost | None:
        options, films = self._source.options, self._ledger.wants_films

        def step() -> TakenPost | None:
            try:
                return read_post(post, options, films=films)
            except (BadResponseException, PostChangedException):
                return None

        with contextlib.suppress(NotFound):
            return self._run(step, address)
        return None

    def _fetch(self, media: Media) -> Photo | Film | Refusal:
        if media.is_video and not self._ledger.wants_films:
            return Refusal("skipped", "VIDEO", "It is a video; only pictures are taken.")
        try:
            return self._run(self._download(media.url), media.source)
        except QueryReturnedForbiddenException:
            detail = "Instagram refused the image (403): its address expired or is not public."
            return Refusal("refused", "IMAGE_FORBIDDEN", detail)
        except NotFound:
            return Refusal("refused", "IMAGE_GONE", "The image is not there any more (404).")
        except HostNotAllowed as error:
            return Refusal("refused", "HOST_NOT_ALLOWED", error.message)

    def _download(self, url: str) -> Callable[[], Photo | Film | Refusal]:
        def step() -> Photo | Film | Refusal:
            end = time.monotonic() + self._settings.transfer_s
            body = bytearray()
            with self._context.get_raw(url) as response:
                for chunk in response.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > MAX_IMAGE_BYTES:
                        return too_large(len(body))
                    if time.monotonic() > end:
                        raise requests.exceptions.Timeout(
                            f"no whole image in {self._settings.transfer_s:g} s"
                        )
            return judge(bytes(body), size=len(body), time=None, name="image.jpg")

        return step
