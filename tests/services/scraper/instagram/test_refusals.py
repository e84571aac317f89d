"""Instagram says no: each way is told apart, and none is answered with an immediate retry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from instagram_server import Answer, InstagramServer
from instagram_world import Profile, make_posts

from services.scraper.collect import CollectRequest, collect
from services.scraper.instagram.refusals import RateLimited, classify
from services.scraper.ledger import from_lines
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Collection, HashtagSource
from tagloom.errors import (
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    TagloomError,
    Unauthenticated,
    Unavailable,
)
from tagloom.progress import silent
from tagloom.store import Store

CATS = Profile("catlady", "1001")
WAIT = "Please wait a few minutes before you try again."
Arrange = Callable[..., list[str]]


def run(store: Store, report: object = silent, collection_id: str = "x") -> Collection:
    assert callable(report)
    return collect(store, CollectRequest(collection_id, HashtagSource(hashtag="betta")), report)


@pytest.fixture
def codes(instagram: InstagramServer, logged_in: Path) -> list[str]:
    """Shortcodes of the 14 posts of #betta, 12 of them on its first page."""
    posts = make_posts(CATS, 14)
    instagram.world.add_hashtag("betta", posts)
    return [post.code for post in posts]


def taken(store: Store, collection_id: str = "x") -> list[str]:
    """Shortcodes of the posts taken, in order."""
    lines = from_lines(store.get(layout.collection_items(collection_id)))
    return list(dict.fromkeys(item.post for item in lines))


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("hashtag", Answer.failure(429, "rate limited")),
        ("hashtag posts", Answer.failure(401, WAIT)),
        ("post", Answer(429, b"<html>")),
        ("image", Answer(429)),
    ],
)
def test_rate_limits_are_waited_out(
    store: Store, instagram: InstagramServer, codes: list[str], kind: str, answer: Answer
) -> None:
    instagram.fail(kind, answer, after=1 if kind == "hashtag posts" else 0)
    told: list[tuple[str, str]] = []
    run(store, lambda phase, done, total, message="", **_: told.append((phase, message)))
    assert taken(store) == codes
    # The same request again, once, and no request at all during the wait.
    place = instagram.kinds.index(kind)
    if kind == "hashtag posts":  # its second page
        place = instagram.kinds.index(kind, place + 1)
    refused, again = instagram.requests[place : place + 2]
    assert again.kind == refused.kind
    assert again.time - refused.time >= 0.2  # TAGLOOM_INSTAGRAM_COOLDOWN_S
    waits = [message for phase, message in told if phase == "wait"]
    assert waits
    assert waits[0].startswith("Instagram limits the requests of this account or address; going on")


def test_retry_after_is_kept_to(store: Store, instagram: InstagramServer, codes: list[str]) -> None:
    instagram.fail("hashtag", Answer.failure(429, "slow down", Retry_After="0.6"))
    run(store)
    first, second = instagram.requests[:2]
    assert 0.6 <= second.time - first.time < 2


def test_when_the_waits_grow_too_long_it_stops_and_says_until_when(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    # Waits of 0.2 and 0.4 s are allowed, 0.8 s more would be above TAGLOOM_INSTAGRAM_MAX_WAIT_S.
    instagram.fail("image", *[Answer(429)] * 3, after=5)
    with pytest.raises(ResourceExhausted, match="it goes on where it stopped") as caught:
        run(store)
    assert caught.value.reason == "INSTAGRAM_RATE_LIMITED"
    assert float(caught.value.metadata["retry_after_s"]) == pytest.approx(0.8)
    assert caught.value.metadata["posts"] == "4"  # posts 0 to 3 have one picture, post 4 has two
    stopped = instagram.requests[-1].time

    asked = len(instagram.requests)
    made = run(store)
    assert taken(store) == codes
    assert instagram.requests[asked].time - stopped >= 0.75  # the promise holds over a restart
    images = [r.path for r in instagram.requests[asked:] if r.kind == "image"]
    # Only post 4, in whose middle it stopped, begins anew.
    assert len(images) == made.stored - 4


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (Answer.failure(401, "unauthorized"), Unauthenticated, "INSTAGRAM_SESSION_REJECTED"),
        (Answer(401, b""), Unauthenticated, "INSTAGRAM_SESSION_REJECTED"),
        (Answer.failure(403, "login_required"), Unauthenticated, "INSTAGRAM_SESSION_REJECTED"),
        (Answer.failure(200, "login_required"), Unauthenticated, "INSTAGRAM_SESSION_REJECTED"),
        (Answer(403, b"<html>"), PermissionDenied, "INSTAGRAM_FORBIDDEN"),
        (Answer.failure(400, "challenge_required"), FailedPrecondition, "INSTAGRAM_CHALLENGE"),
        (Answer.failure(400, "checkpoint_required"), FailedPrecondition, "INSTAGRAM_CHALLENGE"),
        (Answer.failure(400, "feedback_required"), FailedPrecondition, "INSTAGRAM_CHALLENGE"),
        (
            Answer(302, b"", {"Location": "https://www.instagram.com/accounts/login/?next=/"}),
            Unauthenticated,
            "INSTAGRAM_SESSION_REJECTED",
        ),
        (
            Answer(302, b"", {"Location": "https://www.instagram.com/challenge/?next=/"}),
            FailedPrecondition,
            "INSTAGRAM_CHALLENGE",
        ),
        (Answer.failure(400, "whatever"), FailedPrecondition, "INSTAGRAM_RESPONSE_UNKNOWN"),
    ],
)
def test_refusals_end_it_at_once_and_keep_what_is_there(
    store: Store,
    instagram: InstagramServer,
    codes: list[str],
    answer: Answer,
    error: type[TagloomError],
    reason: str,
) -> None:
    instagram.fail("hashtag posts", answer, after=1)
    with pytest.raises(error) as caught:
        run(store)
    assert caught.value.reason == reason
    assert instagram.kinds[-1] == "hashtag posts"  # not one request after the refusal
    assert instagram.counts["hashtag posts"] == 2
    before = len(instagram.requests)

    run(store)
    assert taken(store) == codes
    later = [r.kind for r in instagram.requests[before:]]
    assert later.count("image") <= 2  # the 12 posts of the first page were kept


