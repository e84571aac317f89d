"""Every name that a checkpoint may mention, and the inert value that it stands for.

The names are facts of the file format: of torch's tensors, of NumPy's arrays and numbers, of
Python's own containers, and of the two classes by which the published training code stores its
networks and settings. A name that is not here ends the reading.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from tagloom.networks.checkpoints.records import (
    ArrayRecord,
    CheckpointError,
    DtypeRecord,
    Global,
    ModuleRecord,
    OpaqueRecord,
    StorageRecord,
    TensorRecord,
    refused,
    shown,
)
from tagloom.networks.checkpoints.source_text import check_source_text

__all__ = ["Known"]

Function = Callable[..., Any]


class Known:
    """The builder of a checkpoint's pickle. `load_storage` reads what is nested in it."""

    def __init__(self, load_storage: Callable[[memoryview], StorageRecord]) -> None:
        self._load_storage = load_storage
        self._sources: set[str] = set()
        self._functions: dict[str, Function] = {
            "torch_utils.persistence._reconstruct_persistent_obj": self._module,
            "torch.storage._load_from_bytes": self._storage,
            **_FUNCTIONS,
        }

    def find(self, module: str, name: str) -> Global:
        found = Global(_MOVED.get(module, module), name)
        if self._key(found) not in self._functions and self._key(found) not in _CLASSES:
            raise refused(
                f"it asks for {shown(Global(module, name))}, which is no part of a StyleGAN2-ADA "
                "or StyleGAN3 checkpoint"
            )
        return found

    def call(self, function: Global, arguments: tuple[Any, ...]) -> Any:
        made = self._functions.get(self._key(function))
        if made is None:
            raise refused(f"it calls {shown(function)}, which a checkpoint only names")
        return self._guarded(made, function, arguments)

    def new(self, cls: Global, arguments: tuple[Any, ...]) -> Any:
        made = _CLASSES.get(self._key(cls))
        if made is None:
            raise refused(f"it makes a {shown(cls)}, which is no class of a checkpoint")
        return self._guarded(made, cls, arguments)

    def build(self, value: Any, state: Any) -> Any:
        if isinstance(value, DtypeRecord):
            return _set_dtype(value, state)
        if isinstance(value, ArrayRecord):
            return _set_array(value, state)
        # An ordered dictionary may have attributes (a state dict's version): nobody needs them.
        if type(value) is dict and isinstance(state, dict):
            return value
        raise refused(f"it changes the insides of {shown(value)}, which no checkpoint does")

    def persistent(self, identifier: Any) -> Any:
        raise refused("it refers to data outside of the file")

    @staticmethod
    def _key(name: Global) -> str:
        return f"{name.module}.{name.name}"

    @staticmethod
    def _guarded(made: Function, name: Global, arguments: tuple[Any, ...]) -> Any:
        try:
            return made(*arguments)
        except CheckpointError:
            raise
        except (TypeError, ValueError, OverflowError, struct.error):
            raise refused(
                f"it gives {shown(name)} other arguments than a checkpoint does"
            ) from None

    def _module(self, meta: Any) -> ModuleRecord:
        if type(meta) is not dict or meta.get("type") != "class":
            raise TypeError
        class_name, source, state = (meta.get(key) for key in ("class_name", "module_src", "state"))
        if not isinstance(class_name, str) or type(state) is not dict or not class_name:
            raise TypeError
        if not isinstance(source, str):
            raise TypeError
        if source not in self._sources:
            check_source_text(source, class_name)
            self._sources.add(source)
        return ModuleRecord(class_name, state)

    def _storage(self, data: Any) -> StorageRecord:
        return self._load_storage(_octets(data))


# Old and new homes of the same things.
_MOVED = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "dnnlib": "dnnlib.util",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}


def _octets(value: Any) -> memoryview:
    if not isinstance(value, memoryview):
        raise TypeError
    return value


def _size(value: Any) -> int:
    """A size or an index, small enough for every sum and product below."""
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise TypeError
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if type(values) is not tuple or len(values) > 64:
        raise TypeError
    return tuple(_size(value) for value in values)


def _shape(values: Any = ()) -> tuple[int, ...]:
    return _sizes(tuple(values) if type(values) is list else values)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_rest: Any) -> TensorRecord:
    """`_rebuild_tensor_v2`; the rest is requires_grad, hooks and metadata."""
    if not isinstance(storage, StorageRecord):
        raise TypeError
    tensor = TensorRecord(storage, _size(offset), _sizes(shape), _sizes(strides))
    if len(tensor.shape) != len(tensor.strides):
        raise TypeError
    return tensor


