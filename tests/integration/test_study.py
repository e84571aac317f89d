"""The seed study's data pipeline, from a hashtag with everything that troubled it to a report.

Posts of one to three images, some of them off what a training set may have (a face, a page of
text, gray, small), posts again of what was posted before, a video now and then; and an Instagram
that limits, shows empty pages, fails, and wants a person to confirm something half-way.
"""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from instagram_server import SESSION, Answer, InstagramServer
from instagram_world import Picture, Post, Profile
from PIL import Image

from .conftest import Answer as Printed
from .conftest import environment

FILE = """\
experiment: study
title: From a hashtag
collect: {{hashtag: betta, posts: {posts}}}
filter: {{resolution: 160, output_size: 16, held_out: 0.25}}
train:
  kimg: 0.032
  batch: 8
  channel_base: 128
  channel_max: 8
  latent_size: 16
  snapshot_kimg: 0.032
  tick_kimg: 0.016
evaluate: {{metrics: [frechet, kernel], samples: 32}}
"""
GOOD = ("chelsea.png", "coffee.png", "rocket.jpg", "china.jpg", "flower.jpg")
OWNERS = [Profile(f"person{n}", f"{1000 + n}") for n in range(7)]
CHALLENGE = Answer.failure(400, "checkpoint_required")


@cache
def original(name: str) -> Image.Image:
    places = (("skimage", "data"), ("sklearn", "datasets", "images"))
    for package, *folders in places:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        path = Path(spec.origin).parent.joinpath(*folders, name)
        if path.exists():
            return Image.open(path).convert("RGB")
    raise FileNotFoundError(name)


def crop(name: str, side: int, chance: random.Random, out: int = 200) -> Image.Image:
    image = original(name)
    side = min(side, *image.size)
    left, top = chance.randint(0, image.width - side), chance.randint(0, image.height - side)
    return image.crop((left, top, left + side, top + side)).resize((out, out), Image.LANCZOS)


def jpeg(image: Image.Image, chance: random.Random) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=chance.randint(85, 95))
    return sink.getvalue()


@dataclass
class Hashtag:
    """Posts, and what is wrong with their images, where something is."""

    posts: list[Post] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    """the check that has to find it, by the source of an item"""


def make_hashtag(number: int) -> Hashtag:
    chance, made, good = random.Random(number), Hashtag(), list[bytes]()
    for n in range(number):
        pictures: list[Picture] = []
        wrong: dict[int, str] = {}
        for place in range(1, chance.choice((1, 1, 2, 3)) + 1):
            kind = chance.choices(
                ("good", "grayscale", "text", "faces", "resolution", "again", "video"),
                (14, 1, 1, 1, 1, 1, 1),
            )[0]
            name = chance.choice(GOOD)
            match kind:
                case "video":
                    pictures.append(Picture(None))
                    continue
                case "again" if good:
                    pictures.append(Picture(chance.choice(good)))
                    continue
                case "grayscale":
                    image = crop(name, 300, chance).convert("L").convert("RGB")
                case "text":
                    image = original("page.png").resize((384, 191), Image.LANCZOS)
                    image = image.crop((left := chance.randint(0, 150), 0, left + 191, 191))
                case "faces":
                    shift = chance.randint(0, 20)
                    image = original("astronaut.png").crop((60 + shift, 0, 360 + shift, 300))
                case "resolution":
                    image = crop(name, 300, chance, out=100)
                case _:
                    image = crop(name, chance.randint(220, 300), chance)
            data = jpeg(image, chance)
            pictures.append(Picture(data))
            if kind in ("grayscale", "text", "faces", "resolution"):
                wrong[place] = kind
            elif kind == "good":
                good.append(data)
        post = Post(
            5_000_000_000_000_000_000 + n, OWNERS[n % 7], tuple(pictures), f"post {n} #betta #fish"
        )
        made.posts.append(post)
        address = f"https://www.instagram.com/p/{post.code}/"
        for place, check in wrong.items():
            source = f"{address}?img_index={place}" if len(pictures) > 1 else address
            made.wrong[source] = check
    return made


