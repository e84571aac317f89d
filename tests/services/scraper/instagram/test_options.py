"""Several hashtags, parts of posts, what posts say, videos, and what is new."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import film
from instagram_server import InstagramServer
from instagram_world import Picture, Post, Profile, make_posts, photo

from services.scraper.collect import CollectRequest, collect, refresh, refresh_request
from tagloom.artifacts import layout
from tagloom.artifacts.collection import (
    Collection,
    FolderSource,
    HashtagSource,
    Item,
    PostOptions,
    ProfileSource,
    Source,
    read_items,
)
from tagloom.errors import Cancelled
from tagloom.progress import silent
from tagloom.store import Store

CATS = Profile("catlady", "1001")


def run(store: Store, source: Source, frames: int = 0) -> Collection:
    return collect(store, CollectRequest("x", source, frames_per_video=frames))


def update(store: Store, posts: int = 0, report: object = silent) -> Collection:
    request = refresh_request(store, "collections/x", CollectRequest("", FolderSource(path="")))
    assert callable(report)
    return refresh(store, request, posts, report)


def items(store: Store) -> list[Item]:
    key = layout.collection_manifest("x")
    return list(read_items(store, Collection.load(store, key, "collections/x")))


def posts_of(store: Store) -> list[str]:
    return list(dict.fromkeys(item.post for item in items(store)))


def test_several_hashtags_share_posts_and_images(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 40)
    instagram.world.add_hashtag("betta", posts[:25])
    instagram.world.add_hashtag("fish", posts[15:])
    made = run(store, HashtagSource(hashtag="betta", more=("fish",), max_posts=20))
    codes = [post.code for post in posts]
    assert posts_of(store) == [*codes[:20], *codes[20:40]]
    feeds = {item.post: item.feed for item in items(store)}
    assert {feeds[code] for code in codes[:20]} == {"#betta"}
    assert {feeds[code] for code in codes[20:]} == {"#fish"}
    assert instagram.counts["image"] == made.stored
    assert instagram.counts["hashtag"] == 2


def test_a_job_with_several_hashtags_goes_on_after_each_post(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 16)
    instagram.world.add_hashtag("betta", posts[:9])
    instagram.world.add_hashtag("fish", posts[5:])
    source = HashtagSource(hashtag="betta", more=("fish",))
    most = 0

    def stop(phase: str, done: int, total: int, message: str = "", **_: object) -> None:
        nonlocal most
        if message.startswith("post ") and done > most:
            most = done
            raise Cancelled("Stop.", reason="CANCELLED")

    while True:
        try:
            collect(store, CollectRequest("x", source), stop)
            break
        except Cancelled:
            continue
    assert most == 16
    assert posts_of(store) == [post.code for post in posts]
    stored = [item for item in items(store) if item.state == "stored"]
    assert instagram.counts["image"] == len(stored)


def test_only_the_first_picture_costs_no_query(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = [p for p in make_posts(CATS, 30) if p.media_type != 2]
    instagram.world.add_hashtag("betta", posts)
    options = PostOptions(first_picture_only=True)
    made = run(store, HashtagSource(hashtag="betta", options=options))
    assert made.stored == len(posts)
    assert [i.sha256 for i in items(store)] == [
        hashlib.sha256(post.pictures[0].data or b"").hexdigest() for post in posts
    ]
    assert instagram.counts["post"] == 0


def test_what_a_post_says_is_kept(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    said = (("fan", "so nice"), ("Other.Fan", "where is it?"))
    many = tuple((f"fan{n}", f"comment {n}") for n in range(30))
    posts = [
        Post(10, CATS, (Picture(photo(1)),), "one #Betta\nsecond line", comments=said),
        Post(11, CATS, (Picture(photo(2)),), "two", comments=many),
        Post(12, CATS, (Picture(photo(3)),)),
    ]
    instagram.world.add_hashtag("betta", posts)
    run(store, HashtagSource(hashtag="betta"))
    first = items(store)[0]
    assert first.caption == "one #Betta\nsecond line"
    assert first.permalink == f"https://www.instagram.com/p/{posts[0].code}/"
    assert (first.feed, first.tags, first.likes, first.comments) == ("#betta", ("betta",), None, ())
    assert instagram.counts["comments"] == 0
    options = PostOptions(likes=True, comments=True)
    collect(store, CollectRequest("y", HashtagSource(hashtag="betta", options=options)))
    key = layout.collection_manifest("y")
    found = list(read_items(store, Collection.load(store, key, "collections/y")))
    assert [item.likes for item in found] == [3, 3, 3]
    assert [(c.owner, c.text) for c in found[0].comments] == [
        ("fan", "so nice"),
        ("other.fan", "where is it?"),
    ]
    assert len(found[1].comments) == 30
    assert found[2].comments == ()
    assert instagram.counts["comments"] == 2


@pytest.mark.parametrize("kind", ["hashtag", "profile"])
def test_frames_of_videos(
    store: Store, instagram: InstagramServer, logged_in: Path, kind: str
) -> None:
    posts = [
        Post(20, CATS, (Picture(photo(1)), Picture(None, film=film()), Picture(photo(2)))),
        Post(21, CATS, (Picture(None, film=film() + b"more"),)),
        Post(22, CATS, (Picture(None, film=b"\0\0\0\x18ftypisom" + bytes(500)),)),
        Post(23, CATS, (Picture(photo(3)),)),
    ]
    instagram.world.add_hashtag("betta", posts)
    instagram.world.add_profile(CATS, posts)
    source: Source = (
        HashtagSource(hashtag="betta") if kind == "hashtag" else ProfileSource(profile="catlady")
    )
    made = run(store, source, frames=3)
    met = items(store)
    assert [i.second for i in met] == [None, 0.5, 1.5, 2.5, None, 0.5, 1.5, 2.5, None, None]
    assert [i.reason for i in met if i.reason] == ["VIDEO_UNREADABLE"]
    address = f"https://www.instagram.com/p/{posts[0].code}/?img_index=2"
    assert met[1].source == f"{address}#t=0.50"
    assert met[1].origin == address
    assert met[1].owner == met[0].owner
    frame = cv2.imdecode(np.frombuffer(store.get(layout.image(met[2].sha256)), np.uint8), 1)
    assert frame.shape == (120, 160, 3)
    assert abs(float(frame.mean()) - 15 * 8) < 6
    assert made.frames_per_video == 3
    # The same frames of another post are the same images.
    assert [i.state for i in met[5:8]] == ["duplicate"] * 3


def test_an_update_takes_only_what_is_new(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 40)
    instagram.world.add_hashtag("betta", posts[20:])
    first = run(store, HashtagSource(hashtag="betta"))
    asked = len(instagram.requests)
    same = update(store)
    assert same == first
    assert instagram.kinds[asked:] == ["hashtag", "hashtag posts"]

    instagram.world.add_hashtag("betta", posts)  # newest first
    asked = len(instagram.requests)
    made = update(store)
    assert (made.revision, made.create_time) == (2, first.create_time)
    assert posts_of(store) == [p.code for p in (*posts[20:], *posts[:20])]
    images = instagram.kinds[asked:].count("image")
    assert images == made.stored - first.stored
    assert instagram.kinds[asked:].count("hashtag posts") == 3  # 20 new, then 12 known ones
    assert [info.key for info in store.iterate("collections/x/")] == [
        layout.collection_items("x", made.items),
        layout.collection_manifest("x"),
    ]


def test_an_update_that_is_cut_off_loses_nothing(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 34)
    instagram.world.add_hashtag("betta", posts[14:])
    run(store, HashtagSource(hashtag="betta"))
    instagram.world.add_hashtag("betta", posts)
    most = 0

    def stop(phase: str, done: int, total: int, message: str = "", **_: object) -> None:
        nonlocal most
        if message.startswith("post ") and done > most:
            most = done
            raise Cancelled("Stop.", reason="CANCELLED")

    while True:
        try:
            update(store, report=stop)
            break
        except Cancelled:
            continue
    assert posts_of(store) == [p.code for p in (*posts[14:], *posts[:14])]
    assert len(items(store)) == sum(len(post.pictures) for post in posts)


def test_new_posts_are_limited_by_the_update_alone(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 20)
    instagram.world.add_hashtag("betta", posts[10:])
    run(store, HashtagSource(hashtag="betta", max_posts=10))
    instagram.world.add_hashtag("betta", posts)
    made = update(store, posts=3)
    assert posts_of(store) == [p.code for p in (*posts[10:], *posts[:3])]
    assert made.source == HashtagSource(hashtag="betta", max_posts=10)
