"""What the built images are: one large layer for all, no secret, no root, nothing too many."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from install_guide import first_way
from live_cluster import ROOT, Cluster

from tools.image_build import IMAGES, Workshop, version
from tools.image_layout import Layout, LayoutImage

ON_THE_RUNTIME = ("filter", "trainer", "evaluator", "generator", "training")
SERVICES = ("scraper", "filter", "trainer", "evaluator", "generator")
OURS = [image.name for image in IMAGES if image.published and image.name != "minio"]


@pytest.fixture(scope="module")
def by_name(images: Layout) -> dict[str, LayoutImage]:
    return {
        image.reference.removeprefix("tagloom/").partition(":")[0]: image
        for image in images.images()
    }


def diff_ids(image: LayoutImage) -> list[str]:
    found: list[str] = image.config["rootfs"]["diff_ids"]
    return found


def settings(image: LayoutImage) -> Any:
    return image.config["config"]


@cache
def files(layer: Path) -> frozenset[str]:
    with tarfile.open(layer) as tar:
        return frozenset(member.name.removeprefix("./") for member in tar)


def contents(images: Layout, image: LayoutImage) -> set[str]:
    """Paths of everything in the image."""
    return set().union(*(files(images.blob(digest)) for digest in image.layers))


def packages(images: Layout, image: LayoutImage) -> set[str]:
    """Names of the Python distributions in it."""
    found = (
        re.search(r"/site-packages/([^/]+)-[^-/]+\.dist-info/METADATA$", p)
        for p in contents(images, image)
    )
    return {match[1].lower().replace("_", "-") for match in found if match}


def test_all_are_there_under_the_projects_version(images: Layout) -> None:
    names = {image.reference for image in images.images()}
    assert names == {f"tagloom/{image.name}:{version()}" for image in IMAGES if image.published}


def test_the_large_layer_occurs_once(images: Layout, by_name: dict[str, LayoutImage]) -> None:
    runtime = diff_ids(by_name["runtime"])
    for name in ON_THE_RUNTIME:
        assert diff_ids(by_name[name])[: len(runtime)] == runtime, name
    for name in ("scraper", "pipelines-python", "minio"):
        assert runtime[-1] not in diff_ids(by_name[name])
    large = [path for path in (images.folder / "blobs").rglob("*") if path.stat().st_size > 2**30]
    assert large == [images.blob(by_name["runtime"].layers[-1])]
    for name in ON_THE_RUNTIME:
        own = by_name[name].layers[len(runtime) :]
        assert sum(images.blob(digest).stat().st_size for digest in own) < 1e9, name


def test_each_has_what_its_own_extra_needs(images: Layout, by_name: dict[str, LayoutImage]) -> None:
    in_image = {name: packages(images, by_name[name]) for name in OURS}
    assert "torch" in in_image["runtime"]
    assert "tagloom" not in in_image["runtime"]
    for name in ("scraper", "pipelines-python"):
        assert not {"torch", "numba", "scipy"} & in_image[name]
    marks = {"scraper": "instaloader", "filter": "onnxruntime", "pipelines-python": "kfp"}
    marks |= {"evaluator": "torch-fidelity"}
    for name, package in marks.items():
        assert [other for other in OURS if package in in_image[other]] == [name]
    for name in OURS:
        assert not {"pytest", "mypy", "uv", "hatchling"} & in_image[name]


def test_they_run_as_nobody_special(by_name: dict[str, LayoutImage]) -> None:
    for name, image in by_name.items():
        assert settings(image)["User"] == "10001:10001", name


def test_each_says_what_it_is(by_name: dict[str, LayoutImage]) -> None:
    for name, image in by_name.items():
        labels = settings(image)["Labels"]
        for key in ("title", "description", "version"):
            assert labels[f"org.opencontainers.image.{key}"], name
        assert labels["org.opencontainers.image.version"] == version()
    for name in SERVICES:
        assert settings(by_name[name])["Entrypoint"] == ["python", "-m", f"services.{name}.server"]


def test_the_training_image_can_compile(images: Layout, by_name: dict[str, LayoutImage]) -> None:
    there = contents(images, by_name["training"])
    assert "usr/bin/gcc" in there
    assert any(path.endswith("/Python.h") for path in there)
    assert "usr/bin/gcc" not in contents(images, by_name["trainer"])


def test_no_index_setting_is_in_a_layer(images: Layout, by_name: dict[str, LayoutImage]) -> None:
    """Neither the settings that builds were given, nor where this machine finds packages."""
    canary = (images.folder.parent / "canary").read_bytes()
    secrets = {canary, *foreign_hosts()}
    checked = 0
    for digest in {digest for image in by_name.values() for digest in image.blobs}:
        for block in blocks(images.blob(digest)):
            checked += len(block)
            for secret in secrets:
                assert secret not in block, f"{digest} holds {secret!r}"
    assert checked > 6e9
    for image in by_name.values():
        assert not any("INDEX" in variable for variable in settings(image).get("Env", ()))
    for name in OURS:
        there = contents(images, by_name[name])
        assert not {"etc/pip.conf", "run/secrets/index-settings", "etc/apt/auth.conf"} & there
        # uv's caches are mounted: nothing of them stays.
        cached = ("root/.cache/", "var/cache/uv/", "var/cache/uv-lent/")
        assert not [path for path in there if path.startswith(cached)]


@pytest.mark.usefixtures("images")
def test_a_build_is_told_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would look for something that never was there."""
    monkeypatch.setenv("TAGLOOM_CACHE", str(tmp_path))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://user:word@index.example/simple")
    workshop = Workshop()
    with workshop.secrets() as arguments:
        (path,) = [
            word.partition("src=")[2] for word in arguments if word.startswith("id=index-settings")
        ]
        text = Path(path).read_text()
    assert workshop.canary() in text
    assert "export UV_DEFAULT_INDEX='https://user:word@index.example/simple'" in text
    assert not Path(path).exists()


