"""Reading the weights of third-party networks, which come as PyTorch pickles.

Everything Tagloom writes is safetensors. These few files are other people's, known by their
SHA-256: the bytes are hashed before anything interprets them, and then only PyTorch's restricted
unpickler (`weights_only=True`, tensors and containers) reads those same bytes. A file that was
swapped, also between two reads, is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Final

import torch

from tagloom.errors import DataLoss, NotFound

__all__ = ["INCEPTION_ENVIRONMENT", "inception_weights", "read_pinned_state_dict"]

INCEPTION_ENVIRONMENT: Final = "TAGLOOM_INCEPTION_WEIGHTS"
"""the environment variable that names the file with Inception-v3's weights"""


def inception_weights() -> Path | None:
    """The Inception-v3 weights file that the environment names, if it names one."""
    named = os.environ.get(INCEPTION_ENVIRONMENT, "")
    return Path(named).expanduser() if named else None


def read_pinned_state_dict(
    path: Path, sha256: str, *, what: str, remedy: str
) -> dict[str, torch.Tensor]:
    """The tensors of the file at `path`, whose bytes must have the digest `sha256`.

    `what` names the file in errors ("the Inception-v3 weights"), `remedy` is a clause that says
    what to do.

    Raises NotFound (WEIGHTS_NOT_FOUND) when there is no readable file, DataLoss
    (WEIGHTS_HASH_MISMATCH) when its bytes are others.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"Cannot read {what} at {path} ({error.strerror or error}): {remedy}.",
            reason="WEIGHTS_NOT_FOUND",
            path=path,
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DataLoss(
            f"The file {path} is not {what}: its SHA-256 is {found}, expected {sha256} "
            f"({len(data)} bytes were read; a download may have been cut short): {remedy}.",
            reason="WEIGHTS_HASH_MISMATCH",
            path=path,
            found=found,
            expected=sha256,
        )
    # Safe: known bytes, and the restricted unpickler besides.
    state: dict[str, torch.Tensor] = torch.load(
        io.BytesIO(data), map_location="cpu", weights_only=True
    )
    return state
