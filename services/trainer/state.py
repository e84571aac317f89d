"""The full state of a training, durable: a run continues from it to the same bits.

A state lies under `runs/<id>/state/<images>.<fence>/` (that of a trial under `runs/<id>/trials/`)
as tensors and a manifest, the manifest last. It holds everything that a step reads and that cannot
be computed from the run's document: weights, Adam's moments, the running means, ADA's p and what it
has observed, sums of the unfinished tick.
Random numbers and the order of the images are functions of the step (`draws`), so no generator's
state is in it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from services.trainer.adam import Moments
from services.trainer.session import Session
from tagloom.artifacts import layout
from tagloom.artifacts.base import Manifest, now
from tagloom.errors import DataLoss
from tagloom.networks.ops.filtered_lrelu import kernel_for
from tagloom.store.interface import ObjectNotFound, Store

_LOG = logging.getLogger(__name__)

__all__ = ["StateManifest", "environment", "list_states", "restore", "whole_states"]


class StateManifest(Manifest):
    """`manifest.json` of a state."""

    run: str
    images_seen: int
    steps: int
    seconds: float
    augment_p: float = Field(ge=0, le=1)
    bad_updates: dict[str, int]
    """updates left out since the last good one, by phase"""
    updates_left_out: int = 0
    statistics: list[str]
    """names of the sums in tensor `statistics`, in order"""
    tensors_sha256: str
    environment: dict[str, str]
    """what bit-equality depends on"""
    create_time: Any = Field(default_factory=now)

    @field_validator("bad_updates", mode="before")
    @classmethod
    def _once_of_all_phases(cls, value: Any) -> Any:
        return {} if isinstance(value, int) else value  # (states of before 2026-11-28)


def environment() -> dict[str, str]:
    """Machine, versions, threads, processes: the same bits come out where these are the same."""
    kernel = kernel_for(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return {
        "machine": platform.machine(),
        "processor": " ".join([torch.backends.cpu.get_cpu_capability(), *_matrix_units()]),
        "tagloom": importlib.metadata.version("tagloom"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "kernels": kernel.__name__.removeprefix("filtered_lrelu_"),
        **{name: _version(name) for name in ("numba", "llvmlite", "triton")},
        "threads": str(torch.get_num_threads()),
        "processes": os.environ.get("WORLD_SIZE", "1"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def _matrix_units() -> list[str]:
    """What of the processor oneDNN would compute bfloat16 with, beyond torch's own name of it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return [flag for flag in ("avx512_bf16", "amx_bf16") if re.search(rf"\b{flag}\b", text)]


def list_states(store: Store, run_id: str) -> list[str]:
    """Prefixes of the run's states whose manifest is there, the newest last."""
    return whole_states(store, layout.run_state_prefix(run_id))


def whole_states(store: Store, prefix: str) -> list[str]:
    """Prefixes of the states below `prefix` whose manifest is there, the newest last."""
    name = "manifest.json"
    keys = (info.key for info in store.iterate(prefix))
    return sorted(key.removesuffix(name) for key in keys if key.endswith(name))


def restore(store: Store, session: Session) -> str | None:
    """Brings the session to the newest state that is whole; None if there is none.

    Returns what is worth telling: from where it continues, damaged states that were passed over,
    and where the machine differs from the one that wrote the state. Raises DataLoss (STATE_DAMAGED)
    when there are states and none can be used.
    """
    notes: list[str] = []
    for prefix in reversed(whole_states(store, session.state_prefix)):
        try:
            manifest, tensors = _read(store, prefix)
            _apply(session, manifest, tensors)
        except (DataLoss, ObjectNotFound, KeyError, ValueError, RuntimeError) as error:
            notes.append(f"The state {prefix} could not be used ({error}).")
            continue
        notes.insert(0, f"Continues from {manifest.images_seen / 1000:g} kimg.")
        here = environment()
        differences = [
            f"{key} {then} then, {here.get(key)} now"
            for key, then in manifest.environment.items()
            if here.get(key) != then
        ]
        if differences:
            notes.append(
                "It will be close to an uninterrupted run, but not equal to the bit: "
                f"{'; '.join(differences)}."
            )
            _LOG.warning("%s", notes[-1])
        return " ".join(notes)
    if notes:
        raise DataLoss(
            f"No state of runs/{session.run.id} can be continued: {' '.join(notes)} "
            "Start a new run from its last snapshot.",
            reason="STATE_DAMAGED",
            resource=f"runs/{session.run.id}",
        )
    return None


def _read(store: Store, prefix: str) -> tuple[StateManifest, dict[str, Tensor]]:
    key = f"{prefix}manifest.json"
    manifest = StateManifest.from_bytes(store.get(key), key)
    with tempfile.TemporaryDirectory(prefix="tagloom-state-") as folder:
        path = Path(folder, "tensors.safetensors")
        store.get_file(f"{prefix}tensors.safetensors", path)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != manifest.tensors_sha256:
            raise DataLoss("its tensors are damaged", reason="STATE_DAMAGED")
        try:
            return manifest, load_file(path)
        except SafetensorError as error:
            raise DataLoss("its tensors cannot be read", reason="STATE_DAMAGED") from error


def _apply(session: Session, manifest: StateManifest, tensors: dict[str, Tensor]) -> None:
    step = session.step
    for name, network in session.networks.items():
        prefix = f"{name}."
        network.load_state_dict(
            {
                key.removeprefix(prefix): value
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
        )
    for name in ("G", "D"):
        optimizer = step.optimizers[name]
        optimizer.moments.clear()
        for key, parameter in session.networks[name].named_parameters():
            if f"adam.{name}.step.{key}" in tensors:
                moments = Moments.zero(parameter)
                for moment, value in moments.fields.items():
                    value.copy_(tensors[f"adam.{name}.{moment}.{key}"])
                optimizer.moments[parameter] = moments
    step.losses.path_length_mean.copy_(tensors["path_length_mean"])
    step.signs.copy_(tensors["signs"])
    step.statistics.load(manifest.statistics, tensors["statistics"])
    step.steps = manifest.steps
    step.images_seen = manifest.images_seen
    step.left_out.load(manifest.bad_updates, manifest.updates_left_out)
    if step.losses.augment is not None:
        step.losses.augment.p.fill_(manifest.augment_p)
    if step.control is not None:
        step.control.p.fill_(manifest.augment_p)
    session.seconds = manifest.seconds
