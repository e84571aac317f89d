"""Tiny networks with the inputs and outputs of EAST and YuNet, for what surrounds the real ones.

No package brings their weights. These run in the same OpenCV classes, whose decoding of boxes is
thereby real: what is red is text, what is green is a face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

_OPSET = [helper.make_opsetid("", 13)]
EAST_BOX = 8.0
"""px from the middle of a cell to each side of its box"""
YUNET_SIDE = 640


def _save(nodes, outputs, constants, sides, path: Path) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *sides])],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)
            for n, shape in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=_OPSET, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def east(path: Path) -> Path:
    """Input: RGB less a mean. A cell of 4 px is text where red leads by 100 levels or so."""
    red_leads = np.array([[[[0.2]], [[-0.1]], [[-0.1]]]], np.float32)
    geometry = np.zeros((5, 3, 1, 1), np.float32)
    constants = {
        "w": red_leads,
        "b": np.array([-20.0], np.float32),
        "g": geometry,
        "sides": np.array([EAST_BOX] * 4 + [0.0], np.float32),
    }
    score, boxes = "feature_fusion/Conv_7/Sigmoid", "feature_fusion/concat_3"
    nodes = [
        helper.make_node("AveragePool", ["input"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["cells", "w", "b"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], [score]),
        helper.make_node("Conv", ["cells", "g", "sides"], [boxes]),
    ]
    outputs = {score: [1, 1, "h4", "w4"], boxes: [1, 5, "h4", "w4"]}
    return _save(nodes, outputs, constants, ["h", "w"], path)


def yunet(path: Path) -> Path:
    """Input: BGR. A cell is a face where green leads; its box is the cell, its size e times it."""
    green_leads = np.array([[[[-0.1]], [[0.2]], [[-0.1]]]], np.float32)
    constants = {"w": green_leads, "b": np.array([-20.0], np.float32)}
    nodes = []
    for stride in (8, 16, 32):
        cells = (YUNET_SIDE // stride) ** 2
        constants |= {
            f"one_{stride}": np.array([1, cells, 1], np.int64),
            f"bbox_{stride}": np.tile(np.float32([0, 0, 1, 1]), (1, cells, 1)),
            f"kps_{stride}": np.zeros((1, cells, 10), np.float32),
            f"zero_{stride}": np.zeros((1, cells, 1), np.float32),
        }
        pool = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        x = f"cells_{stride}"
        nodes += [
            helper.make_node("AveragePool", ["input"], [x], **pool),
            helper.make_node("Conv", [x, "w", "b"], [f"logits_{stride}"]),
            helper.make_node("Sigmoid", [f"logits_{stride}"], [f"p_{stride}"]),
            helper.make_node("Reshape", [f"p_{stride}", f"one_{stride}"], [f"cls_{stride}"]),
            helper.make_node("Add", [f"cls_{stride}", f"zero_{stride}"], [f"obj_{stride}"]),
        ]
        for kind in ("bbox", "kps"):
            name = f"{kind}_{stride}"
            constants[f"{name}_"] = constants.pop(name)
            zero = f"zero_{stride}"
            nodes.append(helper.make_node("Mul", [f"cls_{stride}", zero], [f"{name}_0"]))
            nodes.append(helper.make_node("Add", [f"{name}_", f"{name}_0"], [name]))
    outputs = {
        f"{kind}_{stride}": [1, (YUNET_SIDE // stride) ** 2, width]
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        for stride in (8, 16, 32)
    }
    return _save(nodes, outputs, constants, [YUNET_SIDE, YUNET_SIDE], path)
