"""From a network of the store to a file that other programs, or other stores, can use.

`export_safetensors` writes the weights with their description, so that `importing` can read them
back; `export_onnx` writes the generator as an ONNX model that needs neither Tagloom nor PyTorch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tagloom.errors import AlreadyExists
from tagloom.files import not_written
from tagloom.networks.catalog import CatalogEntry
from tagloom.networks.weights import load_weights, networks_in, save_weights
from tagloom.store.interface import Store

__all__ = ["export_onnx", "export_safetensors"]


def export_safetensors(store: Store, entry: CatalogEntry, path: Path) -> None:
    """Writes all networks of `entry` to the new file `path`, with its manifest as description.

    Raises AlreadyExists (FILE_EXISTS), and what `CatalogEntry.fetch` raises.
    """
    with _new_file(path) as draft, tempfile.TemporaryDirectory(prefix="tagloom-export-") as folder:
        weights = Path(folder, "weights.safetensors")
        entry.fetch(store, weights)
        states = load_weights(weights, networks_in(weights))
        save_weights(draft, states, description=entry.network.to_bytes().decode())


def export_onnx(store: Store, entry: CatalogEntry, path: Path) -> None:
    """Writes the generator of `entry` (G_ema) to the new file `path` as an ONNX model.

    Its inputs and outputs are those of `onnx_export.write_onnx`.
    Raises AlreadyExists (FILE_EXISTS), FailedPrecondition (EXPORT_NOT_INSTALLED), and what
    `CatalogEntry.load_generator` raises.
    """
    from tagloom.networks.onnx_export import check_installed, write_onnx

    check_installed()
    with _new_file(path) as draft:
        write_onnx(entry.load_generator(store), draft, entry.network)


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A place to write to that becomes `path` at the end, complete, and never over another file."""
    if path.exists():
        raise _exists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:40]}.") as folder:
            draft = Path(folder, path.name)
            yield draft
            try:
                os.link(draft, path)  # unlike a rename, it fails when something lies there
            except FileExistsError:
                raise _exists(path) from None
            except OSError:  # a file system without hard links
                os.replace(draft, path)
    except OSError as error:
        raise not_written(path, error) from error


def _exists(path: Path) -> AlreadyExists:
    return AlreadyExists(
        f"{path} exists; choose another file, or remove it first.", reason="FILE_EXISTS", path=path
    )
