"""`tagloom network`: from a checkpoint to images, and back to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner, Result

from tagloom.cli.app import main
from tagloom.networks.build import build_generator
from tests.plugins.checkpoint_files import checkpoint, persistent


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"TAGLOOM_TARGET": None, "TAGLOOM_STORE": None})


def write_checkpoint(path: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}
    G = build_generator("stylegan2", resolution=16, mapping_layers=1, **sizes)
    arguments = {**sizes, "img_resolution": 16, "img_channels": 3, "c_dim": 0}
    arguments["mapping_kwargs"] = {"num_layers": 1}
    path.write_bytes(checkpoint(G_ema=persistent(G, arguments)))


def test_in_and_out_again(tmp_path: Path) -> None:
    path, store = tmp_path / "official.pkl", str(tmp_path / "store")
    write_checkpoint(path)
    done = run(
        "network",
        "import",
        str(path),
        "--id",
        "off",
        "--license",
        "CC0",
        "--store",
        store,
        "--json",
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["name"] == "networks/off"
    assert document["architecture"] == "stylegan2"
    assert (document["origin"], document["license"]) == ("official.pkl", "CC0")

    again = run("network", "import", str(path), "--id", "off", "--store", store)
    assert again.exit_code == 1
    assert "networks/off exists already" in again.stderr
    assert "[RESOURCE_EXISTS]" in again.stderr

    out = tmp_path / "off.safetensors"
    done = run("network", "export", "off", "--out", str(out), "--store", store)
    assert done.exit_code == 0, done.output
    assert "networks/off as safetensors" in done.output
    done = run("--store", store, "network", "import", str(out), "--id", "back")
    assert done.exit_code == 0, done.output
    assert "tagloom generate --network networks/back" in done.output

    done = run(
        "generate", "--network", "back", "--seeds", "0-1", "--out", str(tmp_path / "pictures"),
        "--store", store,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2


def test_a_hostile_file_is_a_sentence_and_nothing_else(tmp_path: Path) -> None:
    path, store = tmp_path / "evil.pkl", tmp_path / "store"
    path.write_bytes(b"\x80\x02cos\nsystem\n(X\x0b\0\0\0touch PWNEDtR.")
    done = run("network", "import", str(path), "--id", "evil", "--store", str(store), "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["reason"] == "CHECKPOINT_REFUSED"
    assert done.stderr.startswith(
        "evil.pkl is not imported: it asks for os.system, which is no part"
    )
    assert not [entry for entry in store.rglob("*") if entry.is_file()]
    assert not list(Path.cwd().glob("PWNED*"))


def test_wrong_use(tmp_path: Path) -> None:
    done = run("network", "import", str(tmp_path / "none.pkl"), "--id", "x")
    assert done.exit_code == 2
    assert "does not exist" in done.output
    done = run("network", "export", "x", "--out", str(tmp_path / "x.bin"))
    assert done.exit_code == 2
    assert "Say --format safetensors or onnx" in done.output
    (tmp_path / "x.pkl").write_bytes(b"")
    done = run("network", "import", str(tmp_path / "x.pkl"), "--id", "x", "--target", "host:1")
    assert done.exit_code == 1
    assert "name it with --store" in done.stderr
    done = run(
        "network", "export", "none", "--out", str(tmp_path / "x.onnx"),
        "--store", str(tmp_path / "store"),
    )  # fmt: skip
    assert done.exit_code == 1
    assert "There is no networks/none" in done.stderr
