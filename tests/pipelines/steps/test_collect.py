"""The call that the first step makes, for each source of an experiment file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.identity import resource_id
from pipelines.spec import load_experiment, parse_experiment
from pipelines.steps.collect import collect_request
from tagloom.errors import InvalidArgument
from tagloom.v1 import scraper_pb2

FILE = """\
experiment: x
collect: {}
filter: {{resolution: 64}}
train: {{kimg: 1}}
"""


def asked(collect: str, folder: Path | None = None) -> scraper_pb2.CreateCollectionRequest:
    if folder is None:
        spec = parse_experiment(FILE.format(collect), "x.yaml")
    else:
        (folder / "x.yaml").write_text(FILE.format(collect))
        spec = load_experiment(folder / "x.yaml")
    return collect_request("x", spec.collect, "")


def test_hashtags_and_what_is_taken_of_a_post() -> None:
    one = asked("{hashtag: betta, posts: 7}")
    assert (one.hashtag.hashtag, one.hashtag.max_posts) == ("betta", 7)
    several = asked(
        "{hashtag: [betta, fish], first_picture: true, likes: true, comments: true, frames: 3}"
    )
    assert (several.hashtag.hashtag, list(several.hashtag.more_hashtags)) == ("betta", ["fish"])
    options = several.hashtag.options
    assert (options.first_picture_only, options.likes, options.comments) == (True, True, True)
    assert several.frames_per_video == 3
    profiles = asked("{profile: [a, b]}")
    assert (profiles.profile.profile, list(profiles.profile.more_profiles)) == ("a", ["b"])
    assert asked("{s3: 's3://bucket/photos'}").s3.url == "s3://bucket/photos"
    ids = {asked(c).collection_id for c in ("{hashtag: a}", "{hashtag: [a, b]}", "{profile: a}")}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "collect",
    [
        {"folder": None, "hashtag": "betta", "profile": None, "posts": 1000},
        {"folder": None, "hashtag": None, "profile": "betta", "posts": 5},
    ],
)
def test_ids_of_older_experiments_stay(collect: dict[str, Any]) -> None:
    """An experiment that was collected before there were other sources finds its collection."""
    (kind,) = [kind for kind in ("hashtag", "profile") if collect[kind]]
    there = resource_id("x", {"collect": collect, "salt": ""})
    assert asked(f"{{{kind}: betta, posts: {collect['posts']}}}").collection_id == there


def test_files_are_taken_from_the_experiments_folder_and_known_by_their_state(
    tmp_path: Path,
) -> None:
    for kind in ("urls", "zip"):
        path = tmp_path / f"photos.{kind}"
        path.write_text("http://example.org/a.jpg\n")
        request = asked(f"{{{kind}: photos.{kind}}}", tmp_path)
        assert getattr(request, kind).path == str(path)
        path.write_text("http://example.org/a.jpg\nhttp://example.org/b.jpg\n")
        assert asked(f"{{{kind}: photos.{kind}}}", tmp_path).collection_id != request.collection_id
        with pytest.raises(InvalidArgument, match=f"collect.{kind} is 'photos.{kind}'"):
            load_experiment(tmp_path / "x.yaml", here=False)


@pytest.mark.parametrize(
    ("collect", "says"),
    [
        ("{urls: a, zip: b}", "found zip and urls"),
        ("{urls: a, posts: 3}", "other sources are taken whole"),
        ("{folder: a, likes: true}", "likes is about posts"),
        ("{hashtag: []}", "hashtag"),
        ("{hashtag: a, frames: 101}", "frames"),
    ],
)
def test_what_does_not_go_together(collect: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        asked(collect)
