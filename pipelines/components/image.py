"""The image that every step runs in on a cluster; on a laptop the steps run in this environment."""

from __future__ import annotations

import os

__all__ = ["IMAGE"]

IMAGE = os.environ.get("TAGLOOM_PIPELINES_IMAGE", "tagloom/pipelines-python:latest")
"""Needs `tagloom[pipelines]` and nothing else. `kfp.local` warns unless the name says "python"."""
