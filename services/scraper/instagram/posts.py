"""What is kept of a post: its pictures and videos, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from instaloader import Post, get_json_structure
from instaloader.structures import PostComment

from tagloom.artifacts.collection import Comment, PostOptions

__all__ = ["Media", "TakenPost", "address_of", "read_post"]

_MOST_COMMENTS = 1000


@dataclass(frozen=True, slots=True)
class Media:
    """One picture or video of a post."""

    source: str
    """the post's address, with the picture's number where it has several"""
    url: str
    """of the image; of the video, where videos are wanted, else of its cover"""
    is_video: bool


@dataclass(frozen=True, slots=True)
class TakenPost:
    """What is kept of a post."""

    owner: str
    """user name; `id:<number>` where only a query more would tell the name"""
    caption: str
    tags: tuple[str, ...]
    """hashtags of the caption, lower-case, each once"""
    time: datetime
    media: tuple[Media, ...]
    likes: int | None = None
    comments: tuple[Comment, ...] = ()


def address_of(shortcode: str) -> str:
    """A post's own address."""
    return f"https://www.instagram.com/p/{shortcode}/"


def read_post(post: Post, options: PostOptions, *, films: bool) -> TakenPost:
    """What is kept of a post. Asks Instagram once more for posts whose pictures are not listed,
    and once or more for comments; `films`: once more for videos that are listed without address.
    """
    media = tuple(_media(post, options, films))  # first: its query tells the owner's name, too
    return TakenPost(
        owner=_owner(post),
        caption=post.caption or "",
        tags=tuple(dict.fromkeys(post.caption_hashtags)),
        time=post.date_local.astimezone(UTC),
        media=media,
        likes=post.likes if options.likes else None,
        comments=tuple(_comments(post)) if options.comments else (),
    )


def _media(post: Post, options: PostOptions, films: bool) -> Iterator[Media]:
    address = address_of(post.shortcode)
    if post.typename == "GraphSidecar":
        if options.first_picture_only:
            # The picture that the listing shows: no query is needed.
            yield Media(f"{address}?img_index=1", post.url, False)
            return
        for number, node in enumerate(post.get_sidecar_nodes(), start=1):
            url = node.video_url if films and node.is_video else None
            source = f"{address}?img_index={number}"
            yield Media(source, url or node.display_url, node.is_video)
        return
    url = post.video_url if films and post.is_video else None
    yield Media(address, url or post.url, post.is_video)


def _comments(post: Post) -> Iterator[Comment]:
    for comment in islice(post.get_comments(), _MOST_COMMENTS):
        yield Comment(owner=_writer(comment), text=str(comment.text), time=_time(comment))


def _writer(comment: PostComment) -> str:
    # `PostComment.owner.username` may send a query; what the node tells is enough.
    node: dict[str, Any] = comment._node
    writer = node.get("owner") or node.get("iphone_struct", {}).get("user") or {}
    return str(writer.get("username") or f"id:{writer.get('id') or writer.get('pk')}").lower()


def _time(comment: PostComment) -> datetime:
    # Not `created_at_utc`, which warns from Python 3.12 on.
    return datetime.fromtimestamp(int(comment._node["created_at"]), UTC)


def _owner(post: Post) -> str:
    # `Post.owner_username` sends a query when the name is not known yet; a hashtag's page knows
    # ids only, and a query for each of its posts would use up the rate limit.
    structure = get_json_structure(post)["node"]
    owner = structure.get("owner") or structure.get("user") or {}
    name = owner.get("username")
    return str(name).lower() if name else f"id:{post.owner_id}"
