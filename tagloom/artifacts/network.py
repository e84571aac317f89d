"""A network: a generator, with its discriminator where known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tagloom.artifacts.base import Manifest

__all__ = ["Network"]


class Network(Manifest):
    """What `networks/<id>/manifest.json` says."""

    id: str
    create_time: datetime
    architecture: str
    """stylegan3-t, stylegan3-r or stylegan2"""
    resolution: int
    generator: dict[str, Any]
    """constructor arguments for `tagloom.networks.build`"""
    discriminator: dict[str, Any] | None = None
    """the same for D; None when it is not there"""
    kimg: float = 0.0
    origin: str = ""
    """where it comes from: the photos of its training, or the name of the file that was imported"""
    license: str = ""
    """a note on the licence of the weights, as the user gave it"""
    source_sha256: str = ""
    """of the file that it was imported from"""
    weights_sha256: str
