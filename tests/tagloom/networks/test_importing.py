"""Files become networks of the store, with the official images; or nothing at all is stored."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tagloom.artifacts import layout
from tagloom.errors import (
    AlreadyExists,
    DataLoss,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TagloomError,
)
from tagloom.networks import importing
from tagloom.networks.build import build_discriminator, build_from_spec, build_generator
from tagloom.networks.catalog import open_network
from tagloom.networks.exporting import export_safetensors
from tagloom.networks.importing import import_network
from tagloom.networks.spec import DiscriminatorSpec
from tagloom.networks.weights import load_into, save_weights
from tagloom.store import Store, open_store
from tests.plugins.checkpoint_files import checkpoint, persistent

ACCEPT = 3e-5  # of the maximum: golden/README


def golden_checkpoints(folder: Path, pattern: str) -> list[Path]:
    return sorted((folder / "checkpoints").glob(pattern))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def keys(store: Store) -> list[str]:
    return [info.key for info in store.iterate()]


def seed_z(seed: int, size: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(1, size)).to(torch.float32)


def label(seed: int, c_dim: int) -> Tensor | None:
    return torch.eye(c_dim)[[seed % c_dim]] if c_dim else None


def assert_close(found: Tensor, expected: np.ndarray[Any, Any], what: str) -> None:
    difference = np.abs(found.detach().numpy() - expected).max()
    assert difference <= ACCEPT * np.abs(expected).max(), what


def test_official_checkpoints_make_the_official_images(
    store: Store, golden_folder: Path, relative_error: Any
) -> None:
    files = golden_checkpoints(golden_folder, "network*.pkl")
    assert files
    for index, path in enumerate(files):
        network = import_network(store, path, f"n{index}", license_note="CC0 1.0")
        assert (network.origin, network.license) == (path.name, "CC0 1.0")
        assert network.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        entry = open_network(store, f"networks/n{index}")
        assert entry.network == network
        states = entry.load(store, ["G_ema", "G", "D"])
        G_ema, G = build_from_spec(entry.generator_spec), build_from_spec(entry.generator_spec)
        assert network.discriminator is not None
        D = build_from_spec(DiscriminatorSpec.from_json(network.discriminator))
        for module, role in ((G_ema, "G_ema"), (G, "G"), (D, "D")):
            load_into(module.eval().requires_grad_(False), states[role])
        with np.load(path.with_name(f"{path.stem}_expected.npz")) as expected:
            check_images(G_ema, G, D, expected, path.name)
            sums = [key for key in expected.files if key.startswith("sum/")]
            assert sums
            for key in sums:
                _, role, name = key.split("/")
                total = float(states[role][name].double().sum())
                assert total == pytest.approx(float(expected[key]), rel=1e-6, abs=1e-6), key


def check_images(G_ema: Any, G: Any, D: Any, expected: Any, name: str) -> None:
    for seed in range(4):
        z, c = seed_z(seed, G_ema.z_dim), label(seed, G_ema.c_dim)
        at = f"out/seed{seed}/"
        img = G_ema(z, c)
        assert_close(img, expected[at + "img"], name)
        assert_close(G_ema(z, c, truncation_psi=0.5), expected[at + "img_psi0.5"], name)
        assert_close(G(z, c), expected[at + "img_G_not_ema"], name)
        assert_close(D(img, c), expected[at + "D_logit_of_img"].reshape(1, 1), name)
        ws = G_ema.mapping(z, c)
        wanted = expected[at + "w"]
        assert_close(ws.reshape(-1)[: wanted.size], wanted.reshape(-1), name)
        key = at + "img_translate0.1,-0.2_rotate15"
        if key in expected.files:
            angle = np.deg2rad(15)
            matrix = np.array(
                [
                    [np.cos(angle), np.sin(angle), 0.1],
                    [-np.sin(angle), np.cos(angle), -0.2],
                    [0, 0, 1],
                ]
            )
            kept = G_ema.synthesis.input.transform.clone()
            G_ema.synthesis.input.transform.copy_(torch.from_numpy(np.linalg.inv(matrix)))
            assert_close(G_ema(z, c), expected[key], name)
            G_ema.synthesis.input.transform.copy_(kept)


def malicious(folder: Path, target: Path) -> Path:
    """A published checkpoint whose `training_set_kwargs` are os.system("touch PWNED_1")."""
    whole = golden_checkpoints(folder, "network*.pkl")[0].read_bytes()
    key = b"training_set_kwargs\x94"
    start = whole.rindex(key) + len(key)
    call = b"\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x0dtouch PWNED_1\x94\x85\x94R\x94"
    target.write_bytes(whole[:start] + call + b"u.")
    opcodes = [opcode.name for opcode, _, _ in pickletools.genops(target.read_bytes())]
    assert opcodes[-4:] == ["REDUCE", "MEMOIZE", "SETITEMS", "STOP"], "a whole pickle"
    return target


def test_malicious_checkpoints_leave_nothing(
    store: Store, golden_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = golden_checkpoints(golden_folder, "MALICIOUS*.pkl")
    (tmp_path / "files").mkdir()
    files = [*given, malicious(golden_folder, tmp_path / "files" / "MALICIOUS.pkl")]
    monkeypatch.chdir(tmp_path)
    for path in files:
        with pytest.raises(InvalidArgument, match=r"system|source text|asks for") as caught:
            import_network(store, path, "evil")
        assert caught.value.reason == "CHECKPOINT_REFUSED"
        assert path.name in caught.value.message
    assert keys(store) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["files", "store"]
    assert [entry.name for entry in (tmp_path / "files").iterdir()] == ["MALICIOUS.pkl"]
    for folder in (Path("/"), Path("/tmp"), Path(__file__).parents[3]):
        assert not list(folder.glob("PWNED*"))


# Small networks of our own in the published layout, without a process for each: the reading itself
# is tested in `checkpoints/`.

SMALL = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}
ARGUMENTS = {**SMALL, "img_resolution": 16, "img_channels": 3, "c_dim": 0}


def generator_and_arguments(**others: Any) -> tuple[nn.Module, dict[str, Any]]:
    """A StyleGAN2 as StyleGAN2-ADA makes it: the synthesis network's arguments are nested."""
    torch.manual_seed(1)
    G = build_generator("stylegan2", resolution=16, mapping_layers=1, **SMALL, conv_clamp=None)
    arguments = {
        "z_dim": 8,
        "w_dim": 8,
        "c_dim": 0,
        "img_resolution": 16,
        "img_channels": 3,
        "mapping_kwargs": {"num_layers": 1},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 4, "num_fp16_res": 4},
        **others,
    }
    return G, arguments


