"""Classes of photos: what the collection says, and what is refused."""

from __future__ import annotations

import pytest

from services.filter.labels import checked_labels, classes_of, label_result
from tagloom.artifacts.collection import Item
from tagloom.artifacts.dataset import LabelSource
from tagloom.errors import FailedPrecondition, InvalidArgument


def item(sha256, source="", tags=(), state="stored"):
    return Item(state=state, source=source, sha256=sha256, tags=tags)


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
    classes = classes_of(items, tagged("corgi", "betta"), "collections/c")
    assert classes.names == ("corgi", "betta")
    assert classes.by_sha256 == {"a": "betta", "b": "corgi"}


def test_a_photo_met_again_has_the_tags_of_all_its_posts():
    items = [item("a", tags=("art",)), item("a", tags=("betta",), state="duplicate")]
    items += [item("b", tags=("corgi",))]
    assert classes_of(items, tagged("betta", "corgi"), "collections/c").by_sha256["a"] == "betta"


def test_folders_are_classes():
    items = [
        item("a", "dogs/rex/1.jpg"),
        item("b", "cats/1.jpg"),
        item("c", "1.jpg"),
        item("d", "https://a.example/cats/1.jpg"),
    ]
    classes = classes_of(items, LabelSource(kind="folder"), "collections/c")
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
    with pytest.raises(FailedPrecondition, match=r"'corgi'.*hashtags are: betta, fish"):
        classes_of(items, tagged("betta", "corgi"), "collections/c")
    with pytest.raises(FailedPrecondition, match="fewer than two folders"):
        classes_of([item("a", "x/1.jpg")], LabelSource(kind="folder"), "collections/c")


def test_the_verdict_says_what_is_missing():
    assert label_result("betta", tagged("betta", "corgi")).passed
    for labels, says in ((tagged("a", "b"), "hashtags"), (LabelSource(kind="folder"), "folders")):
        result = label_result("", labels)
        assert not result.passed
        assert says in result.detail
