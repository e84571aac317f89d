"""Weights on disk: one safetensors file that holds any of G_ema, G and D, and opens safely.

A file has the tensors `<network>.<parameter or buffer>`, all float32 or whatever the network has,
and nothing that could run. What is read is checked against the network it is meant for: names,
shapes and dtypes must agree, and every value must be finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tagloom.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted
from tagloom.files import not_written, unfinished

__all__ = [
    "NETWORK_NAMES",
    "description_of",
    "load_into",
    "load_weights",
    "networks_in",
    "save_weights",
]

NETWORK_NAMES = ("G_ema", "G", "D")

State = Mapping[str, Tensor]


def save_weights(
    path: Path | str,
    networks: Mapping[str, nn.Module | State],
    *,
    description: str | None = None,
) -> None:
    """Write the networks' parameters and buffers to `path`, all or nothing.

    networks: by name (`NETWORK_NAMES`), modules or their state dicts.
    description: what else somebody who has this file alone must know; `description_of` reads it.
    Raises InvalidArgument for an unknown name, ResourceExhausted (DISK_FULL, WEIGHTS_NOT_WRITTEN),
    PermissionDenied (PATH_NOT_WRITABLE).
    """
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        _check_name(name)
        state = network.state_dict() if isinstance(network, nn.Module) else network
        for key, value in state.items():
            # A copy each: safetensors refuses tensors that share memory.
            tensors[f"{name}.{key}"] = value.detach().to("cpu", copy=True).contiguous()
    if not tensors:
        raise InvalidArgument(
            "there are no weights to save; give at least one network.", reason="WEIGHTS_EMPTY"
        )
    target = Path(path)
    metadata = {"format": "tagloom-networks-1"}
    if description is not None:
        metadata["description"] = description
    try:
        with unfinished(target) as draft:
            save_file(tensors, draft, metadata=metadata)
    except OSError as error:
        raise not_written(target, error) from error
    except safetensors.SafetensorError as error:  # of the disk too, as a text without a number
        raise ResourceExhausted(
            f"The weights could not be written to {target} ({error}); "
            "make room on the disk or choose another place.",
            reason="WEIGHTS_NOT_WRITTEN",
            path=target,
        ) from error


def networks_in(path: Path | str) -> list[str]:
    """The names of the networks that a file holds. Raises as `load_weights`."""
    with _open(path) as file:
        found = {key.partition(".")[0] for key in file.keys()}  # noqa: SIM118  # not a dict
    return [name for name in NETWORK_NAMES if name in found]


def description_of(path: Path | str) -> str | None:
    """The description that a file was saved with, or None. Raises as `load_weights`."""
    with _open(path) as file:
        return (file.metadata() or {}).get("description")


def load_weights(
    path: Path | str, names: Iterable[str] = ("G_ema",)
) -> dict[str, dict[str, Tensor]]:
    """The state dicts of the networks named, on the CPU.

    Raises NotFound if the file or one of the networks is not there, DataLoss if the file is
    damaged, is no safetensors file, or holds a value that is not finite.
    """
    states: dict[str, dict[str, Tensor]] = {}
    with _open(path) as file:
        keys = list(file.keys())
        for name in names:
            _check_name(name)
            prefix = f"{name}."
            try:
                state = {
                    key[len(prefix) :]: file.get_tensor(key)
                    for key in keys
                    if key.startswith(prefix)
                }
            except (OSError, safetensors.SafetensorError) as error:
                raise _damaged(path, str(error)) from error
            if not state:
                held = sorted({key.partition(".")[0] for key in keys})
                raise NotFound(
                    f"{Path(path).name} holds no network {name} (it holds {', '.join(held)}); "
                    "choose a file that does.",
                    reason="WEIGHTS_NETWORK_MISSING",
                    network=name,
                )
            for key, value in state.items():
                if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                    raise _damaged(path, f"{name}.{key} has values that are not finite")
            states[name] = state
    return states


def load_into(network: nn.Module, state: State, *, what: str = "The weights") -> None:
    """Copy `state` into `network`; nothing is changed unless everything fits.

    Raises InvalidArgument if names, shapes or dtypes differ from the network's.
    what: how the error calls the weights.
    """
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected.keys() - state.keys()]
    problems += [f"{name} is unknown" for name in state.keys() - expected.keys()]
    for name in expected.keys() & state.keys():
        have, want = state[name], expected[name]
        if have.shape != want.shape:
            problems.append(f"{name} has the shape {list(have.shape)} for {list(want.shape)}")
        elif have.dtype != want.dtype:
            problems.append(f"{name} has the type {have.dtype} for {want.dtype}")
    if problems:
        problems.sort()
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InvalidArgument(
            f"{what} do not fit the network described beside them ({problems[0]}{more}); "
            "use the weights and the manifest that were written together.",
            reason="WEIGHTS_DO_NOT_FIT",
            differences=len(problems),
        )
    network.load_state_dict(dict(state), strict=True)


def _check_name(name: str) -> None:
    if name not in NETWORK_NAMES:
        raise InvalidArgument(
            f"{name!r} is not the name of a network; choose one of {', '.join(NETWORK_NAMES)}.",
            reason="WEIGHTS_NAME_UNKNOWN",
            network=name,
        )


def _open(path: Path | str) -> safe_open:
    file = Path(path)
    if not file.is_file():
        raise NotFound(
            f"There is no weights file {file}; check the path.",
            reason="WEIGHTS_NOT_FOUND",
            path=file,
        )
    try:
        return safe_open(str(file), framework="pt", device="cpu")
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(file, str(error)) from error


def _damaged(path: Path | str, detail: str) -> DataLoss:
    return DataLoss(
        f"{Path(path).name} is not a sound safetensors file ({detail}); fetch or export it again.",
        reason="WEIGHTS_DAMAGED",
        path=path,
    )