def write(folder: Path, **networks: Any) -> Path:
    path = folder / "network.pkl"
    path.write_bytes(checkpoint(**networks))
    return path


def test_the_files_of_stylegan2_ada(store: Store, tmp_path: Path) -> None:
    G, arguments = generator_and_arguments()
    network = import_network(store, write(tmp_path, G_ema=persistent(G, arguments)), "ada")
    assert network.discriminator is None
    assert network.generator["conv_clamp"] is None  # as its layers say; StyleGAN3's default is 256
    imported = open_network(store, "networks/ada").load_generator(store)
    z = torch.randn(2, 8)
    with torch.no_grad():
        assert torch.equal(imported(z), G.eval()(z))


def test_an_export_is_imported_as_it_was(store: Store, tmp_path: Path) -> None:
    torch.manual_seed(2)
    settings = {"resolution": 16, "c_dim": 2, "img_channels": 1}
    G = build_generator("stylegan3-t", mapping_layers=1, **settings, **SMALL)
    D = build_discriminator(**settings, channel_base=64, channel_max=4)
    arguments = {**ARGUMENTS, "c_dim": 2, "img_channels": 1, "mapping_kwargs": {"num_layers": 1}}
    d_arguments = {
        key: arguments[key] for key in arguments if key not in ("z_dim", "w_dim", "mapping_kwargs")
    }
    path = write(
        tmp_path,
        G=persistent(G, arguments),
        D=persistent(D, d_arguments),
        G_ema=persistent(G, arguments),
    )
    first = import_network(store, path, "first", license_note="mine")
    out = tmp_path / "out" / "first.safetensors"
    export_safetensors(store, open_network(store, "networks/first"), out)
    second = import_network(store, out, "second")
    assert (second.origin, second.license) == ("first.safetensors", "mine")
    assert second.weights_sha256 == first.weights_sha256
    assert second.generator == first.generator
    assert second.discriminator == first.discriminator
    with pytest.raises(AlreadyExists, match="exists; choose another file"):
        export_safetensors(store, open_network(store, "networks/first"), out)


def test_what_is_no_file_is_not_even_opened(store: Store, tmp_path: Path) -> None:
    """Reading a pipe or a device would never end."""
    pipe = tmp_path / "network.pkl"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(InvalidArgument, match="is no file") as caught:
            import_network(store, path, "n")
        assert caught.value.reason == "PATH_NOT_READABLE"
    huge = tmp_path / "huge.pkl"
    with huge.open("wb") as stream:
        stream.truncate(2**31 + 1)
    with pytest.raises(InvalidArgument, match=r"has 2\.0 GiB, more than"):
        import_network(store, huge, "n")


def test_an_id_that_exists_is_refused_before_the_work(store: Store, tmp_path: Path) -> None:
    store.put(layout.network_manifest("cats"), b"mine")
    for network_id in ("cats", "photos-32"):
        with pytest.raises(AlreadyExists, match="exists already"):
            import_network(store, tmp_path / "none.pkl", network_id)
    assert store.get(layout.network_manifest("cats")) == b"mine"
    with pytest.raises(InvalidArgument, match="is not valid"):
        import_network(store, tmp_path / "none.pkl", "../cats")
    with pytest.raises(NotFound, match="There is no file"):
        import_network(store, tmp_path / "none.pkl", "dogs")
    with pytest.raises(NotFound, match="There is no file"):
        import_network(store, tmp_path / "none.safetensors", "dogs")


