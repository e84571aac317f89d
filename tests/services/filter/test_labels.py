"""Classes of photos: what the collection says, and what is refused."""

from __future__ import annotations

import pytest

from services.filter.labels import checked_labels, classes_of, label_result
from tagloom.artifacts.base import now
from tagloom.artifacts.collection import Collection, FolderSource, HashtagSource, Item
from tagloom.artifacts.dataset import LabelSource
from tagloom.errors import FailedPrecondition, InvalidArgument


def item(sha256, source="", tags=(), state="stored", feed=""):
    return Item(state=state, source=source, sha256=sha256, tags=tags, feed=feed)


def collected(source=None):
    return Collection(
        id="c",
        create_time=now(),
        source=source or FolderSource(path="photos"),
        stored=0,
        duplicates=0,
        skipped=0,
        refused=0,
        content_sha256="",
    )


def tagged(*classes):
    return LabelSource(kind="hashtag", classes=classes)


def test_the_first_tag_that_is_a_class_counts():
    items = [
        item("a", tags=("art", "betta", "corgi")),
        item("b", tags=("corgi", "betta")),
        item("c", tags=("sunset",)),
        item("d"),
        item("", tags=("betta",), state="refused"),
    ]
    classes = classes_of(collected(), items, tagged("corgi", "betta"))
    assert classes.names == ("corgi", "betta")
    assert classes.by_sha256 == {"a": "betta", "b": "corgi"}


def test_a_photo_met_again_has_the_tags_of_all_its_posts():
    items = [item("a", tags=("art",)), item("a", tags=("betta",), state="duplicate")]
    items += [item("b", tags=("corgi",))]
    assert classes_of(collected(), items, tagged("betta", "corgi")).by_sha256["a"] == "betta"


def test_the_hashtags_of_the_collection_are_its_classes():
    source = HashtagSource(hashtag="corgi", more=("Betta",))
    items = [
        item("a", tags=("corgi", "betta"), feed="#betta"),
        item("b", tags=("art",), feed="#corgi"),
        item("c", tags=("art", "betta")),
    ]
    classes = classes_of(collected(source), items, tagged())
    assert classes.names == ("corgi", "betta")
    assert classes.by_sha256 == {"a": "betta", "b": "corgi", "c": "betta"}
    for alone in (HashtagSource(hashtag="corgi"), None):
        with pytest.raises(FailedPrecondition, match=r"name classes.*betta") as caught:
            classes_of(collected(alone), items, tagged())
        assert caught.value.reason == "NO_CLASSES"


def test_folders_are_classes():
    items = [
        item("a", "dogs/rex/1.jpg"),
        item("b", "cats/1.jpg"),
        item("c", "1.jpg"),
        item("d", "https://a.example/cats/1.jpg"),
    ]
    classes = classes_of(collected(), items, LabelSource(kind="folder"))
    assert classes.names == ("cats", "dogs")
    assert classes.by_sha256 == {"a": "dogs", "b": "cats"}


def test_hashtags_are_written_as_people_write_them():
    assert checked_labels(tagged("#Betta", "CORGI")) == tagged("betta", "corgi")
    assert checked_labels(None) is None


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (tagged("betta"), "at least two"),
        (tagged("betta", "#Betta"), "named twice"),
        (tagged("betta", ""), "cannot be a class"),
        (tagged("betta", "a\nb"), "cannot be a class"),
        (LabelSource(kind="folder", classes=("a/b", "c")), "cannot be a class"),
        (LabelSource(kind="folder", classes=tuple(map(str, range(10_001)))), "at most 10,000"),
    ],
)
def test_classes_that_cannot_be(labels, says):
    with pytest.raises(InvalidArgument, match=says) as caught:
        checked_labels(labels)
    assert caught.value.metadata["field"] == "labels.classes"


def test_a_class_that_no_photo_has():
    items = [item("a", tags=("betta", "fish")), item("b", tags=("betta",))]
    with pytest.raises(FailedPrecondition, match=r"'corgi'.*hashtags: betta, fish"):
        classes_of(collected(), items, tagged("betta", "corgi"))
    with pytest.raises(FailedPrecondition, match="fewer than two folders"):
        classes_of(collected(), [item("a", "x/1.jpg")], LabelSource(kind="folder"))


def test_the_verdict_says_what_is_missing():
    assert label_result("betta", tagged("betta", "corgi")).passed
    for labels, says in ((tagged("a", "b"), "hashtags"), (LabelSource(kind="folder"), "folders")):
        result = label_result("", labels)
        assert not result.passed
        assert says in result.detail


def test_photos_without_hashtags_or_folders_have_no_classes():
    for labels in (tagged("a", "b"), tagged()):
        with pytest.raises(FailedPrecondition, match="no hashtags, so leave the labels out"):
            classes_of(collected(None), [item("a")], labels)
