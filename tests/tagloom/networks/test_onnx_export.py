"""ONNX models: onnxruntime's images are PyTorch's."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.network import Network
from tagloom.errors import AlreadyExists, FailedPrecondition
from tagloom.networks.build import build_from_spec, generator_spec
from tagloom.networks.catalog import open_network
from tagloom.networks.exporting import export_onnx
from tagloom.networks.spec import StyleGAN3Spec
from tagloom.networks.weights import save_weights
from tagloom.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def publish(store: Store, folder: Path, architecture: Any, **settings: Any) -> nn.Module:
    """A small network with random weights, stored as `networks/n`."""
    torch.manual_seed(0)
    resolution = 8 if architecture == "stylegan2" else 16
    sizes = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4, "mapping_layers": 1}
    spec = generator_spec(architecture, resolution=resolution, **sizes, **settings)
    if isinstance(spec, StyleGAN3Spec):  # every kind of layer is among five; tracing 15 takes long
        spec = dataclasses.replace(spec, num_layers=4, first_cutoff=3.0)
    generator = build_from_spec(spec)
    with torch.no_grad():
        generator.get_buffer("mapping.w_avg").normal_()
        for tensor in (*generator.parameters(), *generator.buffers()):
            if tensor.ndim == 0:
                tensor.add_(0.25)  # noise strengths and averages that are not trivial
    save_weights(folder / "w.safetensors", {"G_ema": generator})
    data = (folder / "w.safetensors").read_bytes()
    store.put(layout.network_weights("n"), data)
    Network(
        id="n",
        create_time=now(),
        architecture=architecture,
        resolution=resolution,
        generator=spec.to_json(),
        origin="a test",
        license="CC0",
        weights_sha256=hashlib.sha256(data).hexdigest(),
    ).create(store, layout.network_manifest("n"), "networks/n")
    return generator.eval()


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("stylegan3-t", {}),
        pytest.param("stylegan2", {"c_dim": 3}, marks=pytest.mark.long),
        pytest.param("stylegan3-r", {"c_dim": 3}, marks=pytest.mark.long),
        pytest.param("stylegan2", {"block_architecture": "resnet"}, marks=pytest.mark.long),
        pytest.param(
            "stylegan2",
            {"block_architecture": "orig", "img_channels": 1},
            marks=pytest.mark.long,
        ),
    ],
)
def test_onnxruntime_makes_pytorchs_images(
    store: Store, tmp_path: Path, architecture: str, settings: dict[str, Any]
) -> None:
    import onnx
    import onnxruntime

    generator = publish(store, tmp_path, architecture, **settings)
    path = tmp_path / "new" / "n.onnx"
    export_onnx(store, open_network(store, "networks/n"), path)
    assert [entry.name for entry in path.parent.iterdir()] == ["n.onnx"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18}
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert (facts["architecture"], facts["license"]) == (architecture, "CC0")

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels = bool(settings.get("c_dim"))
    shapes = {entry.name: entry.shape for entry in session.get_inputs()}
    assert shapes == {"z": ["batch", 8], "truncation_psi": [1]} | (
        {"c": ["batch", 3]} if labels else {}
    )
    for batch, psi in ((1, 1.0), (2, 0.7), (5, 0.0), (3, -0.5)):
        z = torch.randn(batch, 8)
        feed = {"z": z.numpy(), "truncation_psi": np.array([psi], np.float32)}
        c = None
        if labels:
            c = torch.eye(3)[torch.arange(batch) % 3]
            feed["c"] = c.numpy()
        (images,) = session.run(["images"], feed)
        with torch.no_grad():
            expected = generator(z, c, truncation_psi=psi).numpy()
        assert images.shape == expected.shape
        assert np.abs(images - expected).max() <= 1e-4 * np.abs(expected).max()
        if psi == 1:
            assert np.abs(expected).max() > 1e-3


def test_nothing_is_overwritten_and_a_lack_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, tmp_path, "stylegan2")
    entry = open_network(store, "networks/n")
    there = tmp_path / "there.onnx"
    there.write_text("mine")
    with pytest.raises(AlreadyExists, match="exists; choose another file"):
        export_onnx(store, entry, there)
    assert there.read_text() == "mine"
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(FailedPrecondition, match=r"onnxscript must be there.*tagloom\[export\]"):
        export_onnx(store, entry, tmp_path / "new.onnx")
    assert not (tmp_path / "new.onnx").exists()
