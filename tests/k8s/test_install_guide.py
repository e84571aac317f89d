"""docs/install.md: its commands name what there is. tests/cluster takes the same way for real."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import install_guide
import pytest
from install_guide import blocks

from tests.k8s.manifests import ROOT, containers, one, overlay, pod_templates, render

GUIDE = install_guide.GUIDE.read_text(encoding="utf-8")


def test_ten_commands_or_fewer_to_the_first_report() -> None:
    first = blocks()[0]
    assert len(first) <= 10
    assert first[-1].endswith("--report - > report.html")
    for command in first:  # each is one that a shell can read
        subprocess.run(["sh", "-n", "-c", command], check=True)


def test_files_and_folders_that_are_named_exist() -> None:
    named = set(re.findall(r"(?:k8s|examples|tools)/[\w./-]*[\w]", GUIDE))
    assert {"k8s/create-secrets", "k8s/overlays/single-node", "examples/kubernetes"} <= named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_objects_that_are_named_exist() -> None:
    objects = (*overlay("single-node"), *render("examples/kubernetes"))
    kinds = {"deploy": "Deployment", "deployment": "Deployment", "job": "Job", "service": "Service"}
    named = set(re.findall(r"\b(deploy|deployment|job|service)/([a-z-]+)", GUIDE))
    assert len(named) >= 4
    for kind, name in named:
        one(objects, kinds[kind], name)
    known = {c["name"] for _, pod in pod_templates(objects) for c in containers(pod)}
    assert set(re.findall(r" -c ([a-z-]+)\b", GUIDE)) - {"cat"} <= known


def test_components_that_are_listed_exist_and_all_are() -> None:
    table = GUIDE.partition("| component |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"(?m)^\| `([a-z]+)` \|", table))
    there = {path.name for path in (ROOT / "k8s" / "components").iterdir()}
    assert there <= listed


def test_the_photos_get_to_where_the_experiment_looks_for_them() -> None:
    (copy,) = (command for command in blocks()[0] if command.startswith("tar "))
    unpack = shlex.split(copy)[-1]
    subprocess.run(["sh", "-n", "-c", unpack], check=True)
    experiment = (ROOT / "examples/kubernetes/experiment.yaml").read_text(encoding="utf-8")
    (folder,) = re.findall(r"collect: \{folder: (\S+)\}", experiment)
    assert f"mkdir -p {folder} && tar -C {folder} -x" == unpack


@pytest.mark.parametrize("given", ["MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"])
def test_half_a_pair_of_keys_makes_no_secret(given: str, tmp_path: Path) -> None:
    """Else its other half would be a random one, and the store would refuse them later."""
    called = tmp_path / "called"
    done = subprocess.run(
        [str(ROOT / "k8s" / "create-secrets")],
        env={"PATH": os.environ["PATH"], "KUBECTL": f"touch {called}", given: "mine"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "give both" in line
    assert not called.exists()
