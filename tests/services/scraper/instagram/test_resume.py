"""Killed at any request, it goes on at the next post: none lost, none twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from instagram_server import Answer, InstagramServer
from instagram_world import Profile, make_posts

from services.scraper import journal
from services.scraper.catalog import delete_collection
from services.scraper.collect import CollectRequest, collect
from services.scraper.ledger import from_lines
from tagloom.artifacts import layout
from tagloom.artifacts.collection import HashtagSource, Item, ProfileSource, Source
from tagloom.errors import Cancelled, FailedPrecondition
from tagloom.store import Store

CATS = Profile("catlady", "1001")
BETTA = HashtagSource(hashtag="betta")
_CHILD = """
import sys
from pydantic import TypeAdapter
from services.scraper.collect import CollectRequest, collect
from tagloom.artifacts.collection import Source
from tagloom.store import open_store
source = TypeAdapter(Source).validate_json(sys.argv[2])
collect(open_store(sys.argv[1]), CollectRequest("x", source))
"""


def items(store: Store) -> list[Item]:
    return list(from_lines(store.get(layout.collection_items("x"))))


def resting(store: Store) -> bool:
    """Whether the account was told to rest."""
    states = [i.key for i in store.iterate("accounts/") if i.key.endswith("/state.json")]
    return any(json.loads(store.get(key))["not_before"] for key in states)


def wake(store: Store) -> None:
    """As if the time that the account has to rest had passed."""
    for info in list(store.iterate("accounts/")):
        if info.key.endswith("/state.json"):
            store.delete(info.key)


def attempt(store: Store, source: Source, server: InstagramServer, kill_after: int | None) -> int:
    """One process; killed as soon as the server has had so many more requests. Its exit status."""
    start = len(server.requests)
    process = subprocess.Popen([sys.executable, "-c", _CHILD, store.url, source.model_dump_json()])
    while process.poll() is None:
        if kill_after is not None and len(server.requests) - start >= kill_after:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    return process.wait(timeout=60)


def check_complete(store: Store, codes: list[str], undisturbed: list[Item]) -> None:
    met = items(store)
    assert list(dict.fromkeys(item.post for item in met)) == codes
    assert met == undisturbed
    assert [o.key for o in store.iterate("collections/x/")] == [
        layout.collection_items("x"),
        layout.collection_manifest("x"),
    ]


def kills(number: int, source: Source, store: Store, server: InstagramServer) -> int:
    """Kill so many attempts at random requests, then let one finish. How many got away."""
    chance = random.Random(number)
    survived = 0
    for _ in range(number):
        survived += attempt(store, source, server, chance.randint(1, 9)) == 0
    assert attempt(store, source, server, None) == 0
    return survived


@pytest.mark.parametrize(
    "number", [10, pytest.param(200, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_killed_at_random_requests_of_a_hashtag(
    store: Store,
    instagram: InstagramServer,
    logged_in: Path,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A dead process's lease is waited out, and its requests count: both in short here.
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_LEASE_S", "0.3")
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_BUDGET", "1000")
    posts = make_posts(CATS, 4 * number)
    instagram.world.add_hashtag("betta", posts)
    survived = kills(number, BETTA, store, instagram)
    assert survived == 0
    met = items(store)
    assert list(dict.fromkeys(item.post for item in met)) == [post.code for post in posts]
    assert len(met) == sum(len(post.pictures) for post in posts)
    for item in met:
        assert item.state == "skipped" or store.exists(layout.image(item.sha256))


@pytest.mark.parametrize("source", [BETTA, ProfileSource(profile="catlady")])
def test_cancelled_after_every_post_it_costs_at_most_that_post(
    store: Store, instagram: InstagramServer, logged_in: Path, source: Source
) -> None:
    posts = make_posts(CATS, 14)
    instagram.world.add_hashtag("betta", posts)
    instagram.world.add_profile(CATS, posts)
    done_before = 0

    def stop_after_one(phase: str, done: int, total: int, message: str = "") -> None:
        nonlocal done_before
        if phase == "collect" and message.startswith("post ") and done > done_before:
            done_before = done
            raise Cancelled("The work was asked to stop.", reason="CANCELLED")

    while True:
        try:
            collect(store, CollectRequest("x", source), stop_after_one)
            break
        except Cancelled:
            continue
    assert done_before == 14
    assert list(dict.fromkeys(i.post for i in items(store))) == [post.code for post in posts]
    stored = [item for item in items(store) if item.state == "stored"]
    assert instagram.counts["image"] == len(stored)  # no picture was fetched twice


def test_killed_while_waiting_it_keeps_waiting(
    store: Store, instagram: InstagramServer, logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_MAX_WAIT_S", "60")
    instagram.world.add_hashtag("betta", make_posts(CATS, 3))
    instagram.fail("image", Answer(429, b"", {"Retry-After": "4"}), after=1)
    # Killed a moment after the refusal, when the wait is on record.
    process = subprocess.Popen([sys.executable, "-c", _CHILD, store.url, BETTA.model_dump_json()])
    end = time.monotonic() + 30
    while not resting(store):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    refused = instagram.requests[-1].time
    asked = len(instagram.requests)
    collect(store, CollectRequest("x", BETTA))
    assert instagram.requests[asked].time - refused >= 3.9


def test_another_source_does_not_take_over_what_is_unfinished(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    instagram.world.add_hashtag("betta", make_posts(CATS, 3))
    instagram.fail("image", Answer.failure(429, "no", Retry_After="3600"), after=1)
    with pytest.raises(Exception, match="collect again after"):
        collect(store, CollectRequest("x", BETTA))
    with pytest.raises(FailedPrecondition) as caught:
        collect(store, CollectRequest("x", ProfileSource(profile="catlady")))
    assert caught.value.reason == "COLLECTION_UNFINISHED"
    delete_collection(store, "collections/x")
    assert list(store.iterate("collections/")) == []


def test_a_stale_or_foreign_cursor_starts_over_but_takes_no_post_twice(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 14)
    instagram.world.add_hashtag("betta", posts)
    instagram.fail("image", Answer.failure(429, "no", Retry_After="3600"), after=5)
    with pytest.raises(Exception, match="collect again after"):
        collect(store, CollectRequest("x", BETTA))
    key = layout.collection_cursor("x")
    cursor = json.loads(store.get(key))
    wake(store)
    cursor["frozen"]["context_username"] = "somebody else"
    store.put(key, json.dumps(cursor).encode())
    fetched = instagram.counts["image"]
    made = collect(store, CollectRequest("x", BETTA))
    assert list(dict.fromkeys(i.post for i in items(store))) == [post.code for post in posts]
    assert instagram.counts["image"] - fetched == made.stored - 4


def test_items_spread_over_parts(
    store: Store, instagram: InstagramServer, logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_PART_ITEMS", 5)
    posts = make_posts(CATS, 14)
    instagram.world.add_hashtag("betta", posts)
    instagram.fail("image", Answer.failure(429, "no", Retry_After="3600"), after=12)
    with pytest.raises(Exception, match="collect again after"):
        collect(store, CollectRequest("x", BETTA))
    parts = [o.key for o in store.iterate(layout.collection_parts_prefix("x"))]
    assert parts == [layout.collection_items_part("x", n) for n in (0, 1)]
    wake(store)
    collect(store, CollectRequest("x", BETTA))
    assert [(i.post, i.state) for i in items(store)] == [
        (post.code, "stored" if picture.data is not None else "skipped")
        for post in posts
        for picture in post.pictures
    ]
    assert len(list(store.iterate("collections/x/"))) == 2
