"""kube-score and checkov over everything that is rendered: no finding, or a reason beside it.

Both are programs of their own: kube-score is built beside the cluster's programs, checkov lives in
an environment of its own (its pins are not ours).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.k8s.manifests import EVERYTHING, overlay, render, training_job
from tools.minio_build import cache

CHECKOV = "checkov==3.3.30"

# Replicas are spread by topologySpreadConstraints (which kube-score checks as well): they say what
# an anti-affinity would, and still hold with more replicas than nodes.
SPREAD = "deployment-has-host-podantiaffinity"
# Images of a single node are imported into it, from no registry that Always could ask.
PULLING = "container-image-pull-policy"
# A single node takes nothing over from itself.
REPLICAS = "deployment-replicas"
SCORE_EXCLUSIONS = {
    "production": [SPREAD],  # that the scraper is one is explained in its manifest
    "single-node": [SPREAD, PULLING, REPLICAS],
    "everything": [SPREAD, PULLING, REPLICAS],
}

KEYS_AS_VARIABLES = ("CKV_K8S_35", "Job.tagloom.train-cats")
CHECKOV_EXCLUSIONS = {
    # "Image should use digest": whoever installs Tagloom builds the images; their digests are not
    # known here. `images:` in an overlay takes a digest.
    "production": ["CKV_K8S_43"],
    # "Image Pull Policy should be Always": as above.
    "single-node": ["CKV_K8S_43", "CKV_K8S_15"],
    "everything": ["CKV_K8S_43", "CKV_K8S_15"],
}


@pytest.fixture(scope="module", params=["single-node", "production", "everything"])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the overlay, an experiment's Job and a training's: all pods that there are."""
    name = str(request.param)
    objects = render(EVERYTHING) if name == "everything" else overlay(name)
    jobs = [*render("examples/kubernetes"), training_job("single-node")]
    if name == "production":  # its trainings ask the registry, too
        for job in jobs:
            for container in (
                job.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
            ):
                container["imagePullPolicy"] = "Always"
    path = tmp_path_factory.mktemp("rendered") / f"{name}.yaml"
    path.write_text(yaml.safe_dump_all([*objects, *jobs]))
    return path


@pytest.fixture(scope="module")
def kube_score(programs: Path) -> Path:
    """The program."""
    return programs / "kube-score"


@pytest.fixture(scope="module")
def checkov() -> Path:
    """The program, installed once into an environment of its own (a minute)."""
    folder = cache() / "checkov" / CHECKOV.rpartition("=")[2]
    program = folder / "bin" / "checkov"
    if not program.exists():
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        assert uv, "no uv; run `make install-dev`"
        subprocess.run([uv, "venv", "--quiet", "--clear", str(folder)], check=True)
        # Straight to where it stays: programs in an environment know their path.
        install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
        try:
            subprocess.run([*install, CHECKOV], check=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return program


def test_kube_score_finds_nothing(kube_score: Path, rendered: Path) -> None:
    ignored = [f"--ignore-test={test}" for test in SCORE_EXCLUSIONS[rendered.stem]]
    done = subprocess.run(
        [str(kube_score), "score", "--output-format=ci", *ignored, str(rendered)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith("[OK]")]) > 100, done.stderr
    findings = [line for line in lines if line.startswith(("[WARNING]", "[CRITICAL]"))]
    assert findings == []


def test_what_is_ignored_would_be_found(kube_score: Path, rendered: Path) -> None:
    """An exclusion that is not needed any more has to go."""
    done = subprocess.run(
        [str(kube_score), "score", "--output-format=ci", str(rendered)],
        capture_output=True,
        text=True,
        check=False,
    )
    words = {
        "container-image-pull-policy": "ImagePullPolicy is not set to Always",
        "deployment-replicas": "Deployment few replicas",
        "deployment-has-host-podantiaffinity": "does not have a host podAntiAffinity",
    }
    for test in SCORE_EXCLUSIONS[rendered.stem]:
        assert words[test] in done.stdout


def test_checkov_finds_nothing(checkov: Path, rendered: Path) -> None:
    done = subprocess.run(
        [
            *(str(checkov), "--framework", "kubernetes", "--skip-download", "--compact"),
            *("--output", "json", "--file", str(rendered)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert answer["summary"]["parsing_errors"] == 0
    assert answer["summary"]["passed"] > 400
    failed = answer["results"]["failed_checks"]
    found = {(check["check_id"], check["resource"]) for check in failed}
    # "Prefer using secrets as files": a training pod gets its keys from the Secret as variables, by
    # the setting that gives it all else that it needs to know (TAGLOOM_JOB_ENV_FROM).
    assert KEYS_AS_VARIABLES in found
    excluded = set(CHECKOV_EXCLUSIONS[rendered.stem])
    assert {each for each in found if each[0] not in excluded} == {KEYS_AS_VARIABLES}
    assert {check for check, _ in found - {KEYS_AS_VARIABLES}} == excluded  # none too many
