"""What runs in the rendering process. Imports torch there, and not where it is only named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from services.generator.points import Order
from tagloom.errors import InvalidArgument, TagloomError
from tagloom.networks.catalog import CatalogEntry
from tagloom.store import open_store

if TYPE_CHECKING:
    from services.generator.rendering import RendererCache

__all__ = ["batch_size", "cache_bytes", "precision", "render"]


def render(
    store_url: str, entry: CatalogEntry, orders: Sequence[Order]
) -> list[bytes | TagloomError]:
    """Renders in this process, which keeps the network for the next call. Raises what `load` and
    `device_type` of `rendering` raise."""
    from services.generator import rendering

    renderer = _renderers().get(
        entry.network.weights_sha256,
        lambda: rendering.load(open_store(store_url), entry, rendering.device_type(), precision()),
    )
    return renderer.render(orders)


def batch_size(resolution: int) -> int:
    """Images that this process synthesises at once."""
    from services.generator import rendering

    return rendering.batch_size(resolution, rendering.device_type())


def cache_bytes() -> int:
    """What loaded networks may need together: `TAGLOOM_GENERATOR_CACHE_MIB`, 4096 by default.

    Raises InvalidArgument (SETTING_INVALID).
    """
    text = os.environ.get("TAGLOOM_GENERATOR_CACHE_MIB", "").strip() or "4096"
    if not (text.isascii() and text.isdigit()):
        raise InvalidArgument(
            f"TAGLOOM_GENERATOR_CACHE_MIB is {text!r}; write a whole number of MiB.",
            reason="SETTING_INVALID",
            setting="generator_cache_mib",
        )
    return int(text) * 2**20


def precision() -> str:
    """Of the convolutions: `TAGLOOM_GENERATOR_PRECISION`, float32 by default, or bfloat16.

    Raises InvalidArgument (SETTING_INVALID).
    """
    text = os.environ.get("TAGLOOM_GENERATOR_PRECISION", "").strip() or "float32"
    if text not in ("float32", "bfloat16"):
        raise InvalidArgument(
            f"TAGLOOM_GENERATOR_PRECISION is {text!r}; write float32 or bfloat16.",
            reason="SETTING_INVALID",
            setting="generator_precision",
        )
    return text


@cache
def _renderers() -> RendererCache:
    from services.generator.rendering import RendererCache

    return RendererCache(cache_bytes())
