"""`tagloom forget` and `tagloom collection export`, with real services behind the command."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from instagram_server import SESSION, InstagramServer
from instagram_world import Picture, Post, Profile, photo
from PIL import Image

from services.stack import in_background
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.run import Run, TrainingOptions
from tagloom.cli.app import main
from tagloom.client import Credentials, connect
from tagloom.rpc.settings import Settings
from tagloom.store import Store, open_store
from tagloom.v1 import filter_pb2

CATS = Profile("catlady", "1001")
OFF = ("aspect", "sharpness", "grayscale", "text", "text_lines", "faces", "duplicates")
"""checks that have no say here"""


OPTIONS: dict[str, Any] = {
    "config": "stylegan2",
    "kimg": 2,
    "batch": 16,
    "r1_gamma": 1,
    "g_learning_rate": 0.002,
    "d_learning_rate": 0.002,
    "augment": "ada",
    "ada_target": 0.6,
    "ada_kimg": 100,
    "augment_p": 0,
    "ema_kimg": 0.5,
    "ema_rampup": None,
    "mirror": False,
    "seed": 0,
    "channel_base": 256,
    "channel_max": 8,
    "latent_size": 16,
    "mapping_layers": 1,
    "snapshot_kimg": 1,
    "tick_kimg": 1,
    "samples": 16,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def target(store: Store, tmp_path: Path) -> Iterator[str]:
    """The address of a scraper, a filter and a trainer on that store."""
    settings = Settings(store=str(tmp_path / "store"), address="127.0.0.1:0", workers=1)
    with in_background(settings, ("scraper", "filter", "trainer")) as server:
        yield server.address


@pytest.fixture
def instagram(monkeypatch: pytest.MonkeyPatch) -> Iterator[InstagramServer]:
    with InstagramServer() as server:
        monkeypatch.setenv("TAGLOOM_INSTAGRAM_URL", server.url)
        monkeypatch.setenv("TAGLOOM_INSTAGRAM_PAUSE_S", "0")
        monkeypatch.setenv("TAGLOOM_INSTAGRAM_SESSION", json.dumps(SESSION))
        yield server


def run(tmp_path: Path, target: str, *arguments: str) -> Result:
    environment = {"TAGLOOM_TARGET": target, "TAGLOOM_STORE": str(tmp_path / "store")}
    return CliRunner().invoke(main, arguments, env=environment)


def answer(tmp_path: Path, target: str, *arguments: str) -> dict[str, object]:
    result = run(tmp_path, target, *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


def picture(number: int) -> bytes:
    with (
        files("skimage").joinpath("data", ("chelsea.png", "coffee.png")[number % 2]).open("rb") as f
    ):
        image = Image.open(f).convert("RGB")
    sink = io.BytesIO()
    image.crop((number, number, number + 256, number + 256)).save(sink, "PNG")
    return sink.getvalue()


def test_a_photo_leaves_collections_datasets_and_verdicts(
    tmp_path: Path, target: str, store: Store
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(picture(number))
    sha256 = hashlib.sha256(picture(0)).hexdigest()
    answer(tmp_path, target, "scrape", "--collection", "cats", "--folder", str(folder))
    with connect(target, Credentials()) as clients:
        request = filter_pb2.CreateDatasetRequest(
            dataset_id="cats",
            collection="collections/cats",
            resolution=128,
            thresholds=[filter_pb2.Threshold(check=check) for check in OFF],
        )
        made = clients.wait(clients.filter.CreateDataset(request), filter_pb2.Dataset)
    assert made.kept_count == 4
    Run(
        id="trained",
        create_time=now(),
        update_time=now(),
        state="succeeded",
        dataset="datasets/cats",
        dataset_sha256=made.content_sha256,
        options=TrainingOptions(**OPTIONS),
        resolution=128,
        generator={},
        discriminator={},
    ).create(store, layout.run_document("trained"), "runs/trained")

    done = answer(tmp_path, target, "forget", sha256.upper())
    assert done == {
        "sha256": [sha256],
        "collections": ["collections/cats"],
        "unfinished": [],
        "datasets": ["datasets/cats"],
        "changed": ["datasets/cats"],
        "runs": ["runs/trained"],
    }
    verdicts = answer(tmp_path, target, "get", "datasets/cats")
    assert (verdicts["judged_count"], verdicts["train_count"], verdicts["revision"]) == (3, 3, 2)
    listed = run(tmp_path, target, "verdicts", "cats", "--json")
    assert sha256 not in listed.output
    for info in store.iterate():
        if not info.key.startswith((layout.FORGOTTEN, "operations/", "requests/")):
            data = store.get(info.key)
            assert picture(0) not in data
            if info.key != layout.dataset_manifest("cats"):  # which says what it held
                assert sha256.encode() not in data, info.key
    # Asked again, it says the same of the runs, and changes nothing.
    again = answer(tmp_path, target, "forget", sha256)
    assert again == {**done, "collections": [], "changed": []}
    text = run(tmp_path, target, "forget", sha256).output
    assert "1 image forgotten for good." in text
    assert "check what you wrote" not in text
    assert "Trained on it: runs/trained. A network cannot forget" in text
    wrong = sha256[:-1] + ("0" if sha256[-1] != "0" else "1")
    text = run(tmp_path, target, "forget", wrong).output
    assert "No collection or dataset has it now; if one should, check what you wrote." in text
    assert answer(tmp_path, target, "forget", "Cnobody1")["sha256"] == []
    assert run(tmp_path, target, "forget", "no such thing").exit_code == 1


def test_export_and_what_a_collection_says(
    tmp_path: Path, target: str, instagram: InstagramServer
) -> None:
    posts = [Post(30 + n, CATS, (Picture(photo(n)),), f"no {n}") for n in range(4)]
    instagram.world.add_hashtag("betta", posts[:3])
    instagram.world.add_hashtag("fish", posts[1:])
    arguments = ["--hashtag", "#betta", "--hashtag", "fish", "--posts", "9", "--likes"]
    made = answer(tmp_path, target, "scrape", "--collection", "a", *arguments)
    assert made["hashtag"] == {
        "hashtag": "betta",
        "more_hashtags": ["fish"],
        "max_posts": 9,
        "options": {"first_picture_only": False, "likes": True, "comments": False},
    }
    names = [
        f"{p.code}-{hashlib.sha256(photo(n)).hexdigest()[:12]}.jpg" for n, p in enumerate(posts)
    ]
    for kind, folders in {
        "flat": [""] * 4,
        "tag": ["betta/", "betta/", "betta/", "fish/"],
        "date": ["2026-03/"] * 4,
    }.items():
        out = tmp_path / kind
        done = answer(
            tmp_path, target, "collection", "export", "a", "--out", str(out), "--layout", kind
        )
        assert done["photos"] == 4
        wanted = [folder + name for folder, name in zip(folders, names, strict=True)]
        found = [p.relative_to(out).as_posix() for p in out.rglob("*.jpg")]
        assert sorted(found) == sorted(wanted)
        for number, name in enumerate(wanted):
            assert (out / name).read_bytes() == photo(number)
        lines = [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]
        assert [line["file"] for line in lines] == wanted
        assert [line["likes"] for line in lines] == [3] * 4
        assert lines[0]["caption"] == "no 0"
    posts.insert(0, Post(90, CATS, (Picture(photo(60)),)))
    instagram.world.add_hashtag("betta", posts[:4])
    result = run(tmp_path, target, "scrape", "--collection", "a", "--update")
    assert result.exit_code == 0, result.output
    assert "collections/a: 1 new photo; 5 photos stored of 5 files met" in result.output
    wrong = run(tmp_path, target, "scrape", "--collection", "a", "--update", "--hashtag", "x")
    assert wrong.exit_code == 2
    # From another store than the services': said, not half done.
    other = run(
        tmp_path, target, "collection", "export", "a", "--out", str(tmp_path / "o"), "--store", "x"
    )
    assert "IMAGE_MISSING" in other.output
