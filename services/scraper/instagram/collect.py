"""Collects the pictures of a hashtag's or profile's posts, and goes on where it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import requests
from instaloader import Post
from instaloader.exceptions import (
    BadResponseException,
    PostChangedException,
    QueryReturnedForbiddenException,
)

from services.scraper.instagram.context import InstagramContext
from services.scraper.instagram.feed import Feed, GonePost, Media, TakenPost, describe, read_post
from services.scraper.instagram.pace import Waiter
from services.scraper.instagram.persistence import Persistence
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.instagram.transport import HostNotAllowed
from services.scraper.intake import MAX_IMAGE_BYTES, Photo, Refusal, judge, too_large
from services.scraper.journal import Journal
from services.scraper.ledger import Ledger
from services.scraper.traffic import TrafficLog
from tagloom.artifacts.collection import HashtagSource, ProfileSource
from tagloom.errors import NotFound
from tagloom.progress import Report
from tagloom.store.interface import Store

__all__ = ["collect_instagram"]

_CHUNK = 65536


def collect_instagram(
    store: Store,
    journal: Journal,
    source: HashtagSource | ProfileSource,
    settings: InstagramSettings,
    traffic: TrafficLog,
    report: Report,
) -> Ledger:
    """Takes up to `source.max_posts` posts, those of former attempts included.

    After each post the journal is durable. Raises what `Persistence.run` raises, and Cancelled.
    """
    waiter = Waiter(report, traffic)
    persistence = Persistence(
        settings, waiter, not_before=journal.not_before, pause_until=journal.pause_until
    )
    ledger = Ledger(store, journal.items)
    with InstagramContext(settings, waiter, traffic) as context:
        _Harvest(context, settings, waiter, persistence, journal, ledger).take(source)
    return ledger


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
    ) -> None:
        self._context = context
        self._settings = settings
        self._waiter = waiter
        self._run = persistence.run
        self._journal = journal
        self._ledger = ledger
        self._taken = {item.post for item in ledger.items}

    def take(self, source: HashtagSource | ProfileSource) -> None:
        what = describe(source)
        feed = Feed(self._context, source)
        self._waiter.done, self._waiter.total = len(self._taken), source.max_posts
        self._waiter.progress(f"opening {what}")
        if len(self._taken) >= source.max_posts:
            return
        self._run(lambda: feed.open(self._journal.frozen), what)
        if feed.count is not None:
            self._waiter.total = min(source.max_posts, feed.count)
        while len(self._taken) < source.max_posts:
            post = self._run(feed.next, what)
            if post is None:
                break
            if post.shortcode in self._taken:  # saved before a kill, or listed twice
                continue
            known = len(self._ledger.items)
            self._take_post(post)
            self._taken.add(post.shortcode)
            self._journal.save(self._ledger.items[known:], feed.freeze())
            self._waiter.done = len(self._taken)
            self._waiter.total = max(self._waiter.total, self._waiter.done)
            self._waiter.progress(f"post {post.shortcode}")

    def _take_post(self, post: Post | GonePost) -> None:
        address = f"https://www.instagram.com/p/{post.shortcode}/"
        taken = None if isinstance(post, GonePost) else self._read(post, address)
        if taken is None:
            detail = "The post was listed, but Instagram shows it no more."
            refusal = Refusal("refused", "POST_UNAVAILABLE", detail)
            self._ledger.add(refusal, source=address, post=post.shortcode)
            return
        for media in taken.media:
            self._ledger.add(
                self._fetch(media),
                source=media.source,
                post=post.shortcode,
                owner=taken.owner,
                tags=taken.tags,
                time=taken.time,
            )

    def _read(self, post: Post, address: str) -> TakenPost | None:
        def step() -> TakenPost | None:
            try:
                return read_post(post)
            except (BadResponseException, PostChangedException):
                return None

        with contextlib.suppress(NotFound):
            return self._run(step, address)
        return None

    def _fetch(self, media: Media) -> Photo | Refusal:
        if media.is_video:
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

    def _download(self, url: str) -> Callable[[], Photo | Refusal]:
        def step() -> Photo | Refusal:
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
