"""One confined process for all files of a test module: it must survive every one of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import Tensor, nn

from tagloom.networks.build import build_discriminator, build_generator
from tagloom.networks.checkpoints.reader import CheckpointContents, ConfinedReader
from tests.plugins.checkpoint_files import Persistent, persistent

SMALL = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}


class Opener:
    """Gives files to the confined process."""

    def __init__(self, folder: Path) -> None:
        self._source = (folder / "source").open("w+b")
        self._target = (folder / "target").open("w+b")
        self._reader = ConfinedReader(self._source, self._target, cpu_seconds=3000)
        self.folder = folder

    def __call__(self, data: bytes) -> CheckpointContents:
        """What a checkpoint with these bytes holds, or the error."""
        self._source.seek(0)
        self._source.truncate()
        self._source.write(data)
        self._source.flush()
        return self._reader.read("file.pkl")

    @property
    def pid(self) -> int:
        """Of the confined process."""
        return self._reader.pid

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those of the file read last."""
        self._target.seek(0)
        return load(self._target.read())

    @property
    def written(self) -> int:
        """Bytes written for the file read last."""
        return (self.folder / "target").stat().st_size

    def close(self) -> None:
        self._reader.close()
        self._source.close()
        self._target.close()


@pytest.fixture(scope="module")
def open_checkpoint() -> Iterator[Opener]:
    with tempfile.TemporaryDirectory() as folder:
        opener = Opener(Path(folder))
        yield opener
        opener.close()


Make = Callable[..., tuple[nn.Module, Persistent]]


@pytest.fixture(scope="session")
def make_network() -> Make:
    """A small network with random weights, and as a checkpoint stores it."""

    def make(
        architecture: str, c_dim: int = 0, img_channels: int = 3, source: str | None = None
    ) -> tuple[nn.Module, Persistent]:
        torch.manual_seed(0)
        common = {"c_dim": c_dim, "img_channels": img_channels}
        arguments = {**common, "img_resolution": 16, "channel_base": 64, "channel_max": 4}
        if architecture == "discriminator":
            sizes = {"channel_base": 64, "channel_max": 4}
            network = build_discriminator(resolution=16, **common, **sizes)
            arguments["epilogue_kwargs"] = {"mbstd_group_size": 4}
        else:
            network = build_generator(
                architecture,  # type: ignore[arg-type]  # a parameter of the test
                resolution=16,
                mapping_layers=1,
                **common,
                **SMALL,
            )
            arguments |= {"z_dim": 8, "w_dim": 8, "mapping_kwargs": {"num_layers": 1}}
            arguments["num_fp16_res"] = 4
            if architecture == "stylegan3-r":
                arguments |= {"use_radial_filters": True, "conv_kernel": 1}
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                if tensor.ndim == 0:  # nothing that starts at 0 or 1 stays trivial
                    tensor.add_(0.25)
            if "w_avg" in dict(network.named_buffers(recurse=True)):
                network.get_buffer("mapping.w_avg").normal_()
        extra = {} if source is None else {"source": source}
        return network, persistent(network, arguments, **extra)

    return make