def test_an_account_less_refusal_asks_for_a_login(
    store: Store, instagram: InstagramServer, codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAGLOOM_INSTAGRAM_SESSION")
    place = {"Location": "https://www.instagram.com/accounts/login/"}
    instagram.fail("hashtag", Answer(302, b"", place))
    with pytest.raises(Unauthenticated) as caught:
        run(store)
    assert caught.value.reason == "INSTAGRAM_LOGIN_REQUIRED"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b"oops"),
        Answer(502, b""),
        Answer(200, b"<html>not what was asked for</html>"),
        Answer(200, b'{"status": "ok", "data": ' + b" " * 400, cut=True),
    ],
    ids=["500", "502", "no JSON", "cut"],
)
def test_broken_answers_are_asked_for_again_after_a_wait(
    store: Store, instagram: InstagramServer, codes: list[str], answer: Answer
) -> None:
    instagram.fail("hashtag posts", answer, answer)
    run(store)
    assert taken(store) == codes
    assert instagram.counts["hashtag posts"] == 4


def test_a_server_that_stays_broken(
    store: Store, instagram: InstagramServer, codes: list[str]
) -> None:
    instagram.fail("hashtag", *[Answer(503)] * 4)
    with pytest.raises(Unavailable) as caught:
        run(store)
    assert caught.value.reason == "INSTAGRAM_UNAVAILABLE"
    assert instagram.kinds == ["hashtag"] * 4


def test_nobody_listens(
    store: Store, logged_in: Path, instagram: InstagramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="check the network"):
        run(store)


def test_truncated_and_slow_images_are_fetched_again(
    store: Store, instagram: InstagramServer, codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGLOOM_INSTAGRAM_TIMEOUT_S", "0.3")
    body = next(iter(instagram.world.images.values()))
    instagram.fail("image", Answer(200, body, cut=True), Answer(200, body, seconds=0.8))
    made = run(store)
    assert taken(store) == codes
    assert made.refused == 0
    assert instagram.counts["image"] == made.stored + 2


def test_too_large_an_image(
    store: Store, instagram: InstagramServer, codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scraper.instagram.collect.MAX_IMAGE_BYTES", 20_000)
    instagram.fail("image", Answer(200, b"\xff\xd8\xff" + bytes(30_000)))
    made = run(store)
    (refused,) = [
        i for i in from_lines(store.get(layout.collection_items("x"))) if i.state == "refused"
    ]
    assert refused.reason == "TOO_LARGE"
    assert made.refused == 1


def kind_of(error: TagloomError | None) -> str:
    return "" if error is None else error.reason.removeprefix("INSTAGRAM_")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"status": "ok"}', ""),
        (200, b"<html>login_required</html>", ""),
        (200, b'{"status": "ok", "message": "login_required"}', ""),
        (200, b'["a list"]', ""),
        (404, b'{"status": "fail", "message": "not found"}', ""),
        (500, b'{"status": "fail"}', ""),
        (500, b'{"status": "fail", "message": "Please wait a few minutes"}', "RATE_LIMITED"),
        (401, b'{"message": "x", "require_login": true}', "LOGIN_REQUIRED"),
        (400, b'{"message": "challenge_required", "status": "fail"}', "CHALLENGE"),
        (301, b"", ""),
    ],
)
def test_classification(status: int, body: bytes, kind: str) -> None:
    assert kind_of(classify(status, {}, body, logged_in=False)) == kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 0), ("-5", None), ("soon", None), ("1e9", None), ("nan", None)],
)
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    error = classify(429, {"retry-after": header}, b"", logged_in=True)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == seconds


def test_retry_after_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    error = classify(429, {"retry-after": date}, b"", logged_in=True)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == pytest.approx(90, abs=2)
