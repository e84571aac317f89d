"""Trains the packaged start network, `networks/photos-32`, with the product's own pipeline.

    python tools/start_network.py [--work build/start-network]

Collects the source photos (`tools/photos.py`), filters and tiles them, trains StyleGAN3-T at 32 px
from scratch, scores the snapshots, and writes G_ema and D of the last one to
`tagloom/networks/builtin/photos-32/`, its curve and samples to `docs/start-network/`.
Killed and started again, it goes on where it was: every step is an operation of the store.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.network import Network
from tagloom.artifacts.run import Snapshot
from tagloom.networks.catalog import open_network
from tagloom.networks.weights import save_weights
from tagloom.store import open_store
from tools.photos import SOURCE, copy_photos

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "tagloom" / "networks" / "builtin" / "photos-32"
DOCS = ROOT / "docs" / "start-network"
SIZE_LIMIT = 4_000_000  # bytes: the weights travel in every wheel


def main() -> None:
    """Trains, then packs the last snapshot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "start-network")
    work: Path = parser.parse_args().work
    copy_photos(SOURCE, ROOT / "build" / "start-network" / "photos")
    experiment = ROOT / "examples" / "start-network.yaml"
    subprocess.run(
        [sys.executable, "-m", "tagloom.cli", "--store", str(work / "store"), "run", experiment],
        check=True,
    )
    pack(work / "store")


def pack(folder: Path) -> None:
    """Writes the network and its record from the finished run in the store at `folder`."""
    store = open_store(str(folder))
    manifests = [key.key for key in store.iterate("runs/") if "/snapshots/" in key.key]
    last = max(key for key in manifests if key.endswith("/manifest.json"))
    snapshot = Snapshot.load(store, last, last)
    name = f"{snapshot.run}/snapshots/{snapshot.id}"
    states = open_network(store, name).load(store, ["G_ema", "D"])

    BUILTIN.mkdir(parents=True, exist_ok=True)
    weights = BUILTIN / "weights.safetensors"
    save_weights(weights, states)
    if weights.stat().st_size > SIZE_LIMIT:
        raise SystemExit(f"{weights} has {weights.stat().st_size} bytes, more than {SIZE_LIMIT}")
    photos = ", ".join(f"{photo.name} ({photo.license})" for photo in SOURCE)
    network = Network(
        id="photos-32",
        create_time=now(),
        architecture=snapshot.architecture,
        resolution=snapshot.resolution,
        generator=snapshot.generator,
        discriminator=snapshot.discriminator,
        kimg=snapshot.kimg,
        origin=f"trained from scratch by tools/start_network.py on tiles of {photos}",
        license="Apache-2.0",
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )
    (BUILTIN / "manifest.json").write_bytes(network.to_bytes())

    DOCS.mkdir(parents=True, exist_ok=True)
    run_id = snapshot.run.removeprefix("runs/")
    store.get_file(layout.snapshot_samples(run_id, snapshot.id), DOCS / "samples.png")
    store.get_file(layout.run_history(run_id), DOCS / "history.jsonl")
    for evaluation in store.iterate("evaluations/"):
        document = json.loads(store.get(evaluation.key))
        text = json.dumps(document, indent=1) + "\n"
        (DOCS / "scores.json").write_text(text)
    print(f"packed {name}, {snapshot.kimg:g} kimg, into {BUILTIN.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
