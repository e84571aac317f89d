"""A folder of container images in OCI's layout: what is in it, and the folder as one archive.

Blobs lie once, under their SHA-256. Beside OCI's `index.json` lies the `manifest.json` that
`docker load` has always read.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["Layout", "LayoutImage"]

_REFERENCE = "org.opencontainers.image.ref.name"
_CONTAINERD = "io.containerd.image.name"
_DEFAULT_HOST = "docker.io/"
"""what every container engine takes a name without a host to mean; containerd wants it written"""


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """One image of a layout."""

    reference: str
    """for example tagloom/filter:0.1.0"""
    digest: str
    """of its manifest"""
    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def layers(self) -> list[str]:
        """Digests of its layers, the lowest first."""
        return [layer["digest"] for layer in self.manifest["layers"]]

    @property
    def blobs(self) -> set[str]:
        """Digests of everything that it is made of."""
        return {self.digest, self.manifest["config"]["digest"], *self.layers}


class Layout:
    """The images in one folder, which may be empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def images(self) -> list[LayoutImage]:
        """All that are complete, by name."""
        found = []
        for entry in self._index().get("manifests", ()):
            manifest = self._document(entry["digest"])
            if manifest is None or (config := self._document(manifest["config"]["digest"])) is None:
                continue
            image = LayoutImage(
                entry.get("annotations", {}).get(_REFERENCE, ""), entry["digest"], manifest, config
            )
            if all(self.blob(digest).exists() for digest in image.blobs):
                found.append(image)
        return sorted(found, key=lambda image: image.reference)

    def blob(self, digest: str) -> Path:
        """Where the content with this digest lies."""
        return self.folder / "blobs" / digest.replace(":", "/")

    def key(self, reference: str) -> str:
        """What `note` was told when the image was made, empty when it is not there."""
        noted = self._notes().get(reference, {"key": "", "digest": ""})
        there = {image.reference: image.digest for image in self.images()}
        return str(noted["key"]) if there.get(reference) == noted["digest"] else ""

    def note(self, reference: str, key: str) -> None:
        """Remembers what the image was made of, and its name in containerd's words."""
        index = self._index()
        for entry in index["manifests"]:
            annotations = entry.setdefault("annotations", {})
            if annotations.get(_REFERENCE) == reference:
                annotations[_CONTAINERD] = _DEFAULT_HOST + reference
                noted = {"key": key, "digest": entry["digest"]}
                _write(self._notes_path, {**self._notes(), reference: noted})
        _write(self.folder / "index.json", index)

    def finish(self, references: Collection[str]) -> None:
        """Leaves nothing but the named images, and describes them for `docker load` too."""
        index = self._index()
        index["manifests"] = [
            entry
            for entry in index.get("manifests", ())
            if entry.get("annotations", {}).get(_REFERENCE) in references
        ]
        _write(self.folder / "index.json", index)
        images = self.images()
        wanted = {self.blob(digest) for image in images for digest in image.blobs}
        for path in (self.folder / "blobs" / "sha256").glob("*"):
            if path not in wanted:
                path.unlink()
        _write(self.folder / "manifest.json", self._for_docker(images))

    def write_archive(
        self, output: BinaryIO, only: Collection[str] = (), without: Collection[str] = ()
    ) -> None:
        """Writes the images as one tar: all, or those with the references in `only`.

        without: blobs that the reader has already; the archive is then for one who reads OCI's
        index, such as containerd.
        """
        images = [image for image in self.images() if not only or image.reference in only]
        references = {image.reference for image in images}
        index = self._index()
        index["manifests"] = [
            entry
            for entry in index.get("manifests", ())
            if entry.get("annotations", {}).get(_REFERENCE) in references
        ]
        documents = {"index.json": index, "manifest.json": self._for_docker(images)}
        if without:
            del documents["manifest.json"]
        digests = {digest for image in images for digest in image.blobs} - set(without)
        with tarfile.open(fileobj=output, mode="w|") as archive:
            for name, document in documents.items():
                data = json.dumps(document).encode()
                _add(archive, name, len(data), io.BytesIO(data))
            for name in ["oci-layout", *map(self._inside, sorted(digests))]:
                with (self.folder / name).open("rb") as content:
                    _add(archive, name, (self.folder / name).stat().st_size, content)

    def sizes(self) -> Iterator[str]:
        """A line an image: its size, and how much of it no other image has; uncompressed MB."""
        images = self.images()
        for image in images:
            others = {d for other in images if other is not image for d in other.layers}
            total = sum(self._size(digest) for digest in image.layers)
            own = sum(self._size(digest) for digest in image.layers if digest not in others)
            yield f"{image.reference:32} {total / 1e6:8.0f} MB, {own / 1e6:7.0f} MB of them its own"
        together = sum(map(self._size, {d for image in images for d in image.blobs}))
        yield f"{'together':32} {together / 1e6:8.0f} MB"

    def _for_docker(self, images: list[LayoutImage]) -> list[dict[str, Any]]:
        return [
            {
                "Config": self._inside(image.manifest["config"]["digest"]),
                "RepoTags": [image.reference],
                "Layers": [self._inside(digest) for digest in image.layers],
            }
            for image in images
        ]

    @property
    def _notes_path(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-made-of.json")

    def _notes(self) -> dict[str, dict[str, str]]:
        return _read(self._notes_path) or {}

    def _index(self) -> dict[str, Any]:
        return _read(self.folder / "index.json") or {}

    def _document(self, digest: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = _read(self.blob(digest))
        return found

    def _size(self, digest: str) -> int:
        return self.blob(digest).stat().st_size

    def _inside(self, digest: str) -> str:
        return self.blob(digest).relative_to(self.folder).as_posix()


def _add(archive: tarfile.TarFile, name: str, size: int, content: BinaryIO) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, content)


def _read(path: Path) -> Any:
    """A JSON document, None if it is not there."""
    return json.loads(path.read_bytes()) if path.exists() else None


def _write(path: Path, document: Any) -> None:
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(json.dumps(document, indent=2), encoding="utf-8")
    draft.replace(path)
