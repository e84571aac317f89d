"""Operations against the official implementation's numbers, case by case."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tagloom.networks.ops.bias_act import bias_act
from tagloom.networks.ops.conv2d_resample import conv2d_resample
from tagloom.networks.ops.filtered_lrelu import filtered_lrelu
from tagloom.networks.ops.lowpass import design_lowpass_filter
from tagloom.networks.ops.minibatch_std import minibatch_std
from tagloom.networks.ops.modulated_conv2d import (
    modulated_conv2d_stylegan2,
    modulated_conv2d_stylegan3,
)
from tagloom.networks.ops.upfirdn2d import (
    downsample2d,
    filter2d,
    setup_filter,
    upfirdn2d,
    upsample2d,
)

GOLDEN = Path(os.environ.get("TAGLOOM_GOLDEN", Path(__file__).parents[3] / "golden"))
FORWARD, GRADIENT = 1e-5, 3e-4


def _modconv_stylegan2(*, fused_modconv: bool, **arguments: Any) -> Tensor:
    # Two ways to compute the same; one is enough here, and must reproduce the numbers of both.
    return modulated_conv2d_stylegan2(**arguments)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "setup_filter": setup_filter,
    "upfirdn2d": upfirdn2d,
    "filter2d": filter2d,
    "upsample2d": upsample2d,
    "downsample2d": downsample2d,
    "bias_act": bias_act,
    "filtered_lrelu": filtered_lrelu,
    "conv2d_resample": conv2d_resample,
    "modconv_sg2": _modconv_stylegan2,
    "modconv_sg3": modulated_conv2d_stylegan3,
    "mbstd": minibatch_std,
    "lowpass": design_lowpass_filter,
}
COMPILED = {"filtered_lrelu"}
# Buffers of the augmentation pipeline: tested beside it.
ELSEWHERE = {"augment_buffers"}


def _cases() -> list[Any]:
    parameters = []
    for path in sorted(GOLDEN.glob("ops*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            cases = json.loads(bytes(arrays["meta"]))["cases"]
        parameters += [
            pytest.param(path, case, kernels, id=f"{path.stem}-{case['name']}-{kernels}")
            for case in cases
            if case["op"] not in ELSEWHERE
            for kernels in (("auto", "torch") if case["op"] in COMPILED else ("auto",))
        ]
    if not parameters:
        raise pytest.UsageError(f"no ops*.npz in {GOLDEN}: set TAGLOOM_GOLDEN")
    return parameters


@pytest.fixture(scope="module")
def arrays() -> Callable[[Path], dict[str, Any]]:
    files: dict[Path, dict[str, Any]] = {}

    def read(path: Path) -> dict[str, Any]:
        if path not in files:
            with np.load(path, allow_pickle=False) as file:
                files[path] = {key: file[key] for key in file.files}
        return files[path]

    return read


@pytest.mark.parametrize(("path", "case", "kernels"), _cases())
def test_case(
    path: Path,
    case: dict[str, Any],
    kernels: str,
    arrays: Callable[[Path], dict[str, Any]],
    relative_error: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAGLOOM_KERNELS", kernels)
    data = arrays(path)
    inputs: dict[str, Any] = {
        name: None if key is None else torch.from_numpy(data[f"in/{key}"].copy())
        for name, key in case["inputs"].items()
    }
    for name in case["grad"]:
        inputs[name].requires_grad_()
    result = OPERATIONS[case["op"]](**inputs, **case["kwargs"])
    expected = torch.from_numpy(data[f"out/{case['name']}"])
    assert relative_error(result, expected) < FORWARD
    if case["grad"]:
        loss = (result * result.sin().detach()).sum()
        gradients = torch.autograd.grad(loss, [inputs[name] for name in case["grad"]])
        for name, gradient in zip(case["grad"], gradients, strict=True):
            reference = torch.from_numpy(data[f"out/{case['name']}/grad_{name}"])
            assert relative_error(gradient, reference) < GRADIENT, name
