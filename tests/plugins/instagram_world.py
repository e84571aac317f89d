"""What there is on the local Instagram: photos, posts, hashtags and profiles.

The JSON of each answer has the keys that Instaloader 4.16 reads (`structures.py`), in the nesting
in which it reads them.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from instaloader import Post as InstaloaderPost
from PIL import Image

__all__ = ["IMAGE_HOST", "Picture", "Post", "Profile", "World", "make_posts", "photo"]

IMAGE_HOST = "scontent-fra3-1.cdninstagram.com"
VIDEO_HOST = "instagram.fham1-1.fna.fbcdn.net"
_TYPES = {1: "GraphImage", 2: "GraphVideo", 8: "GraphSidecar"}
_PHOTOS = ("chelsea.png", "coffee.png")


@cache
def _original(name: str) -> Image.Image:
    # The files themselves: importing scikit-image takes seconds.
    with files("skimage").joinpath("data", name).open("rb") as file:
        return Image.open(file).convert("RGB")


@cache
def photo(number: int) -> bytes:
    """A JPEG, another for each number: a crop of a photo that scikit-image ships."""
    image = _original(_PHOTOS[number % len(_PHOTOS)])
    left, top = number * 7 % 60, number * 3 % 40
    buffer = io.BytesIO()
    image.crop((left, top, left + 240, top + 180)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


@dataclass(frozen=True)
class Picture:
    """A picture or, without bytes, a video of a post."""

    data: bytes | None
    host: str = IMAGE_HOST
    film: bytes = b""
    """of a video: its file, where it can be fetched"""

    @property
    def path(self) -> str:
        digest = hashlib.sha256(self.data or b"video").hexdigest()
        return f"/v/t51.2885-15/{digest[:20]}_n.jpg?stp=dst-jpg&oe=6A0F0000"

    @property
    def url(self) -> str:
        return f"https://{self.host}{self.path}"

    @property
    def film_path(self) -> str:
        return f"/o1/v/t2/{hashlib.sha256(self.film).hexdigest()[:20]}.mp4?oe=6A0F0000"


@dataclass(frozen=True)
class Profile:
    """An account with posts."""

    username: str
    pk: str
    private: bool = False

    @property
    def page_id(self) -> str:
        """The "id" of a profile's page, which is not its user id."""
        return f"17{self.pk}"


@dataclass(frozen=True)
class Post:
    """A post: one picture, a video, or several of both (a sidecar)."""

    pk: int
    owner: Profile
    pictures: tuple[Picture, ...]
    caption: str = ""
    comments: tuple[tuple[str, str], ...] = ()
    """who wrote what"""
    time: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    @property
    def code(self) -> str:
        return str(InstaloaderPost.mediaid_to_shortcode(self.pk))

    @property
    def media_type(self) -> int:
        if len(self.pictures) > 1:
            return 8
        return 1 if self.pictures[0].data is not None else 2

    def hashtag_node(self) -> dict[str, Any]:
        """As an edge's node of the query for a hashtag's posts: without the owner's name, and
        without a sidecar's pictures."""
        return {
            "__typename": _TYPES[self.media_type],
            "id": str(self.pk),
            "shortcode": self.code,
            "edge_media_to_caption": {
                "edges": [{"node": {"text": self.caption}}] if self.caption else []
            },
            "edge_media_to_comment": {"count": len(self.comments)},
            "edge_media_preview_like": {"count": 3},
            "taken_at_timestamp": int(self.time.timestamp()),
            "dimensions": {"height": 180, "width": 240},
            "display_url": self.pictures[0].url,
            "owner": {"id": self.owner.pk},
            "is_video": self.media_type == 2,
        }

    def media(self) -> dict[str, Any]:
        """As an item of the mobile and web APIs ("iphone struct")."""
        media = {
            "pk": str(self.pk),
            "code": self.code,
            "taken_at": int(self.time.timestamp()),
            "user": {
                "pk": self.owner.pk,
                "username": self.owner.username,
                "full_name": self.owner.username.title(),
                "is_private": self.owner.private,
                "profile_pic_url": f"https://{IMAGE_HOST}/profile.jpg",
            },
            "caption": {"text": self.caption} if self.caption else None,
            "has_liked": False,
            "like_count": 3,
            "comment_count": len(self.comments),
            **_media_of(self.pictures[0], self.media_type),
        }
        if self.media_type == 8:
            media["carousel_media"] = [
                _media_of(picture, 1 if picture.data is not None else 2)
                for picture in self.pictures
            ]
        return media


def _media_of(picture: Picture, media_type: int) -> dict[str, Any]:
    return {
        "media_type": media_type,
        "image_versions2": {"candidates": [{"url": picture.url, "width": 240, "height": 180}]},
        "video_versions": [{"url": f"https://{VIDEO_HOST}{picture.film_path}"}]
        if media_type == 2
        else None,
    }


@dataclass
class World:
    """Everything that the server knows."""

    hashtags: dict[str, list[Post]] = field(default_factory=dict)
    profiles: dict[str, tuple[Profile, list[Post]]] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    """by path with query"""

    def add_hashtag(self, name: str, posts: list[Post]) -> None:
        self.hashtags[name] = posts
        self._publish(posts)

    def add_profile(self, profile: Profile, posts: list[Post]) -> None:
        self.profiles[profile.username] = (profile, posts)
        self._publish(posts)

    def post(self, code: str) -> Post | None:
        every = [*self.hashtags.values(), *(posts for _, posts in self.profiles.values())]
        return next((p for posts in every for p in posts if p.code == code), None)

    def _publish(self, posts: list[Post]) -> None:
        for post in posts:
            for picture in post.pictures:
                if picture.data is not None:
                    self.images[picture.path] = picture.data
                if picture.film:
                    self.images[picture.film_path] = picture.film


def make_posts(owner: Profile, number: int, first: int = 0) -> list[Post]:
    """So many posts: every 5th with three pictures, one of them a video, every 7th a video."""
    posts = []
    for n in range(first, first + number):
        if n % 5 == 4:
            pictures = (Picture(photo(2 * n)), Picture(None), Picture(photo(2 * n + 1)))
        else:
            pictures = (Picture(None if n % 7 == 6 else photo(2 * n)),)
        caption = f"number {n} #Betta #fish{n % 3} #betta"
        posts.append(Post(3_400_000_000_000_000_000 + n, owner, pictures, caption))
    return posts
