"""Hashtags and profiles through the real Instaloader, against the local Instagram."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from instagram_server import COOKIES, Answer, InstagramServer
from instagram_world import IMAGE_HOST, Picture, Post, Profile, make_posts, photo

from services.scraper.collect import CollectRequest, collect
from services.scraper.ledger import from_lines
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Collection, HashtagSource, Item, ProfileSource, Source
from tagloom.errors import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated
from tagloom.progress import silent
from tagloom.store import Store

CATS = Profile("Cat.Lady", "1001")
FISH = Profile("fishes", "2002")
BETTA = HashtagSource(hashtag="betta")


def run(store: Store, source: Source, report: object = silent) -> Collection:
    assert callable(report)
    return collect(store, CollectRequest("x", source), report)


def items(store: Store) -> list[Item]:
    return list(from_lines(store.get(layout.collection_items("x"))))


def expected(posts: list[Post]) -> list[tuple[str, str]]:
    """Post and state of each item, from the posts themselves."""
    return [
        (post.code, "stored" if picture.data is not None else "skipped")
        for post in posts
        for picture in post.pictures
    ]


def test_hashtag(store: Store, instagram: InstagramServer, logged_in: Path) -> None:
    posts = make_posts(CATS, 30)
    instagram.world.add_hashtag("betta", posts)
    told: list[tuple[str, int, int]] = []
    made = run(store, BETTA, lambda p, d, t, m="", **_: told.append((p, d, t)))

    met = items(store)
    assert [(item.post, item.state) for item in met] == expected(posts)
    assert (made.stored, made.skipped, made.duplicates, made.refused) == (32, 10, 0, 0)
    first, many = met[0], [item for item in met if item.post == posts[4].code]
    assert first.source == f"https://www.instagram.com/p/{posts[0].code}/"
    assert first.sha256 == hashlib.sha256(photo(0)).hexdigest()
    assert store.get(layout.image(first.sha256)) == photo(0)
    assert first.tags == ("betta", "fish0")  # lower-case, each once
    assert first.time == datetime(2026, 3, 1, 12, tzinfo=UTC)
    # The hashtag's pages know the owner's id alone; a sidecar's own data know the name.
    assert first.owner == "id:1001"
    assert [(i.source[-12:], i.state, i.reason, i.owner) for i in many] == [
        ("?img_index=1", "stored", "", "cat.lady"),
        ("?img_index=2", "skipped", "VIDEO", "cat.lady"),
        ("?img_index=3", "stored", "", "cat.lady"),
    ]
    assert told[-1] == ("collect", 30, 30)
    # The journal is gone, and these were all requests: no video, nothing twice.
    assert [o.key for o in store.iterate("collections/")] == [
        "collections/x/items.jsonl",
        "collections/x/manifest.json",
    ]
    assert instagram.counts == {"hashtag": 1, "hashtag posts": 3, "post": 6, "image": 32}


def test_profile_logged_out(store: Store, instagram: InstagramServer) -> None:
    posts = make_posts(FISH, 15)
    instagram.world.add_profile(FISH, posts)
    made = run(store, ProfileSource(profile="fishes"))
    assert [(item.post, item.state) for item in items(store)] == expected(posts)
    assert made.stored == 16
    assert {item.owner for item in items(store)} == {"fishes"}
    assert instagram.counts == {
        "page /fishes/": 2,
        "start": 1,  # for the web app's tokens and the CSRF cookie
        "post": 15,
        "profile posts (anonymous)": 1,
        "image": 16,
    }
    assert not any(request.cookies.get("sessionid") for request in instagram.requests)


def test_profile_logged_in(store: Store, instagram: InstagramServer, logged_in: Path) -> None:
    posts = make_posts(FISH, 25)
    instagram.world.add_profile(FISH, posts)
    run(store, ProfileSource(profile="fishes"))
    assert [(item.post, item.state) for item in items(store)] == expected(posts)
    assert instagram.counts == {
        "page /fishes/": 1,
        "profile": 1,
        "start": 1,
        "profile posts": 3,
        "image": 27,
    }


def test_images_are_fetched_without_the_session(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    instagram.world.add_hashtag("betta", make_posts(CATS, 3))
    run(store, BETTA)
    images = [request for request in instagram.requests if request.kind == "image"]
    assert len(images) == 3
    for request in images:
        assert request.host == IMAGE_HOST
        carried = " ".join([*request.headers.values(), *request.cookies.values()])
        assert not any(value in carried for value in (COOKIES["sessionid"], COOKIES["csrftoken"]))


@pytest.mark.parametrize("limit", [1, 12, 13])
def test_max_posts(store: Store, instagram: InstagramServer, logged_in: Path, limit: int) -> None:
    instagram.world.add_hashtag("betta", make_posts(CATS, 30))
    run(store, HashtagSource(hashtag="betta", max_posts=limit))
    assert len({item.post for item in items(store)}) == limit
    assert instagram.counts["hashtag posts"] == (limit + 11) // 12


def test_shared_pictures_and_posts(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    again = Post(77, CATS, (Picture(photo(0)),))
    posts = make_posts(CATS, 13)
    # The feed moved while it was read: the last post of page one is the first of page two.
    instagram.world.add_hashtag("betta", [again, *posts[:11], posts[10], *posts[11:]])
    made = run(store, BETTA)
    assert made.duplicates == 1
    assert len({i.post for i in items(store)}) == 14
    assert instagram.counts["image"] == made.stored + 1
    (duplicate,) = [i for i in items(store) if i.state == "duplicate"]
    assert duplicate.detail == f"The same bytes as https://www.instagram.com/p/{again.code}/."


def test_what_is_wrong_with_one_picture_costs_that_picture(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = [
        Post(1, CATS, (Picture(photo(1)),)),
        Post(2, CATS, (Picture(photo(2), host="evil.example"),)),
        Post(3, CATS, (Picture(b"<html>sign in</html>"),)),
        Post(4, CATS, (Picture(photo(4)),)),
        Post(5, CATS, (Picture(photo(5), host="scontent.cdninstagram.com.evil.example"),)),
        Post(6, CATS, (Picture(b"GIF89a" + bytes(60)),)),
    ]
    instagram.world.add_hashtag("betta", posts)
    del instagram.world.images[posts[3].pictures[0].path]
    instagram.fail("image", Answer(403, b"URL signature mismatch"))
    posts.append(Post(7, CATS, (Picture(photo(7)),)))
    instagram.world.add_hashtag("betta", posts)
    del instagram.world.images[posts[3].pictures[0].path]
    made = run(store, BETTA)
    assert made.stored == 1
    assert [item.reason for item in items(store)] == [
        "IMAGE_FORBIDDEN",
        "HOST_NOT_ALLOWED",
        "NOT_AN_IMAGE",
        "IMAGE_GONE",
        "HOST_NOT_ALLOWED",
        "UNSUPPORTED_FORMAT",
        "",
    ]
    assert {request.host for request in instagram.requests} == {
        "i.instagram.com",
        "www.instagram.com",
        IMAGE_HOST,
    }


def test_a_redirect_of_an_image_is_followed_to_instagrams_hosts_only(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 3)
    instagram.world.add_hashtag("betta", posts)
    target = Picture(photo(50), host="scontent.fbcdn.net")
    instagram.world.images[target.path] = photo(50)
    instagram.fail(
        "image",
        Answer(302, b"", {"Location": target.url}),
        Answer(0),
        Answer(302, b"", {"Location": "http://169.254.169.254/latest/meta-data/"}),
    )
    run(store, BETTA)
    assert [(i.state, i.reason) for i in items(store)] == [
        ("stored", ""),
        ("refused", "HOST_NOT_ALLOWED"),
        ("stored", ""),
    ]
    assert items(store)[0].sha256 == hashlib.sha256(photo(50)).hexdigest()


def test_a_post_deleted_since_it_was_listed(store: Store, instagram: InstagramServer) -> None:
    posts = make_posts(FISH, 14)
    instagram.world.add_profile(FISH, posts)
    empty = {"data": {"xdt_api__v1__media__shortcode__web_info": {"items": []}}}
    instagram.fail("post", Answer.json(empty), after=3)
    run(store, ProfileSource(profile="fishes"))
    met = items(store)
    assert [(i.state, i.reason) for i in met if i.post == posts[3].code] == [
        ("refused", "POST_UNAVAILABLE")
    ]
    # All others were taken, in order.
    assert list(dict.fromkeys(i.post for i in met)) == [post.code for post in posts]


def test_hashtags_need_a_login(store: Store, instagram: InstagramServer) -> None:
    instagram.world.add_hashtag("betta", make_posts(CATS, 3))
    with pytest.raises(Unauthenticated) as caught:
        run(store, BETTA)
    assert caught.value.reason == "INSTAGRAM_LOGIN_REQUIRED"
    assert str(caught.value) == (
        "Instagram shows the hashtag #betta only to somebody who is logged in; give a session in "
        "TAGLOOM_INSTAGRAM_SESSION, or collect from a folder."
    )
    assert instagram.kinds == ["hashtag"]  # asked once, and not again
    assert list(store.iterate("collections/")) == []


def test_private_profiles(
    store: Store, instagram: InstagramServer, logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = Profile("closed", "3003", private=True)
    instagram.world.add_profile(closed, make_posts(closed, 2))
    with pytest.raises(PermissionDenied) as caught:
        run(store, ProfileSource(profile="closed"))
    assert caught.value.reason == "INSTAGRAM_PROFILE_PRIVATE"
    monkeypatch.delenv("TAGLOOM_INSTAGRAM_SESSION")
    with pytest.raises(Unauthenticated) as anonymous:
        run(store, ProfileSource(profile="closed"))
    assert anonymous.value.reason == "INSTAGRAM_LOGIN_REQUIRED"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (HashtagSource(hashtag="nothing"), "There is no hashtag #nothing on Instagram"),
        (ProfileSource(profile="nobody"), "There is no profile @nobody on Instagram"),
    ],
)
def test_unknown_names(
    store: Store, instagram: InstagramServer, logged_in: Path, source: Source, message: str
) -> None:
    with pytest.raises(NotFound, match=message) as caught:
        run(store, source)
    assert caught.value.reason == "INSTAGRAM_NOT_FOUND"
    assert len(instagram.requests) == 1
    assert list(store.iterate("collections/")) == []


def test_no_picture_at_all(store: Store, instagram: InstagramServer, logged_in: Path) -> None:
    instagram.world.add_hashtag("betta", [Post(1, CATS, (Picture(None),))])
    with pytest.raises(FailedPrecondition) as caught:
        run(store, BETTA)
    assert caught.value.reason == "NO_PHOTOS"
    assert list(store.iterate("collections/")) == []


def test_an_answer_in_an_unknown_form(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    instagram.world.add_hashtag("betta", make_posts(CATS, 3))
    instagram.fail("hashtag posts", Answer.json({"data": {"hashtag": None}, "status": "ok"}))
    with pytest.raises(FailedPrecondition, match="does not understand") as caught:
        run(store, BETTA)
    assert caught.value.reason == "INSTAGRAM_RESPONSE_UNKNOWN"
