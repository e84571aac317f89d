"""The single-node overlay on a real kubelet, in our images: it works, and survives what it must."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from installed import SERVICES, Installed, Pod

from tools.photos import copy_demo_folder

ROOT = Path(__file__).resolve().parents[2]
KIMG = 0.32
"""of the quickstart experiment here, which has 5: what counts is that every part is the real one"""
BATCH = 16


@dataclass(frozen=True)
class Quickstart:
    """The experiment's Job is done; what it made, by name."""

    job: dict[str, Any]
    run: str
    dataset: str


@pytest.fixture(scope="module")
def quickstart(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Quickstart:
    """`kubectl apply -k examples/kubernetes`, with the demo's photos and less training."""
    folder = tmp_path_factory.mktemp("quickstart")
    (photos := folder / "photos").mkdir()
    copy_demo_folder(photos)
    # What `kubectl cp` does, and the documentation says.
    with subprocess.Popen(["tar", "-C", str(photos), "-c", "."], stdout=subprocess.PIPE) as tar:
        unpack = "mkdir -p /photos/quickstart && tar -C /photos/quickstart -x"
        kubectl = ("kubectl", "-n", "tagloom", "exec", "-i", "deploy/scraper", "-c", "server")
        subprocess.run(
            installed.cluster.command(*kubectl, "--", "sh", "-c", unpack),
            stdin=tar.stdout,
            env=installed.cluster.environment,
            check=True,
        )
    example = folder / "example"
    shutil.copytree(ROOT / "examples" / "kubernetes", example)
    text = (example / "experiment.yaml").read_text()
    text = re.sub(r"(?m)^  kimg: .*", f"  kimg: {KIMG}", text)
    text = re.sub(r"(?m)^  snapshot_kimg: .*", f"  snapshot_kimg: {KIMG / 2}", text)
    text = re.sub(r"(?m)^  tick_kimg: .*", f"  tick_kimg: {KIMG / 4}", text)
    text = re.sub(r"(?m)^  samples: .*", "  samples: 64", text)
    (example / "experiment.yaml").write_text(text)
    installed.cluster.kubectl("apply", "-k", str(example))

    def ended() -> Any:
        job = installed.get("job", "quickstart")
        kinds = {c["type"] for c in job["status"].get("conditions", ()) if c["status"] == "True"}
        return job if kinds & {"Complete", "Failed"} else None

    job = installed.cluster.wait("the experiment's end", ended, seconds=900)
    log = installed.kubectl("logs", "job/quickstart")
    assert job["status"].get("succeeded") == 1, log
    (run,) = (
        run for run in installed.tagloom("ls", "runs") if run["name"].startswith("runs/quickstart-")
    )
    return Quickstart(job, run["name"], run["dataset"])


def test_every_container_lives_under_the_restricted_standard(installed: Installed) -> None:
    namespace = installed.cluster.get("namespace", "tagloom")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pods = installed.get("pods", "-l", "app.kubernetes.io/component in (service, store)")["items"]
    running = Counter(
        pod["metadata"]["labels"]["app.kubernetes.io/name"]
        for pod in pods
        if pod["status"]["phase"] == "Running"
    )
    assert running == Counter({**dict.fromkeys(SERVICES, 1), "minio": 1})
    assert all(Pod.of(pod).restarts == 0 for pod in pods)
    for name in SERVICES:
        # A shell in the pod: who it is, and that nothing but the two volumes can be written to.
        says = installed.kubectl(
            *("exec", f"deploy/{name}", "-c", "server", "--", "sh", "-c"),
            "id -u; touch /tmp/x /var/cache/tagloom/x && echo written; touch /opt/x || echo no",
        )
        assert says.split() == ["10001", "written", "no"]


def test_requests_are_modest(installed: Installed) -> None:
    described = installed.cluster.kubectl("describe", "node")
    cpu = re.search(r"(?m)^  cpu\s+(\d+)m", described)
    assert cpu
    assert int(cpu[1]) < 1500


def test_the_quickstart_ends_with_a_scored_snapshot(
    installed: Installed, quickstart: Quickstart
) -> None:
    run = installed.tagloom("get", quickstart.run)
    assert run["state"] == "succeeded"
    assert run["images_seen"] == KIMG * 1000
    assert run["g_parameter_change"] > 0
    snapshots = installed.tagloom("ls", f"{quickstart.run}/snapshots")
    assert [snapshot["kimg"] for snapshot in snapshots] == [0, KIMG / 2, KIMG]
    (evaluation,) = installed.tagloom("ls", "evaluations")
    scores = json.dumps(installed.tagloom("get", evaluation["name"]))
    assert "kernel" in scores
    assert "frechet" in scores


def test_the_training_ran_in_a_job_of_its_own(installed: Installed, quickstart: Quickstart) -> None:
    jobs = installed.get("jobs", "-l", "app.kubernetes.io/name=training")["items"]
    assert len(jobs) == 1
    assert jobs[0]["status"]["succeeded"] == 1
    assert not jobs[0]["metadata"].get("ownerReferences")
    (container,) = jobs[0]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "tagloom/training:0.1.0"


def test_images_on_request(installed: Installed, quickstart: Quickstart, tmp_path: Path) -> None:
    last = installed.tagloom("ls", f"{quickstart.run}/snapshots")[-1]["name"]
    command = ["generate", "--network", last, "--seeds", "0-3", "--out", str(tmp_path / "out")]
    installed.tagloom(*command)
    pictures = [path.read_bytes() for path in sorted((tmp_path / "out").glob("*.png"))]
    assert len(set(pictures)) == 4


def test_five_rolling_updates_under_load_lose_no_call(installed: Installed) -> None:
    address = "dns:///scraper.tagloom.svc:50051"
    with installed.client("tests/plugins/call_load.py", address, "2") as load:
        for _ in range(5):
            (before,) = installed.pods(name="scraper")
            installed.kubectl("rollout", "restart", "deployment/scraper")
            installed.kubectl("rollout", "status", "deployment/scraper", "--timeout=120s")

            def replaced(old: Pod = before) -> bool:
                pods = installed.pods(name="scraper")
                return len(pods) == 1 and pods[0].uid != old.uid

            installed.cluster.wait("the old pod's end", replaced, seconds=90)
        out, err = load.communicate(input="", timeout=60)
    assert load.returncode == 0, err
    result = json.loads(out)
    print(result)
    assert result["failures"] == []
    assert result["answered"] >= 1000


KILLED = ["--start", "photos-32", "--batch", str(BATCH), "--mirror", "--tick-kimg", "0.064"]


def test_the_trainer_is_killed_and_the_training_goes_on(
    installed: Installed, quickstart: Quickstart
) -> None:
    run = "runs/trainer-killed"
    with train(installed, run, quickstart.dataset) as client:
        (training,) = trained_by(installed, run)
        (server,) = installed.pods(name="trainer")
        installed.kill(server, "services.trainer.server")

        def back() -> bool:
            (now,) = installed.pods(name="trainer")
            return now.restarts == server.restarts + 1 and now.phase == "Running"

        installed.cluster.wait("the server's restart", back, seconds=120)
        out, err = client.communicate(timeout=600)
        assert client.returncode == 0, err
    assert json.loads(out)["state"] == "succeeded"
    # Nobody touched the pod that trains, and no other was made.
    assert all_pods(installed, run) == [training.uid]
    check_history(installed, run)


def test_the_training_is_killed_and_another_pod_goes_on(
    installed: Installed, quickstart: Quickstart
) -> None:
    run = "runs/training-killed"
    with train(installed, run, quickstart.dataset) as client:
        (training,) = trained_by(installed, run)
        installed.kill(training, "services.trainer.launch.container")
        out, err = client.communicate(timeout=600)
        assert client.returncode == 0, err
    assert json.loads(out)["state"] == "succeeded"
    pods = all_pods(installed, run)
    assert len(pods) == 2
    assert training.uid in pods
    check_history(installed, run)


def train(installed: Installed, run: str, dataset: str) -> Any:
    """A client that trains and waits; the training is in full swing when this returns."""
    command = ["-m", "tagloom.cli", "train", "--json", "--run", run.removeprefix("runs/")]
    command += ["--dataset", dataset, "--kimg", "0.64", "--snapshot-kimg", "0.32", *KILLED]
    return installed.client(*command)


def trained_by(installed: Installed, run: str) -> list[Pod]:
    """The pods that train the run, once it has seen some images."""

    def going() -> bool:
        try:
            return bool(installed.tagloom("get", run)["images_seen"] >= 96)
        except AssertionError:
            return False  # not there yet

    installed.cluster.wait(f"{run} under way", going, seconds=300)
    return pods_of(installed, run)


def pods_of(installed: Installed, run: str) -> list[Pod]:
    selector = f"tagloom.dev/run={run.removeprefix('runs/')}"
    pods = map(Pod.of, installed.get("pods", "-l", selector)["items"])
    return [pod for pod in pods if pod.phase == "Running"]


def all_pods(installed: Installed, run: str) -> list[str]:
    """Ids of all pods that ever trained the run: its Job is still there, and so are they."""
    selector = f"tagloom.dev/run={run.removeprefix('runs/')}"
    return [pod["metadata"]["uid"] for pod in installed.get("pods", "-l", selector)["items"]]


def check_history(installed: Installed, run: str) -> None:
    """Every image once: what was done again after a kill replaced what it had been."""
    document = installed.tagloom("get", run)
    assert document["images_seen"] == document["steps"] * BATCH == 640
    jobs = installed.get("jobs", "-l", f"tagloom.dev/run={run.removeprefix('runs/')}")["items"]
    assert len(jobs) == 1
    snapshots = installed.tagloom("ls", f"{run}/snapshots")
    assert [snapshot["kimg"] for snapshot in snapshots] == [0, 0.32, 0.64]
    # The operation is done, and stays so: nothing starts it again.
    before = all_pods(installed, run)
    time.sleep(20)
    assert all_pods(installed, run) == before