def foreign_hosts() -> set[bytes]:
    """Hosts of indexes that this machine was told to use, which no package names by itself."""
    urls = [value for name, value in os.environ.items() if "INDEX" in name and "://" in value]
    hosts = {urlsplit(url).hostname or "" for url in urls}
    return {host.encode() for host in hosts if host and "pypi" not in host}


def blocks(path: Path, size: int = 2**24, overlap: int = 256) -> Iterator[bytes]:
    """The file in pieces that overlap, so that no word is cut in two."""
    with path.open("rb") as file:
        before = b""
        while block := file.read(size):
            yield before + block
            before = block[-overlap:]


def test_the_archive_is_what_docker_loads_too(images: Layout) -> None:
    manifest = json.loads((images.folder / "manifest.json").read_bytes())
    assert {entry["RepoTags"][0] for entry in manifest} == {
        image.reference for image in images.images()
    }
    for entry in manifest:
        for path in (entry["Config"], *entry["Layers"]):
            assert (images.folder / path).is_file()


def test_the_guides_way_onto_a_node(images: Layout, node: Cluster, tmp_path: Path) -> None:
    """Its two commands, for the scraper's image alone: with the runtime's layer the second takes
    three minutes and 16 GB. Into a namespace where containerd has nothing yet."""
    assert images.images()
    build, load = (command.removeprefix("sudo ") for command in first_way()[0])
    file = "tagloom-images.tar"
    assert file in build
    assert "--namespace k8s.io" in load
    build = f"{build} --local-base scraper".replace(file, str(tmp_path / file))
    subprocess.run(["sh", "-c", build], cwd=ROOT, check=True)
    node.run("sh", "-c", load.replace("k8s.io", "guide"), cwd=tmp_path)
    ctr = ("ctr", "--namespace", "guide", "images")
    name = f"docker.io/tagloom/scraper:{version()}"
    (line,) = node.run(*ctr, "check").stdout.splitlines()[1:]
    assert line.startswith(f"{name} ")
    assert " complete " in line
    assert line.split()[-1] == "true"  # unpacked
    node.run(*ctr, "rm", "--sync", name)
