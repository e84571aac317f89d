"""What images are made of, and the archive they lie in; tests/cluster builds them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from images.install import locked
from tools.image_build import IMAGES, version
from tools.image_layout import Layout

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = [ROOT / image.dockerfile for image in IMAGES]


def test_every_dockerfile_is_an_image() -> None:
    found = {
        path
        for folder in ("images", "services", "pipelines")
        for path in (ROOT / folder).rglob("*Dockerfile")
    }
    assert found == {*DOCKERFILES, ROOT / "images" / "local-debian.Dockerfile"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_dockerfile_stands_on_is_pinned(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"(?m)^ARG \w+=(.*)$", text):
        assert name.endswith(f":{version()}") or re.search(r"@sha256:[0-9a-f]{64}$", name), name
    # Whatever is done as root, nothing runs as root.
    users = re.findall(r"(?m)^USER (.*)$", text)
    assert users[-1:] in (["10001:10001"], [])
    assert users or "builder" in path.name


@pytest.mark.parametrize("image", [i for i in IMAGES if i.packages], ids=lambda image: image.name)
def test_what_is_installed_is_in_the_lock_with_hashes(image: object) -> None:
    names = (ROOT / "images" / "packages" / f"{image.packages}.txt").read_text()  # type: ignore[attr-defined]
    chosen = locked(names, (ROOT / "requirements.txt").read_text())
    wanted = {line for line in names.splitlines() if not line.startswith("#")}
    entries = re.findall(r"(?m)^([\w.-]+)==", chosen)
    assert set(entries) == wanted
    assert "--hash=sha256:" in chosen
    assert ("torch" in wanted) == (image.name not in ("scraper", "filter", "pipelines-python"))  # type: ignore[attr-defined]


def test_both_versions_of_a_package_are_chosen() -> None:
    lock = (
        "a==1 ; python_version < '3.12' \\\n    --hash=sha256:1\n"
        "a==2 ; python_version >= '3.12' \\\n    --hash=sha256:2\n"
        "b==1 \\\n    --hash=sha256:3 \\\n    --hash=sha256:4\n"
        "ab==1 \\\n    --hash=sha256:5\n"
    )
    assert locked("# made\na\n", lock) == lock[: lock.index("b==1")]
    assert locked("b\n", lock).count("--hash") == 2
    with pytest.raises(ValueError, match="no c; run make lock"):
        locked("a\nc\n", lock)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Two images, as skopeo writes them, on one layer; and what an earlier build has left."""
    made = Layout(tmp_path / "layout")
    (made.folder / "blobs" / "sha256").mkdir(parents=True)
    (made.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    shared, entries = put(made, b"shared"), []
    for name in ("one", "two"):
        own = put(made, name.encode())
        config = put(made, json.dumps({"rootfs": {"diff_ids": [shared, own]}}).encode())
        manifest = {
            "config": {"digest": config},
            "layers": [{"digest": shared}, {"digest": own}],
        }
        digest = put(made, json.dumps(manifest).encode())
        reference = {"org.opencontainers.image.ref.name": f"tagloom/{name}:1"}
        entries.append({"digest": digest, "annotations": reference})
    put(made, b"left over")
    (made.folder / "index.json").write_text(json.dumps({"manifests": entries}))
    return made


def put(layout: Layout, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    layout.blob(digest).write_bytes(data)
    return digest


def test_what_was_left_over_goes(layout: Layout) -> None:
    layout.finish({"tagloom/one:1", "tagloom/two:1"})
    assert len(list((layout.folder / "blobs/sha256").iterdir())) == 7
    layout.finish({"tagloom/two:1"})
    assert [image.reference for image in layout.images()] == ["tagloom/two:1"]
    assert len(list((layout.folder / "blobs/sha256").iterdir())) == 4


def test_an_image_is_known_by_what_it_was_made_of(layout: Layout) -> None:
    assert layout.key("tagloom/one:1") == ""
    layout.note("tagloom/one:1", "key")
    assert layout.key("tagloom/one:1") == "key"
    own = layout.images()[0].layers[-1]
    layout.blob(own).unlink()
    assert layout.key("tagloom/one:1") == ""


def test_the_archive_is_read_by_two_kinds_of_readers(layout: Layout) -> None:
    layout.note("tagloom/one:1", "key")
    layout.finish({"tagloom/one:1", "tagloom/two:1"})
    output = io.BytesIO()
    layout.write_archive(output)
    output.seek(0)
    with tarfile.open(fileobj=output) as archive:
        there = {member.name: archive.extractfile(member) for member in archive}
        index = json.loads(there["index.json"].read())  # type: ignore[union-attr]
        docker = json.loads(there["manifest.json"].read())  # type: ignore[union-attr]
    names = [entry["annotations"].get("io.containerd.image.name") for entry in index["manifests"]]
    assert names == ["docker.io/tagloom/one:1", None]
    assert [entry["RepoTags"] for entry in docker] == [["tagloom/one:1"], ["tagloom/two:1"]]
    assert all(path in there for entry in docker for path in [entry["Config"], *entry["Layers"]])
    assert len(there) == 7 + 3


def test_one_image_may_go_alone(layout: Layout) -> None:
    output = io.BytesIO()
    layout.write_archive(output, only={"tagloom/two:1"})
    output.seek(0)
    with tarfile.open(fileobj=output) as archive:
        there = {member.name: archive.extractfile(member) for member in archive}
        (entry,) = json.loads(there["index.json"].read())["manifests"]  # type: ignore[union-attr]
        (docker,) = json.loads(there["manifest.json"].read())  # type: ignore[union-attr]
    assert docker["RepoTags"] == ["tagloom/two:1"]
    (two,) = (image for image in layout.images() if image.reference == "tagloom/two:1")
    assert entry["digest"] == two.digest
    blobs = {layout.blob(digest).relative_to(layout.folder).as_posix() for digest in two.blobs}
    assert set(there) == {"oci-layout", "index.json", "manifest.json", *blobs}


def test_a_reader_may_have_the_large_layer_already(layout: Layout) -> None:
    shared = layout.images()[0].layers[0]
    output = io.BytesIO()
    layout.write_archive(output, without={shared})
    output.seek(0)
    with tarfile.open(fileobj=output) as archive:
        names = archive.getnames()
    assert not any(shared.partition(":")[2] in name for name in names)
    assert "manifest.json" not in names
