"""The single-node overlay on a real kubelet, in our images: it works, and survives what it must."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installed import SERVICES, Installed, Pod
from quickstart import KIMG, Quickstart

BATCH = 16


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
    (evaluation,) = (
        each for each in installed.tagloom("ls", "evaluations") if each["run"] == quickstart.run
    )
    scores = json.dumps(installed.tagloom("get", evaluation["name"]))
    assert "kernel" in scores
    assert "frechet" in scores


def test_the_report_is_fetched_as_the_guide_says(quickstart: Quickstart) -> None:
    assert quickstart.report.startswith("<!doctype html>")
    assert quickstart.run.removeprefix("runs/") in quickstart.report
    assert quickstart.report.count("data:image/") >= 3  # it stands alone


def test_the_training_ran_in_a_job_of_its_own(installed: Installed, quickstart: Quickstart) -> None:
    selector = f"tagloom.dev/run={quickstart.run.removeprefix('runs/')}"
    (job,) = installed.get("jobs", "-l", selector)["items"]
    assert job["status"]["succeeded"] == 1
    assert not job["metadata"].get("ownerReferences")
    (container,) = job["spec"]["template"]["spec"]["containers"]
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
IMAGES = 640
STATE_IMAGES = 128


@pytest.fixture(scope="module")
def often_saved(installed: Installed) -> Iterator[Installed]:
    """Trainings save their state every so many images, since they are short."""
    with installed.settings("trainer", TAGLOOM_JOB_ENV=f"TAGLOOM_STATE_IMAGES={STATE_IMAGES}"):
        yield installed


def test_the_trainer_is_killed_and_the_training_goes_on(
    often_saved: Installed, quickstart: Quickstart
) -> None:
    installed, run = often_saved, "runs/trainer-killed"
    with train(installed, run, quickstart.dataset) as client:
        training = trained_by(installed, run)
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
    check_history(installed, run, attempts=1)


def test_the_training_is_killed_and_another_pod_goes_on(
    often_saved: Installed, quickstart: Quickstart
) -> None:
    installed, run = often_saved, "runs/training-killed"
    with train(installed, run, quickstart.dataset) as client:
        training = trained_by(installed, run)
        durable = installed.states(run)[-1]
        installed.kill(training, "services.trainer.launch.container")
        out, err = client.communicate(timeout=600)
        assert client.returncode == 0, err
    assert json.loads(out)["state"] == "succeeded"
    pods = {pod["metadata"]["uid"]: pod for pod in pods_of(installed, run)}
    assert len(pods) == 2
    # The second went on where the first was durable, or a little later: not from the start.
    (second,) = (pod["metadata"]["name"] for uid, pod in pods.items() if uid != training.uid)
    log = installed.kubectl("logs", second)
    (resumed,) = re.findall(r"Continues .*?([\d.]+) kimg", log)
    assert durable <= float(resumed) * 1000 < IMAGES, log
    check_history(installed, run, attempts=2)


def test_what_is_done_stays_so(often_saved: Installed) -> None:
    """Nothing starts either of them again."""
    runs = ("runs/trainer-killed", "runs/training-killed")
    before = [all_pods(often_saved, run) for run in runs]
    assert [len(pods) for pods in before] == [1, 2]
    time.sleep(10)
    assert [all_pods(often_saved, run) for run in runs] == before


def train(installed: Installed, run: str, dataset: str) -> Any:
    """A client that trains and waits; the training is in full swing when this returns."""
    command = ["-m", "tagloom.cli", "train", "--json", "--run", run.removeprefix("runs/")]
    command += ["--dataset", dataset, "--kimg", str(IMAGES / 1000), "--snapshot-kimg", "0.32"]
    return installed.client(*command, *KILLED)


def trained_by(installed: Installed, run: str) -> Pod:
    """The pod that trains the run, once a state of it is durable, and not yet the last."""
    installed.cluster.wait(f"a state of {run}", lambda: installed.states(run), seconds=300)
    assert installed.states(run)[-1] < IMAGES
    (pod,) = (pod for pod in map(Pod.of, pods_of(installed, run)) if pod.phase == "Running")
    return pod


def pods_of(installed: Installed, run: str) -> list[Any]:
    """All pods that ever trained the run: its Job is still there, and so are they."""
    selector = f"tagloom.dev/run={run.removeprefix('runs/')}"
    found = installed.get("pods", "-l", selector)["items"]
    assert isinstance(found, list)
    return found


def all_pods(installed: Installed, run: str) -> list[str]:
    return [pod["metadata"]["uid"] for pod in pods_of(installed, run)]


def check_history(installed: Installed, run: str, *, attempts: int) -> None:
    """Every image once: what was done again after a kill replaced what it had been."""
    document = installed.tagloom("get", run)
    assert document["images_seen"] == document["steps"] * BATCH == IMAGES
    assert document["attempts"] == attempts
    jobs = installed.get("jobs", "-l", f"tagloom.dev/run={run.removeprefix('runs/')}")["items"]
    assert len(jobs) == 1
    snapshots = installed.tagloom("ls", f"{run}/snapshots")
    assert [snapshot["kimg"] for snapshot in snapshots] == [0, 0.32, 0.64]
