"""What exported photos are called."""

from __future__ import annotations

import pytest

from tagloom.cli.collection import folder_of
from tagloom.v1 import scraper_pb2


@pytest.mark.parametrize(
    ("feed", "folder"),
    [
        *(
            ("#cats", "cats/"),
            ("@a.b_c", "a.b_c/"),
            ("#हिन्दी", "हिन्दी/"),
            ("#🐟", "🐟/"),
            ("#👍🏽", "👍🏽/"),
        ),
        *(("", "other/"), ("#../..", "other/"), ("#a/\n b", "a_b/"), ("#a<>|b", "a_b/")),
    ],
)
def test_each_hashtag_has_its_folder(feed: str, folder: str) -> None:
    assert folder_of(scraper_pb2.Item(feed=feed), "tag") == folder