def _parameter(data: Any = None, *_rest: Any) -> TensorRecord:
    """`_rebuild_parameter` and `Parameter`; the rest is requires_grad, hooks and state."""
    if not isinstance(data, TensorRecord):
        raise TypeError
    return data


def _typed_tensor(function: Any, _cls: Any, arguments: Any, _state: Any = None) -> TensorRecord:
    """`_rebuild_from_type_v2`: a tensor that remembers the class of its kind."""
    if not isinstance(function, Global) or type(arguments) is not tuple:
        raise TypeError
    if function.module != "torch._utils":
        raise TypeError
    made: TensorRecord = _FUNCTIONS[f"torch._utils.{function.name}"](*arguments)
    return made


def _dict(items: Any = ()) -> dict[Any, Any]:
    """`dict` and `OrderedDict` of nothing, of a dictionary or of pairs."""
    if type(items) is dict:
        return dict(items)
    made = {}
    for item in items if type(items) in (list, tuple) else _wrong():
        if type(item) not in (list, tuple) or len(item) != 2 or not isinstance(item[0], str):
            raise TypeError
        made[item[0]] = item[1]
    return made


def _wrong() -> Any:
    raise TypeError


def _set(items: Any = ()) -> set[str]:
    if type(items) is not list or not all(isinstance(item, str) for item in items):
        raise TypeError
    return set(items)


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """Protocols 0 and 1: an instance of a class whose base is made of `state`."""
    if not isinstance(cls, Global) or not isinstance(base, Global):
        raise TypeError
    if Known._key(cls) != "dnnlib.util.EasyDict" or base != Global("builtins", "dict"):
        raise TypeError
    return _dict(state)


def _encode(text: Any, encoding: Any = "latin1") -> memoryview:
    """Protocols 0 to 2: bytes as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError
    return memoryview(text.encode("latin-1"))


def _bytearray(data: Any = None, encoding: Any = "latin-1") -> memoryview:
    if data is None:
        return memoryview(b"")
    return data if isinstance(data, memoryview) else _encode(data, encoding)


# NumPy.


def _dtype(code: Any, *_rest: Any) -> DtypeRecord:
    if isinstance(code, Global):
        raise TypeError
    if not isinstance(code, str) or not 1 <= len(code) <= 8:
        raise TypeError
    return DtypeRecord(code)


def _set_dtype(dtype: DtypeRecord, state: Any) -> DtypeRecord:
    if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
        raise refused("it describes a NumPy type that no checkpoint has")
    dtype.order = state[1]
    return dtype


_SCALARS = {
    "b1": "?",
    **{f"i{n}": code for n, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))},
    **{f"u{n}": code for n, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))},
    **{f"f{n}": code for n, code in ((2, "e"), (4, "f"), (8, "d"))},
}


def _scalar(dtype: Any, data: Any) -> bool | int | float:
    if not isinstance(dtype, DtypeRecord) or dtype.code not in _SCALARS:
        raise TypeError
    order = ">" if dtype.order == ">" else "<"
    value: bool | int | float = struct.unpack(order + _SCALARS[dtype.code], _octets(data))[0]
    return value


def _empty_array(_cls: Any, _shape: Any, _code: Any) -> ArrayRecord:
    return ArrayRecord()


def _set_array(array: ArrayRecord, state: Any) -> ArrayRecord:
    if type(state) is not tuple or len(state) != 5:
        raise refused("it describes a NumPy array that no checkpoint has")
    try:
        array.shape = _sizes(state[1])
    except TypeError:
        raise refused("it describes a NumPy array that no checkpoint has") from None
    return array


def _array_of_buffer(_buffer: Any, _dtype: Any, shape: Any, _order: Any) -> ArrayRecord:
    return ArrayRecord(_sizes(shape))


_FUNCTIONS: dict[str, Function] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type": _typed_tensor,
    "torch._tensor._rebuild_from_type_v2": _typed_tensor,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _shape,
    "torch.device": lambda *_parts: OpaqueRecord("device"),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.numeric._frombuffer": _array_of_buffer,
    "numpy.dtype": _dtype,
    "collections.OrderedDict": _dict,
    "dnnlib.util.EasyDict": _dict,
    "copyreg._reconstructor": _reconstructor,
    "_codecs.encode": _encode,
    "builtins.dict": _dict,
    "builtins.set": _set,
    "builtins.bytearray": _bytearray,
}
"""called by REDUCE"""

_CLASSES: dict[str, Function] = {
    "dnnlib.util.EasyDict": dict,
    "collections.OrderedDict": dict,
    "torch.nn.parameter.Parameter": _parameter,
    "numpy.ndarray": _wrong,
    **{
        f"torch.{name}": _wrong
        for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
    },
}
"""made by NEWOBJ, or only named"""
