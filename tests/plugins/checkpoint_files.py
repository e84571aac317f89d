"""Checkpoints in the layout of the published training code, made by the real pickle and torch.

The two modules that such files name (`torch_utils.persistence`, `dnnlib.util`) do not exist here:
empty stand-ins take their place while a file is written, and at no other time.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from torch import nn

SOURCE = '''
"""A network."""
import numpy as np
import torch
from torch_utils import misc, persistence

input = None

@persistence.persistent_class
class Layer(torch.nn.Module):
    def __init__(self, channels, activation="lrelu"):
        super().__init__()
        setattr(self, f"conv{channels}", getattr(torch.nn, "Identity")())

    @misc.profiled_function
    def forward(self, input):
        return self.load(input)
'''
"""what such a file carries beside every network: harmless, and never looked at as code"""


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("code named by a checkpoint was called")


class EasyDict(dict):  # type: ignore[type-arg]
    """A dictionary with another name."""


class Persistent:
    """An instance of a persistent class."""

    def __init__(
        self, class_name: str, state: dict[str, Any], source: str = SOURCE, kind: str = "class"
    ) -> None:
        self.meta = EasyDict(
            type=kind, version=6, module_src=source, class_name=class_name, state=state
        )

    def __reduce__(self) -> Any:
        return _reconstruct_persistent_obj, (self.meta,)


def persistent(module: nn.Module, arguments: dict[str, Any], source: str = SOURCE) -> Persistent:
    """`module` as the published code would store it."""
    return _persistent(module, EasyDict(arguments), source)


def _persistent(module: nn.Module, arguments: Any, source: str) -> Persistent:
    state: dict[str, Any] = {
        "training": False,
        "_parameters": dict(module._parameters),
        "_buffers": dict(module._buffers),
        "_non_persistent_buffers_set": set(),
        "_modules": {
            name: None if child is None else _persistent(child, {}, source)
            for name, child in module._modules.items()
        },
        "_init_args": (),
        "_init_kwargs": arguments,
        # Such numbers and arrays lie around in the published networks too.
        "in_sampling_rate": np.float64(16.0),
        "in_size": np.array([36, 36]),
    }
    for name in ("conv_clamp", "w_avg_beta", "magnitude_ema_beta"):
        if hasattr(module, name):
            state[name] = getattr(module, name)
    return Persistent(type(module).__name__, state, source)


@contextmanager
def _named_modules() -> Iterator[None]:
    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")
    persistence.__dict__["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    util.__dict__["EasyDict"] = EasyDict
    modules = {
        "torch_utils": types.ModuleType("torch_utils"),
        "torch_utils.persistence": persistence,
        "dnnlib": types.ModuleType("dnnlib"),
        "dnnlib.util": util,
    }
    with (
        mock.patch.dict(sys.modules, modules),
        mock.patch.object(EasyDict, "__module__", "dnnlib.util"),
        mock.patch.object(_reconstruct_persistent_obj, "__module__", "torch_utils.persistence"),
    ):
        yield


def pickled(value: Any, protocol: int = 4) -> bytes:
    """The file's bytes."""
    file = io.BytesIO()
    with _named_modules(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: typed storages are deprecated
        pickle.Pickler(file, protocol).dump(value)
    return file.getvalue()


def checkpoint(protocol: int = 4, **networks: Persistent | None) -> bytes:
    """A whole file with these networks."""
    extras = {"training_set_kwargs": EasyDict(path="cats.zip"), "augment_pipe": None}
    return pickled({**networks, **extras}, protocol)
