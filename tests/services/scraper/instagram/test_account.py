"""One account for many collections: lent to one at a time, its history and its rests kept."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from instagram_server import COOKIES, SESSION, Answer, InstagramServer
from instagram_world import Profile, make_posts

from services.scraper.collect import CollectRequest, collect
from services.scraper.instagram.account import Account
from services.scraper.instagram.pace import Pace, Waiter
from services.scraper.instagram.settings import InstagramSettings
from services.scraper.ledger import from_lines
from services.scraper.traffic import TrafficLog
from tagloom.artifacts import layout
from tagloom.artifacts.collection import HashtagSource
from tagloom.errors import Cancelled, FailedPrecondition, ResourceExhausted, Unauthenticated
from tagloom.progress import Report, Wait, silent
from tagloom.store import Store

CATS = Profile("catlady", "1001")
BETTA = HashtagSource(hashtag="betta")


def run(store: Store, name: str, report: Report = silent) -> None:
    collect(store, CollectRequest(name, BETTA), report)


def posts_of(store: Store, name: str) -> list[str]:
    lines = from_lines(store.get(layout.collection_items(name)))
    return list(dict.fromkeys(item.post for item in lines if item.post))


def state(store: Store) -> dict[str, object]:
    (key,) = [i.key for i in store.iterate("accounts/") if i.key.endswith("state.json")]
    document: dict[str, object] = json.loads(store.get(key))
    return document


class Told:
    """A report that remembers waits."""

    def __init__(self, *, until: str = "") -> None:
        self.waits: list[Wait] = []
        self._until = until

    def __call__(
        self, phase: str, done: int, total: int, message: str = "", *, wait: Wait | None = None
    ) -> None:
        if wait is not None:
            self.waits.append(wait)
            if wait.reason == self._until:
                raise Cancelled("Seen.", reason="CANCELLED")


@pytest.fixture
def codes(instagram: InstagramServer, logged_in: Path) -> list[str]:
    posts = make_posts(CATS, 30)
    instagram.world.add_hashtag("betta", posts)
    return [post.code for post in posts]


def test_two_collections_take_turns(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    settings = InstagramSettings.from_environment()
    waiter = Waiter(silent, TrafficLog(None))
    told, released = Told(), 0.0
    with Account.borrowed(store, settings, waiter):
        second = threading.Thread(target=run, args=(store, "x", told))
        second.start()
        time.sleep(2.5)  # longer than the lease lasts without a sign of life
        assert instagram.requests == []
        released = time.monotonic()
    second.join()
    assert instagram.requests[0].time >= released
    assert {wait.reason for wait in told.waits} == {"ACCOUNT_IN_USE"}
    assert told.waits[0].until is None
    assert posts_of(store, "x") == codes


_CHILD = """
import sys
from services.scraper.collect import CollectRequest, collect
from tagloom.artifacts.collection import HashtagSource
from tagloom.store import open_store
collect(open_store(sys.argv[1]), CollectRequest(sys.argv[2], HashtagSource(hashtag="betta")))
"""


def test_several_processes_never_ask_at_once(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    """And each finds what the ones before it asked."""
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, store.url, name]) for name in ("a", "b")
    ]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert posts_of(store, "a") == posts_of(store, "b") == codes
    # All of one collection's requests come before all of the other's.
    starts = [n for n, kind in enumerate(instagram.kinds) if kind == "hashtag"]
    assert len(starts) == 2
    assert instagram.kinds[: starts[1]].count("hashtag posts") == 3
    requests = state(store)["requests"]
    assert isinstance(requests, dict)
    counted = {kind: len(times) for kind, times in requests.items()}
    assert counted == {"iphone": 2, "9b498c08113f1e09617a1703c22b2f32": 6, "27128499623469141": 12}


def test_who_dies_with_the_account_is_followed(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    instagram.fail("image", Answer(200, b"", seconds=30), after=3)
    child = subprocess.Popen([sys.executable, "-c", _CHILD, store.url, "a"])
    end = time.monotonic() + 60
    while instagram.counts["image"] < 4 and time.monotonic() < end:
        time.sleep(0.01)
    child.kill()
    child.wait()
    run(store, "b")
    assert posts_of(store, "b") == codes


def test_what_was_asked_before_counts_against_the_limit(
    store: Store, instagram: InstagramServer, codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, "x")
    asked = len(instagram.requests)
    monkeypatch.setattr(Pace, "count_per_sliding_window", lambda self, kind: 3)
    told = Told(until="REQUEST_BUDGET")
    with pytest.raises(Cancelled):
        run(store, "y", told)
    # The hashtag itself was asked for once before; its pages three times: no fourth.
    assert instagram.kinds[asked:] == ["hashtag"]
    until = told.waits[-1].until
    assert until is not None
    assert 600 < until.timestamp() - time.time() < 670


def test_a_rest_holds_for_every_collection(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    instagram.fail("hashtag posts", Answer.failure(429, "no", Retry_After="3600"))
    for name in ("x", "y", "z"):
        with pytest.raises(ResourceExhausted, match="collect again after") as caught:
            run(store, name)
        assert caught.value.reason == "INSTAGRAM_RATE_LIMITED"
        assert 3500 < float(caught.value.metadata["retry_after_s"]) <= 3600
    assert instagram.kinds == ["hashtag", "hashtag posts"]  # nobody asked again


def test_pauses_in_a_row_grow_over_restarts(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    instagram.fail("hashtag", *[Answer.failure(429, "no")] * 3)
    with pytest.raises(ResourceExhausted):
        run(store, "x")  # waits 0.2 and 0.4 s, and may not wait 0.8 more
    assert state(store)["limited_in_a_row"] == 3
    time.sleep(0.9)
    run(store, "y")
    assert state(store)["limited_in_a_row"] == 0


def test_after_a_refusal_the_next_one_waits_unless_it_has_another_session(
    store: Store,
    instagram: InstagramServer,
    codes: list[str],
    logged_in: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_COOLDOWN_S", "0.7")
    instagram.fail("hashtag", Answer.failure(400, "checkpoint_required"))
    with pytest.raises(FailedPrecondition, match="wants a person"):
        run(store, "x")
    refused = instagram.requests[-1].time
    told = Told()
    run(store, "x", told)
    assert instagram.requests[1].time - refused >= 0.65
    assert told.waits[0].reason == "INSTAGRAM_CHALLENGE"

    instagram.fail("hashtag", Answer.failure(403, "login_required"))
    with pytest.raises(Unauthenticated):
        run(store, "y")
    asked, refused = len(instagram.requests), instagram.requests[-1].time
    other = {**SESSION, "cookies": {**COOKIES, "sessionid": "another"}}
    logged_in.write_text(json.dumps(other))
    with pytest.raises(ResourceExhausted):  # the local Instagram knows one session alone
        run(store, "y")
    assert instagram.requests[asked].time - refused < 0.6
    everything = b"".join(store.get(info.key) for info in store.iterate("accounts/"))
    for secret in (COOKIES["sessionid"], COOKIES["csrftoken"], "another"):
        assert secret.encode() not in everything


def _empty(codes: list[str], *, more: bool = True) -> Answer:
    media = {"count": len(codes), "page_info": {"has_next_page": more, "end_cursor": "x"}}
    tag = {"name": "betta", "edge_hashtag_to_media": {**media, "edges": []}}
    return Answer.json({"data": {"hashtag": tag}, "status": "ok"})


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_empty_page_is_not_the_end(
    store: Store, instagram: InstagramServer, codes: list[str], after: int
) -> None:
    instagram.fail("hashtag posts", _empty(codes, more=bool(after)), after=after)
    told = Told()
    run(store, "x", told)
    assert posts_of(store, "x") == codes
    assert {wait.reason for wait in told.waits} == {"INSTAGRAM_EMPTY_PAGE"}
    times = [r.time for r in instagram.requests if r.kind == "hashtag posts"]
    assert times[after + 1] - times[after] >= 0.2  # not at once


def test_empty_pages_for_ever_are_told(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    instagram.fail("hashtag posts", *[_empty(codes)] * 9, after=1)
    run(store, "x")
    assert posts_of(store, "x") == codes[:12]
    (last,) = [i for i in from_lines(store.get(layout.collection_items("x"))) if not i.post]
    assert (last.state, last.reason, last.source) == ("refused", "FEED_ENDED_EARLY", "#betta")
    assert "12 of about 30 posts" in last.detail
    assert instagram.counts["hashtag posts"] == 1 + 3


def test_half_the_budget_asks_half_as_often(
    store: Store, instagram: InstagramServer, codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, "x")
    monkeypatch.setattr(Pace, "count_per_sliding_window", lambda self, kind: 3)
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_BUDGET", "0.5")
    told = Told(until="REQUEST_BUDGET")
    with pytest.raises(Cancelled):
        run(store, "y", told)
    until = told.waits[-1].until
    assert until is not None
    assert 1200 < until.timestamp() - time.time() < 1340
