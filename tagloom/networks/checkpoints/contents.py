"""From a checkpoint's records to what leaves the confined process: tensors by name, and settings.

Only what a network needs is looked at: its parameters, its buffers, the arguments that it was made
with, and the few attributes that decide what it computes.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tagloom.networks.checkpoints.records import (
    LIMITS,
    CheckpointError,
    Limits,
    ModuleRecord,
    TensorRecord,
    refused,
    shown,
)

__all__ = ["ATTRIBUTES", "NETWORKS", "network_document", "networks_of", "tensors_of", "to_line"]

NETWORKS = ("G_ema", "G", "D")
"""what is taken of a checkpoint, in the order of writing"""

# Attributes of modules that decide what a network computes, or how it trains. They are reported
# beside the constructor's arguments since defaults differ between versions of the training code.
ATTRIBUTES = frozenset({"conv_clamp", "magnitude_ema_beta", "num_layers", "w_avg_beta"})

_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")


def networks_of(top: Any) -> dict[str, ModuleRecord]:
    """The networks of a checkpoint's dictionary. Raises CheckpointError."""
    if type(top) is not dict:
        raise refused(f"it holds {shown(top)} where a checkpoint holds a dictionary of networks")
    found = {}
    for name in NETWORKS:
        record = top.get(name)
        if record is None:
            continue
        if not isinstance(record, ModuleRecord):
            raise refused(f"its {name} is {shown(record)} and no network")
        found[name] = record
    if not found:
        keys = ", ".join(shown(key) for key in list(top)[:8]) or "nothing"
        raise refused(f"it holds no network: it has {keys}, but no G_ema, G or D")
    return found


def tensors_of(
    network: ModuleRecord, limits: Limits = LIMITS
) -> tuple[dict[str, TensorRecord], dict[str, dict[str, Any]]]:
    """Parameters and buffers by their full name, and attributes by the name of their module."""
    tensors: dict[str, TensorRecord] = {}
    attributes: dict[str, dict[str, Any]] = {}
    pending = [("", network)]
    seen = 0
    while pending:
        prefix, module = pending.pop()
        seen += 1
        if seen > limits.modules or prefix.count(".") > limits.depth:
            raise CheckpointError(
                "CHECKPOINT_TOO_LARGE", "its modules are more, or nested deeper, than a network's"
            )
        for kind in ("_parameters", "_buffers"):
            for name, value in _named(module, kind):
                if value is None:
                    continue
                if not isinstance(value, TensorRecord):
                    raise refused(f"its {prefix}{name} is {shown(value)} and no tensor")
                if f"{prefix}{name}" in tensors:
                    raise refused(f"its {prefix}{name} is there twice")
                tensors[f"{prefix}{name}"] = value
                if len(tensors) > limits.tensors:
                    raise CheckpointError(
                        "CHECKPOINT_TOO_LARGE", f"it has more than {limits.tensors:,} tensors"
                    )
        facts = {
            key: module.state[key]
            for key in sorted(ATTRIBUTES & module.state.keys())
            if _is_plain(module.state[key])
        }
        if facts:
            attributes[prefix.removesuffix(".")] = facts
        for name, value in _named(module, "_modules"):
            if value is None:
                continue
            if not isinstance(value, ModuleRecord):
                raise refused(f"its {prefix}{name} is {shown(value)} and no module")
            pending.append((f"{prefix}{name}.", value))
    return tensors, attributes


def network_document(
    network: ModuleRecord, attributes: dict[str, dict[str, Any]], limits: Limits = LIMITS
) -> dict[str, Any]:
    """Class, constructor arguments and attributes as JSON-ready values."""
    if network.state.get("_init_args", ()) not in ((), []):
        raise refused("its network was made with unnamed arguments, which is not supported")
    arguments = network.state.get("_init_kwargs")
    if type(arguments) is not dict:
        raise refused(
            "its network does not say what arguments it was made with; it was written before "
            "StyleGAN2-ADA, or not by the published training code"
        )
    left = [limits.settings]
    return {
        "class_name": network.class_name[:200],
        "arguments": _plain(arguments, limits.depth, left),
        "attributes": attributes,
    }


def _named(module: ModuleRecord, kind: str) -> list[tuple[str, Any]]:
    values = module.state.get(kind)
    if values is None:
        values = {}
    if type(values) is not dict:
        raise refused(f"the {kind} of its {shown(module.class_name)} are {shown(values)}")
    for name in values:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise refused(f"it has a tensor or module called {shown(name)}")
    return list(values.items())


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 1 << 53
    return value is None or (isinstance(value, str) and len(value) <= 1000)


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    """The value as JSON has it. Raises CheckpointError for what is too much or no setting."""
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise CheckpointError(
            "CHECKPOINT_TOO_LARGE", "its network was made with more arguments than a network has"
        )
    if type(value) is dict:
        named = {}
        for key, item in value.items():
            if not isinstance(key, str) or not _NAME.fullmatch(key):
                raise refused(f"its network was made with an argument called {shown(key)}")
            named[key] = _plain(item, depth - 1, left)
        return named
    if type(value) in (list, tuple):
        return [_plain(item, depth - 1, left) for item in value]
    if not _is_plain(value):
        raise refused(f"its network was made with {shown(value)} for an argument")
    return value


def to_line(document: dict[str, Any]) -> bytes:
    """One line of ASCII JSON."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
