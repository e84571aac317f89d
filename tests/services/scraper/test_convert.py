"""What a request for hashtags may say, and the one sentence about what it may not."""

from __future__ import annotations

import unicodedata

import pytest

from services.scraper.convert import source_of
from tagloom.artifacts.collection import HashtagSource
from tagloom.errors import InvalidArgument
from tagloom.v1 import scraper_pb2


def tags(*names: str) -> tuple[str, ...]:
    request = scraper_pb2.CreateCollectionRequest(collection_id="x")
    request.hashtag.hashtag = names[0]
    request.hashtag.more_hashtags.extend(names[1:])
    source = source_of(request)
    assert isinstance(source, HashtagSource)
    return (source.hashtag, *source.more)


@pytest.mark.parametrize(
    "name",
    [
        *("cats", "2026", "a_b", "café", "猫", "кошки", "हिन्दी", "ภาษาไทย", "می\u200cبینم"),
        *("🐟", "fish🐟", "❤️", "👍🏽", "👩\u200d👩\u200d👧", "a" * 150),
    ],
)
def test_hashtags_of_every_script(name: str) -> None:
    assert tags(name) == tags(f"#{name}") == (name,)


def test_one_written_in_several_ways_is_one() -> None:
    assert tags("Café", unicodedata.normalize("NFD", "café"), "#CAFÉ", "tea") == ("café", "tea")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "#",
            "##a",
            " cats",
            "two words",
            "a-b",
            "a/b",
            "../a",
            "a?b",
            "a#b",
            "a^b",
            "`a",
            "a%20b",
        ),
        *("a\n", "a\0", "\u200d", "\u202ea", "\ufeffcats", "\ud7ff", "a" * 151, "a" * 300),
    ],
)
def test_what_is_no_hashtag_is_said_in_one_sentence(name: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a hashtag; write letters") as caught:
        tags("cats", name)
    assert caught.value.reason == "HASHTAG_INVALID"
    assert len(caught.value.message) < 250
    assert caught.value.message.count(". ") == 0
