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
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.trainer.adam import Moments
from services.trainer.session import Session
from tagloom.artifacts import layout
from tagloom.artifacts.base import Manifest, now
from tagloom.errors import DataLoss, ResourceExhausted
from tagloom.files import not_written
from tagloom.networks.ops.filtered_lrelu import kernel_for
from tagloom.store.fenced import FencedStore
from tagloom.store.interface import ObjectNotFound, Store

_LOG = logging.getLogger(__name__)

__all__ = ["StateManifest", "environment", "list_states", "restore", "save_state"]


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


def save_state(store: Store, session: Session) -> None:
    """Writes the state as it is now, and removes those older than the last `keep_states`.

    Raises ResourceExhausted (DISK_FULL, STATE_NOT_WRITTEN) without room for a copy in TMPDIR, and
    what the store raises.
    """
    step = session.step
    fence = store.fence if isinstance(store, FencedStore) else 0
    # The fence keeps two owners from writing the same name.
    prefix = f"{session.state_prefix}{step.images_seen:012d}.{fence:06d}/"
    if store.exists(f"{prefix}manifest.json"):
        return
    names, sums = step.statistics.state()
    tensors = _tensors(session)
    tensors["statistics"] = sums
    with tempfile.TemporaryDirectory(prefix="tagloom-state-") as folder:
        path = Path(folder, "tensors.safetensors")
        try:
            save_file({key: value.to("cpu").contiguous() for key, value in tensors.items()}, path)
        except OSError as error:
            raise not_written(path, error) from error
        except SafetensorError as error:  # of the disk too, as a text without a number
            raise ResourceExhausted(
                f"The state of runs/{session.run.id} could not be written to {folder} ({error}); "
                "make room there or set TMPDIR to another folder, then resume the run.",
                reason="STATE_NOT_WRITTEN",
                path=folder,
            ) from error
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        store.put_file(f"{prefix}tensors.safetensors", path)
    manifest = StateManifest(
        run=f"runs/{session.run.id}",
        images_seen=step.images_seen,
        steps=step.steps,
        seconds=session.seconds,
        augment_p=session.augment_p,
        bad_updates=step.left_out.in_a_row,
        updates_left_out=step.left_out.total,
        statistics=names,
        tensors_sha256=digest,
        environment=environment(),
    )
    store.put(f"{prefix}manifest.json", manifest.to_bytes())
    _remove_old(store, session.state_prefix, session.run.options.keep_states)


def list_states(store: Store, run_id: str) -> list[str]:
    """Prefixes of the run's states whose manifest is there, the newest last."""
    return _whole_states(store, layout.run_state_prefix(run_id))


def _whole_states(store: Store, prefix: str) -> list[str]:
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
    for prefix in reversed(_whole_states(store, session.state_prefix)):
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


def _tensors(session: Session) -> dict[str, Tensor]:
    """Every tensor of the state by name, as live references."""
    step = session.step
    tensors = {
        "path_length_mean": step.losses.path_length_mean,
        "signs": step.signs,
    }
    for name, network in session.networks.items():
        for key, value in network.state_dict().items():
            # Clones: constants may be shared between networks, which safetensors refuses.
            tensors[f"{name}.{key}"] = value.clone()
    for name in ("G", "D"):
        optimizer = step.optimizers[name]
        for key, parameter in session.networks[name].named_parameters():
            if parameter in optimizer.moments:
                for moment, value in _fields(optimizer.moments[parameter]).items():
                    tensors[f"adam.{name}.{moment}.{key}"] = value
    return tensors


def _fields(moments: Moments) -> dict[str, Tensor]:
    return {
        "step": moments.step,
        "exp_avg": moments.exp_avg,
        "exp_avg_sq": moments.exp_avg_sq,
    }


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
                for moment, value in _fields(moments).items():
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


def _remove_old(store: Store, prefix: str, keep: int) -> None:
    oldest = _whole_states(store, prefix)[-keep:][0]
    for info in list(store.iterate(prefix)):
        # Leftovers of a state that was never finished go with the older ones.
        if info.key < oldest:
            store.delete(info.key)
