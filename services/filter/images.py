"""Images of a collection as they lie in the store."""

from __future__ import annotations

import hashlib

from services.filter.decode import MAX_BYTES
from tagloom.artifacts import layout
from tagloom.errors import DataLoss
from tagloom.store.interface import ObjectNotFound, Store

__all__ = ["read_image"]


def read_image(store: Store, sha256: str) -> bytes:
    """The bytes of an image of a collection, checked against their hash.

    An object over the limit comes cut short, one byte too long to be taken. Raises DataLoss.
    """
    try:
        data = store.get(layout.image(sha256), length=MAX_BYTES + 1)
    except ObjectNotFound as error:
        raise DataLoss(
            f"The image {sha256} is listed but no longer stored; collect the photos again into a "
            "new collection.",
            reason="IMAGE_MISSING",
            sha256=sha256,
        ) from error
    if len(data) <= MAX_BYTES and hashlib.sha256(data).hexdigest() != sha256:
        raise DataLoss(
            f"The stored bytes of image {sha256} have changed; restore the store, or collect the "
            "photos again.",
            reason="IMAGE_CHANGED",
            sha256=sha256,
        )
    return data