def test_of_two_imports_under_one_id_the_first_stays(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second arrives between the first's weights and its manifest."""
    G, arguments = generator_and_arguments()
    path = write(tmp_path, G_ema=persistent(G, arguments))
    store.put(layout.network_weights("race"), b"of another import")
    with pytest.raises(AlreadyExists, match="going on or was interrupted"):
        import_network(store, path, "race")
    assert store.get(layout.network_weights("race")) == b"of another import"
    assert not store.exists(layout.network_manifest("race"))
    # An import that was interrupted before its manifest is finished by the same import.
    monkeypatch.setattr(importing.Network, "create", lambda *_: None)
    import_network(store, path, "torn")
    monkeypatch.undo()
    assert keys(store) == [layout.network_weights("race"), layout.network_weights("torn")]
    import_network(store, path, "torn")
    assert open_network(store, "networks/torn").load_generator(store)


def refuse(store: Store, path: Path, says: str, reason: str) -> None:
    with pytest.raises(TagloomError, match=says) as caught:
        import_network(store, path, "x")
    assert caught.value.reason == reason
    assert caught.value.message.startswith(f"{path.name} is not imported: ")
    assert keys(store) == []


def test_what_does_not_fit_its_description_is_refused(store: Store, tmp_path: Path) -> None:
    G, arguments = generator_and_arguments()
    D = build_discriminator(resolution=16, channel_base=64, channel_max=4)
    wrong = {**arguments, "w_dim": 16}
    path = write(tmp_path, G_ema=persistent(G, wrong))
    refuse(store, path, r"is F32\[.*for F32\[", "WEIGHTS_DO_NOT_FIT")
    path = write(tmp_path, G_ema=persistent(G.double(), arguments))
    refuse(store, path, r"is F64\[", "WEIGHTS_DO_NOT_FIT")
    G.float()
    path = write(tmp_path, G_ema=persistent(G, {**arguments, "c_dim": 2}))
    refuse(store, path, r"mapping.embed.bias is missing and", "WEIGHTS_DO_NOT_FIT")
    path = write(tmp_path, G_ema=persistent(D, arguments))
    refuse(store, path, "neither a StyleGAN2 nor a StyleGAN3", "ARCHITECTURE_UNKNOWN")
    path = write(tmp_path, D=persistent(D, {}))
    refuse(store, path, "has no G_ema", "NETWORK_PART_MISSING")
    path = write(tmp_path, G_ema=persistent(G, {**arguments, "glow": 1}))
    refuse(store, path, "unknown settings: .*glow", "NETWORK_SPEC_INVALID")
    path = write(tmp_path, G_ema=persistent(G, {**arguments, "img_resolution": 17}))
    refuse(store, path, "not a power of two", "RESOLUTION_INVALID")
    for name, value in (("img_resolution", 1 << 20), ("w_dim", 1 << 40), ("z_dim", 10**9)):
        path = write(tmp_path, G_ema=persistent(G, {**arguments, name: value}))
        refuse(store, path, "larger than this program builds", "CHECKPOINT_TOO_LARGE")
    many = {**arguments, "mapping_kwargs": {"num_layers": 10**9}}
    path = write(tmp_path, G_ema=persistent(G, many))
    refuse(store, path, "mapping_layers = 1000000000", "CHECKPOINT_TOO_LARGE")
    with torch.no_grad():
        next(G.parameters()).fill_(torch.nan)
    path = write(tmp_path, G_ema=persistent(G, arguments))
    with pytest.raises(DataLoss, match="not finite"):
        import_network(store, path, "x")
    assert keys(store) == []


def test_safetensors_of_others_are_refused(store: Store, tmp_path: Path) -> None:
    G, _ = generator_and_arguments()
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"G_ema": G})
    refuse(store, path, "does not say what network", "NETWORK_SPEC_INVALID")
    save_weights(path, {"G_ema": G}, description=json.dumps({"schema": 1, "id": "x"}))
    with pytest.raises(DataLoss, match="damaged or from a newer version"):
        import_network(store, path, "x")
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(DataLoss, match="not a sound safetensors file"):
        import_network(store, path, "x")
    assert keys(store) == []


def test_every_setting_has_a_largest_value() -> None:
    """So that no description, whatever it says, makes the comparison large."""
    G, _ = generator_and_arguments()
    huge = dataclasses.replace(G.spec, channel_base=1 << 30)
    with pytest.raises(ResourceExhausted, match="channel_base = 1073741824"):
        importing._check_size(huge)
