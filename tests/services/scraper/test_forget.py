"""Takedowns: nothing of an image is left, it never comes back, and no kill comes between."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dying_store import Dying, Killed
from instagram_server import InstagramServer
from instagram_world import Picture, Post, Profile, make_posts, photo

from services.scraper.collect import CollectRequest, collect, refresh, refresh_request
from services.scraper.forget import Takedown, Target, forget, parse_target
from tagloom.artifacts import layout
from tagloom.artifacts.collection import (
    Collection,
    FolderSource,
    HashtagSource,
    Item,
    content_hash,
    read_items,
)
from tagloom.errors import Cancelled, InvalidArgument
from tagloom.store import Store, open_store

CATS = Profile("catlady", "1001")
BETTA = HashtagSource(hashtag="betta")
FRESH = CollectRequest("", FolderSource(path=""))


def load(store: Store, name: str) -> tuple[Collection, list[Item]]:
    key = layout.collection_manifest(name)
    made = Collection.load(store, key, f"collections/{name}")
    return made, list(read_items(store, made))


def is_whole(store: Store, name: str) -> list[Item]:
    """The items of a collection that is in order: counts, hash and images agree."""
    made, met = load(store, name)
    stored = [item.sha256 for item in met if item.state == "stored"]
    assert made.content_sha256 == content_hash(stored)
    assert made.stored == len(stored)
    assert made.refused == sum(item.state == "refused" for item in met)
    assert all(store.exists(layout.image(sha256)) for sha256 in stored)
    return met


def holds(store: Store, *needles: bytes) -> list[str]:
    """Keys of the objects in which one of these occurs, tombstones left out."""
    return [
        info.key
        for info in store.iterate()
        if not info.key.startswith(layout.FORGOTTEN)
        and any(needle in store.get(info.key) for needle in needles)
    ]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(photo(number))
    (folder / "0 again.jpg").write_bytes(photo(0))
    return folder


def test_an_image_leaves_every_collection_and_comes_back_from_nowhere(
    store: Store, photos: Path
) -> None:
    source = FolderSource(path=str(photos))
    for name in ("a", "b"):
        collect(store, CollectRequest(name, source))
    (photos / "0.jpg").unlink()
    (photos / "0 again.jpg").unlink()
    collect(store, CollectRequest("c", source))
    before = load(store, "c")
    sha256 = hashlib.sha256(photo(0)).hexdigest()

    done = forget(store, Target(image=sha256))
    assert done == Takedown((sha256,), ("collections/a", "collections/b"), ())
    assert not store.exists(layout.image(sha256))
    assert store.exists(layout.forgotten_image(sha256))
    for name in ("a", "b"):
        met = is_whole(store, name)
        assert {i.source: i.reason for i in met if i.reason} == {
            "0.jpg": "FORGOTTEN",
            "0 again.jpg": "FORGOTTEN",
        }
        assert (load(store, name)[0].stored, load(store, name)[0].revision) == (4, 2)
    assert load(store, "c") == before
    assert holds(store, sha256.encode(), photo(0)) == []
    assert len(list(store.iterate("collections/a/"))) == 2

    assert forget(store, Target(image=sha256)) == Takedown((sha256,), (), ())
    # Under another name, in another source.
    (photos / "renamed.jpg").write_bytes(photo(0))
    collect(store, CollectRequest("d", source))
    assert {i.source: i.reason for i in is_whole(store, "d") if i.reason} == {
        "renamed.jpg": "FORGOTTEN"
    }
    assert holds(store, sha256.encode(), photo(0)) == []


def test_a_post_is_forgotten_with_all_that_it_said(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 15)
    private = Post(99, CATS, (Picture(photo(70)), Picture(photo(71))), "my secret garden #betta")
    instagram.world.add_hashtag("betta", [*posts[:5], private, *posts[5:]])
    collect(store, CollectRequest("a", BETTA))
    collect(store, CollectRequest("b", HashtagSource(hashtag="betta", max_posts=3)))
    hashes = sorted(hashlib.sha256(photo(n)).hexdigest() for n in (70, 71))

    done = forget(store, parse_target(f"https://www.instagram.com/catlady/p/{private.code}/?x=1"))
    assert done == Takedown(tuple(hashes), ("collections/a",), ())
    met = [item for item in is_whole(store, "a") if item.post == private.code]
    assert [(i.reason, i.owner, i.caption, i.sha256, i.time) for i in met] == [
        ("FORGOTTEN", "", "", "", None)
    ] * 2
    assert holds(store, b"secret garden", photo(70), *(h.encode() for h in hashes)) == []

    # It is asked for no more, neither anew nor by an update.
    asked = len(instagram.requests)
    collect(store, CollectRequest("c", BETTA))
    new = instagram.requests[asked:]
    assert not any(private.code in str(request.parameters) for request in new)
    assert not {p.path for p in private.pictures} & {request.path for request in new}
    assert [i.reason for i in is_whole(store, "c") if i.post == private.code] == ["FORGOTTEN"]
    before = load(store, "a")
    refresh(store, refresh_request(store, "collections/a", FRESH))
    assert load(store, "a") == before
    # Posted again under another code, its pictures are known.
    again = Post(98, CATS, (Picture(photo(70)),))
    instagram.world.add_hashtag("betta", [again, *posts])
    collect(store, CollectRequest("d", BETTA))
    assert [i.reason for i in is_whole(store, "d") if i.post == again.code] == ["FORGOTTEN"]
    assert forget(store, Target(post=private.code)).images == tuple(hashes)


def test_what_nobody_collected_yet_is_remembered_all_the_same(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 3)
    instagram.world.add_hashtag("betta", posts)
    assert forget(store, Target(post=posts[1].code)) == Takedown((), (), ())
    collect(store, CollectRequest("a", BETTA))
    assert [i.reason for i in is_whole(store, "a")] == ["", "FORGOTTEN", ""]
    assert instagram.counts["image"] == 2


def test_forgotten_while_it_is_collected(
    store: Store, instagram: InstagramServer, logged_in: Path
) -> None:
    posts = make_posts(CATS, 10)
    instagram.world.add_hashtag("betta", posts)
    sha256 = hashlib.sha256(photo(0)).hexdigest()
    seen: list[Takedown] = []

    def report(phase: str, done: int, total: int, message: str = "", **_: object) -> None:
        if done == 6 and not seen:
            seen.append(forget(store, Target(post=posts[0].code)))
            seen.append(forget(store, Target(post=posts[8].code)))

    collect(store, CollectRequest("a", BETTA), report)
    assert seen[0] == Takedown((sha256,), (), ("collections/a",))
    forgotten = {i.post for i in is_whole(store, "a") if i.reason == "FORGOTTEN"}
    assert forgotten == {posts[0].code, posts[8].code}
    assert holds(store, sha256.encode(), photo(0)) == []


def test_what_is_not_a_target() -> None:
    for text in ("", "no post", "../x", "https://example.org/p/abc/", "a" * 65):
        with pytest.raises(InvalidArgument):
            parse_target(text)
    for text in ("a" * 63, "F0" * 33, "0" * 40):
        with pytest.raises(InvalidArgument, match=f"it has {len(text)}") as caught:
            parse_target(text)
        assert caught.value.reason == "INVALID_SHA256"
    assert parse_target("Deadbeef123") == Target(post="Deadbeef123")
    assert parse_target("A" * 64) == Target(image="a" * 64)
    assert parse_target("https://instagram.com/reel/Cabc-_1/") == Target(post="Cabc-_1")


@pytest.mark.parametrize("after", [False, True], ids=["before a write", "after a write"])
def test_killed_at_every_write(
    tmp_path: Path, instagram: InstagramServer, logged_in: Path, after: bool
) -> None:
    posts = make_posts(CATS, 6)
    instagram.world.add_hashtag("betta", posts)
    target = Target(post=posts[4].code)
    hashes = [hashlib.sha256(photo(n)).hexdigest() for n in (8, 9)]
    for writes in range(1, 40):
        store = open_store(str(tmp_path / f"{writes}"))
        collect(store, CollectRequest("a", BETTA))
        collect(store, CollectRequest("b", BETTA))
        try:
            forget(Dying(store, writes, after=after), target)
            ended = True
        except Killed:
            ended = False
        for name in ("a", "b"):  # never half a collection
            made, met = load(store, name)
            stored = [item.sha256 for item in met if item.state == "stored"]
            assert made.content_sha256 == content_hash(stored)
        assert set(forget(store, target).images) == set(hashes)
        assert holds(store, *(h.encode() for h in hashes), photo(8), photo(9)) == []
        for name in ("a", "b"):
            assert [i.reason for i in is_whole(store, name) if i.post == target.post] == [
                "FORGOTTEN"
            ] * 3
            assert len(list(store.iterate(f"collections/{name}/"))) == 2
        if ended:
            assert writes > 8
            return
    pytest.fail("it never came to its end")


_CHILD = """
import sys
from services.scraper.forget import Target, forget
from tagloom.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    forget(store, Target(image=line.strip()))
"""


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.long)])
def test_processes_killed_while_they_forget(store: Store, tmp_path: Path, kills: int) -> None:
    chance = random.Random(kills)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(kills + 5):
        (folder / f"{number}.jpg").write_bytes(photo(number))
    for name in ("a", "b", "c"):
        collect(store, CollectRequest(name, FolderSource(path=str(folder))))
    for number in range(kills):
        sha256 = hashlib.sha256(photo(number)).hexdigest()
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, store.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        child.stdin.write(f"{sha256}\n")
        child.stdin.flush()
        time.sleep(chance.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        forget(store, Target(image=sha256))
        for name in ("a", "b", "c"):
            assert load(store, name)[0].stored == kills + 4 - number
            is_whole(store, name)
        assert holds(store, sha256.encode()) == []


def test_an_update_and_a_takedown_at_once(store: Store, photos: Path) -> None:
    """Whoever is second sees what the first did: nothing is lost, nothing comes back."""
    source = FolderSource(path=str(photos))
    collect(store, CollectRequest("a", source))
    (photos / "new.jpg").write_bytes(photo(50))
    sha256 = hashlib.sha256(photo(1)).hexdigest()

    def report(phase: str, done: int, total: int, message: str = "", **_: object) -> None:
        if message == "new.jpg":
            forget(store, Target(image=sha256))

    refresh(store, refresh_request(store, "collections/a", FRESH), 0, report)
    met = is_whole(store, "a")
    assert {i.source: i.reason for i in met if i.source in ("1.jpg", "new.jpg")} == {
        "1.jpg": "FORGOTTEN",
        "new.jpg": "",
    }
    assert load(store, "a")[0].revision == 3

    def cancel(phase: str, done: int, total: int, message: str = "", **_: object) -> None:
        raise Cancelled("Stop.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        forget(store, Target(image=sha256), cancel)