def tagloom(folder: Path, instagram: InstagramServer, *arguments: str) -> Printed:
    settings = {
        "TAGLOOM_INSTAGRAM_URL": instagram.url,
        "TAGLOOM_INSTAGRAM_SESSION": json.dumps(SESSION),
        "TAGLOOM_INSTAGRAM_PAUSE_S": "0",
        "TAGLOOM_INSTAGRAM_RETRY_S": "0.1",
        "TAGLOOM_INSTAGRAM_COOLDOWN_S": "1",
        "TAGLOOM_INSTAGRAM_MAX_WAIT_S": "3600",
        "TAGLOOM_INSTAGRAM_LEASE_S": "5",
        "TAGLOOM_INSTAGRAM_BUDGET": "100",  # else a thousand posts take an hour
    }
    done = subprocess.run(
        [sys.executable, "-m", "tagloom.cli", "--store", "store", *arguments],
        cwd=folder,
        env={**environment(), **settings},
        capture_output=True,
        text=True,
        timeout=5400,
        check=False,
    )
    return Printed(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("number", [26, pytest.param(1000, marks=pytest.mark.long)])
def test_from_a_hashtag_to_a_report(tmp_path: Path, number: int) -> None:
    hashtag = make_hashtag(number)
    (tmp_path / "study.yaml").write_text(FILE.format(posts=number))
    with InstagramServer() as instagram:
        instagram.world.add_hashtag("betta", hashtag.posts)
        wait = "Please wait a few minutes before you try again."
        instagram.fail("hashtag posts", Answer.failure(401, wait), after=1)
        instagram.fail(
            "image", Answer(429, b"", {"Retry-After": "2"}), Answer(503), after=number // 3
        )
        instagram.fail("image", CHALLENGE, after=0)
        instagram.fail("post", CHALLENGE, after=number // 5)

        first = tagloom(tmp_path, instagram, "run", "study.yaml", "--json")
        assert first.code == 1
        assert first.document["error"]["reason"] == "INSTAGRAM_CHALLENGE", first.err
        taken = instagram.counts["image"]
        assert taken > number // 8
        # The person confirmed what was to be confirmed, and runs the same command again.
        second = tagloom(tmp_path, instagram, "run", "study.yaml", "--json")
        assert second.code == 0, second.err
        document = second.document
        images = sum(p.data is not None for post in hashtag.posts for p in post.pictures)
        # Nothing was fetched twice but what failed, and the post at which it was stopped.
        assert instagram.counts["image"] <= images + 2 + 3

    name, made = document["collection"], document["dataset"]
    collection = tagloom(tmp_path, instagram, "get", name, "--json").document
    items = sum(len(post.pictures) for post in hashtag.posts)
    assert collection["item_count"] == items
    assert collection["stored_count"] + collection["duplicate_count"] == images
    out = ["collection", "export", name, "--out", "photos", "--layout", "tag", "--json"]
    exported = tagloom(tmp_path, instagram, *out)
    assert exported.code == 0, exported.err
    assert exported.document["photos"] == collection["stored_count"]
    lines = (tmp_path / "photos" / "items.jsonl").read_text().splitlines()
    met = [json.loads(line) for line in lines]
    codes = [post.code for post in hashtag.posts]
    assert list(dict.fromkeys(line["post"] for line in met)) == [
        code for code in codes if code in {line["post"] for line in met}
    ]
    assert {line["owner"] for line in met} <= {
        *(owner.username for owner in OWNERS),
        *(f"id:{owner.pk}" for owner in OWNERS),
    }
    assert all(line["caption"].endswith("#betta #fish") for line in met)

    verdicts = tagloom(tmp_path, instagram, "verdicts", made, "--json").document["verdicts"]
    assert len(verdicts) == collection["stored_count"]
    failed = {verdict["source"]: verdict["failed_checks"] for verdict in verdicts}
    missed = {s: c for s, c in hashtag.wrong.items() if s in failed and c not in failed[s]}
    found = {s: c for s, c in hashtag.wrong.items() if s in failed and c in failed[s]}
    assert len(missed) <= len(hashtag.wrong) // 20, (missed, Counter(found.values()))
    assert set(found.values()) == set(hashtag.wrong.values())
    kept = [verdict for verdict in verdicts if verdict["kept"]]
    assert len(kept) > images // 6
    assert not {verdict["source"] for verdict in kept} & set(found)

    report = (tmp_path / document["report"]).read_text()
    for says in (
        "From a hashtag",
        "From Instagram's hashtag #betta.".replace("'", "&#39;"),
        f"{items:,}",
        f"{collection['stored_count']:,}",
        "It is a video; only pictures are taken.",
    ):
        assert says in report or says.replace("&#39;", "'") in report, says
    stored = b"".join(p.read_bytes() for p in (tmp_path / "store").rglob("*") if p.is_file())
    printed = first.out + first.err + second.out + second.err + report
    for secret in (SESSION["cookies"]["sessionid"], SESSION["cookies"]["csrftoken"]):
        assert secret.encode() not in stored
        assert secret not in printed
