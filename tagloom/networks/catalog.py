"""Networks by name: `networks/{id}` and `runs/{id}/snapshots/{kimg}`, read from the store.

Some networks ship inside the package (`tagloom/networks/builtin/<id>/`): when one of them is asked
for and the store has none of that name, it is copied into the store first, so that from then on it
is a network like any other, visible to every service.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.network import Network
from tagloom.artifacts.run import Snapshot
from tagloom.errors import AlreadyExists, DataLoss, FailedPrecondition, NotFound
from tagloom.networks.build import build_from_spec
from tagloom.networks.spec import GeneratorSpec, generator_spec_from_json
from tagloom.store.interface import Store

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["CatalogEntry", "builtin_networks", "list_networks", "open_network"]

NAMES = ("networks/{}", "runs/{}/snapshots/{}")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A network that exists, and how to get at its weights."""

    name: str
    """`networks/{id}` or `runs/{id}/snapshots/{kimg}`"""
    network: Network
    """its manifest; a snapshot's is expressed as a network's"""
    weights_key: str
    """where its weights lie in the store"""

    def load(
        self, store: Store, roles: Sequence[str], *, optional: Sequence[str] = ()
    ) -> dict[str, dict[str, Tensor]]:
        """State dicts by role (`G_ema`, `D`, `G`), after checking the file's SHA-256.

        optional: roles that are given too where the file has them.
        Raises FailedPrecondition (NETWORK_PART_MISSING) if a role is not in the file, DataLoss
        (WEIGHTS_DAMAGED) if the bytes are not what the manifest says.
        """
        from tagloom.networks.weights import load_weights, networks_in

        with tempfile.TemporaryDirectory(prefix="tagloom-weights-") as folder:
            path = Path(folder, "weights.safetensors")
            self.fetch(store, path)
            if "D" in roles and self.network.discriminator is None:
                raise FailedPrecondition(
                    f"{self.name} has no discriminator, so it can generate but not be trained "
                    "from.",
                    reason="NETWORK_PART_MISSING",
                    resource=self.name,
                )
            there = networks_in(path) if optional else []
            return load_weights(path, [*roles, *(role for role in optional if role in there)])

    def fetch(self, store: Store, path: Path) -> None:
        """Its weights as the file `path`. Raises DataLoss (WEIGHTS_DAMAGED) if the bytes are not
        what the manifest says."""
        store.get_file(self.weights_key, path)
        found = _sha256(path)
        if found != self.network.weights_sha256:
            raise DataLoss(
                f"The weights of {self.name} are damaged: their SHA-256 is {found[:12]}…, the "
                f"manifest says {self.network.weights_sha256[:12]}….",
                reason="WEIGHTS_DAMAGED",
                resource=self.name,
            )

    @property
    def generator_spec(self) -> GeneratorSpec:
        """What its generator is. Raises InvalidArgument (NETWORK_SPEC_INVALID) when the manifest
        does not describe a network of this version."""
        network = self.network
        described = {"architecture": network.architecture, "resolution": network.resolution}
        return generator_spec_from_json(described | network.generator)

    def load_generator(self, store: Store) -> nn.Module:
        """Its generator with the moving-average weights (G_ema), on the CPU, for inference.

        Raises what `generator_spec` and `load` raise.
        """
        from tagloom.networks.weights import load_into

        generator = build_from_spec(self.generator_spec)
        weights = self.load(store, ["G_ema"])["G_ema"]
        load_into(generator, weights, what=f"The weights of {self.name}")
        return generator.eval().requires_grad_(False)


def builtin_networks() -> list[str]:
    """Ids of the networks that ship in the package."""
    root = files("tagloom.networks").joinpath("builtin")
    if not root.is_dir():
        return []
    return sorted(
        entry.name for entry in root.iterdir() if entry.joinpath("manifest.json").is_file()
    )


def list_networks(store: Store) -> list[Network]:
    """Every network of the store and of the package, by id."""
    networks = {
        entry: Network.from_bytes(_builtin_file(entry, "manifest.json"), f"builtin {entry}")
        for entry in builtin_networks()
    }
    for info in store.iterate("networks/"):
        if info.key.endswith("/manifest.json"):
            network = Network.load(store, info.key, info.key.removesuffix("/manifest.json"))
            networks[network.id] = network
    return [networks[key] for key in sorted(networks)]


def open_network(store: Store, name: str) -> CatalogEntry:
    """The network called `name`.

    Raises InvalidArgument (INVALID_NAME) or NotFound (NETWORK_NOT_FOUND, listing what there is).
    """
    ids = layout.parse_name(name, *NAMES)
    if len(ids) == 2:
        return _open_snapshot(store, name, *ids)
    (network_id,) = ids
    key = layout.network_manifest(network_id)
    try:
        network = Network.load(store, key, name)
    except NotFound:
        if network_id not in builtin_networks():
            known = ", ".join(f"networks/{network.id}" for network in list_networks(store))
            raise NotFound(
                f"There is no {name}; there is {known or 'no network yet'}. "
                "A run's snapshot can be named too: runs/ID/snapshots/KIMG.",
                reason="NETWORK_NOT_FOUND",
                resource=name,
            ) from None
        network = _publish_builtin(store, network_id)
    return CatalogEntry(name, network, layout.network_weights(network_id))


def _open_snapshot(store: Store, name: str, run_id: str, snapshot: str) -> CatalogEntry:
    manifest = Snapshot.load(store, layout.snapshot_manifest(run_id, snapshot), name)
    network = Network(
        id=run_id,
        create_time=manifest.create_time,
        architecture=manifest.architecture,
        resolution=manifest.resolution,
        generator=manifest.generator,
        discriminator=manifest.discriminator,
        kimg=manifest.kimg,
        origin=f"snapshot of runs/{run_id}",
        weights_sha256=manifest.weights_sha256,
    )
    return CatalogEntry(name, network, layout.snapshot_weights(run_id, snapshot))


def _publish_builtin(store: Store, network_id: str) -> Network:
    key = layout.network_manifest(network_id)
    packaged = Network.from_bytes(
        _builtin_file(network_id, "manifest.json"), f"builtin {network_id}"
    )
    network = packaged.model_copy(update={"create_time": now()})
    source = files("tagloom.networks").joinpath("builtin", network_id, "weights.safetensors")
    with as_file(source) as path:
        store.put_file(layout.network_weights(network_id), path)
    try:
        network.create(store, key, f"networks/{network_id}")
    except AlreadyExists:  # another process was faster, with the same bytes
        return Network.load(store, key, f"networks/{network_id}")
    return network


def _builtin_file(network_id: str, name: str) -> bytes:
    return files("tagloom.networks").joinpath("builtin", network_id, name).read_bytes()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
