"""The image that a step names where it runs in no container.

On a laptop `kfp.local` runs the steps in this environment, and warns unless the name says "python".
For a cluster `pipelines.cluster` sets the real one.
"""

from __future__ import annotations

__all__ = ["IMAGE"]

IMAGE = "tagloom/pipelines-python"
