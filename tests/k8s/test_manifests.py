"""The rendered manifests, object by object: valid, restricted, and true to the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from services.scraper.instagram.settings import InstagramSettings
from tagloom.folders import allowed_roots
from tagloom.rpc.settings import Settings
from tagloom.store.s3_client import Settings as StoreSettings
from tagloom.v1 import evaluator_pb2, filter_pb2, generator_pb2, scraper_pb2, trainer_pb2
from tests.k8s.manifests import (
    EVERYTHING,
    K8S,
    OVERLAYS,
    ROOT,
    SERVICES,
    Manifest,
    containers,
    environment,
    find,
    kubectl,
    one,
    overlay,
    pod_templates,
    render,
)
from tests.k8s.network import selects

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
FOLDERS = [*(f"k8s/overlays/{name}" for name in OVERLAYS), EVERYTHING, "examples/kubernetes"]
CLUSTER_SCOPED = {"Namespace", "ClusterQueue", "ResourceFlavor", "ClusterTrainingRuntime"}
OTHERS_APIS = ("trainer.kubeflow.org/", "kueue.x-k8s.io/", "monitoring.coreos.com/")
PROTOS = {
    "scraper": scraper_pb2,
    "filter": filter_pb2,
    "trainer": trainer_pb2,
    "evaluator": evaluator_pb2,
    "generator": generator_pb2,
}


@pytest.fixture(params=FOLDERS)
def objects(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    return render(str(request.param))


def amount(quantity: str) -> Decimal:
    """The number that a Kubernetes quantity stands for."""
    number, unit = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi|Ti)?", str(quantity)).groups()  # type: ignore[union-attr]
    factor = {None: Decimal(1), "m": Decimal("0.001"), "Ki": Decimal(2**10)}
    factor |= {"Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40)}
    return Decimal(number) * factor[unit]


def images_of(objects: tuple[Manifest, ...]) -> list[str]:
    """Of all pods, those of trainings among them."""
    images = [c["image"] for _, template in pod_templates(objects) for c in containers(template)]
    for settings in (each for each in objects if each["kind"] == "ConfigMap"):
        images += [v for k, v in settings["data"].items() if k.endswith("_IMAGE")]
    return images


class TestForm:
    @pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
    def test_schemas(self, objects: tuple[Manifest, ...], version: str) -> None:
        for each in objects:
            if not each["apiVersion"].startswith(OTHERS_APIS):
                kubernetes_validate.validate(each, version, strict=True)

    def test_everything_says_its_namespace(self, objects: tuple[Manifest, ...]) -> None:
        for each in objects:
            expected = None if each["kind"] in CLUSTER_SCOPED else "tagloom"
            assert each["metadata"].get("namespace") == expected, each["metadata"]

    def test_nothing_is_there_twice(self, objects: tuple[Manifest, ...]) -> None:
        names = [(each["kind"], each["metadata"]["name"]) for each in objects]
        assert len(set(names)) == len(names)

    def test_images_carry_the_projects_version(self, objects: tuple[Manifest, ...]) -> None:
        images = images_of(objects)
        assert images
        for image in images:
            assert re.fullmatch(rf"tagloom/[a-z-]+:{re.escape(VERSION)}", image), image

    @pytest.mark.parametrize("name", OVERLAYS)
    def test_a_registry_named_in_the_overlay_reaches_every_pod_and_the_launcher(
        self, name: str, tmp_path: Path
    ) -> None:
        shutil.copytree(K8S, tmp_path / "k8s")
        folder = tmp_path / "k8s" / "overlays" / name
        images = sorted(set(images_of(overlay(name))))
        names = [image.partition(":")[0] for image in images]
        entries = [
            f"- {{name: {each}, newName: registry.example/{each}, digest: sha256:{'0' * 64}}}\n"
            for each in names
        ]
        with (folder / "kustomization.yaml").open("a") as file:
            file.write("images:\n" + "".join(entries))
        done = subprocess.run(
            [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=True
        )
        renamed = set(images_of(tuple(yaml.safe_load_all(done.stdout))))
        assert renamed == {f"registry.example/{each}@sha256:{'0' * 64}" for each in names}

    def test_labels(self, objects: tuple[Manifest, ...]) -> None:
        for owner, template in pod_templates(objects):
            labels = template["metadata"]["labels"]
            assert labels["app.kubernetes.io/part-of"] == "tagloom"
            assert labels["app.kubernetes.io/component"] in {
                "service", "training", "store", "pipeline"}  # fmt: skip
            if owner["kind"] != "ClusterTrainingRuntime":
                assert owner["metadata"]["labels"].items() <= labels.items()


class TestSecurity:
    def test_no_secret_is_contained(self) -> None:
        kept = [path for path in K8S.rglob("*.yaml") if "kind: Secret" in path.read_text()]
        assert kept == []
        for folder in FOLDERS:
            assert not [each for each in render(folder) if each["kind"] == "Secret"]

    def test_secrets_that_are_named_are_those_that_are_created(self) -> None:
        script = (K8S / "create-secrets").read_text()
        created = {"tagloom-token", "tagloom-store", "minio-root"}
        for name in created:
            assert f"secret {name} " in script
        named = set()
        for _, template in pod_templates(overlay("single-node")):
            for volume in template["spec"].get("volumes", ()):
                if "secret" in volume:
                    named.add(volume["secret"]["secretName"])
        assert named == created

    def test_the_restricted_profile_is_enforced(self) -> None:
        for name in OVERLAYS:
            (namespace,) = find(overlay(name), "Namespace")
            assert namespace["metadata"]["name"] == "tagloom"
            labels = namespace["metadata"]["labels"]
            assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    def test_pods_are_as_tight_as_the_profile_and_tighter(
        self, objects: tuple[Manifest, ...]
    ) -> None:
        for _, template in pod_templates(objects):
            spec = template["spec"]
            assert spec["securityContext"] == {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
                **{k: v for k, v in spec["securityContext"].items() if k == "fsGroupChangePolicy"},
            }
            assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
            for container in containers(template):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
                assert "/tmp" in mounts

    def test_one_identity_each_and_a_token_for_the_trainer_alone(
        self, objects: tuple[Manifest, ...]
    ) -> None:
        accounts = {a["metadata"]["name"]: a for a in find(
            overlay("single-node"), "ServiceAccount")}  # fmt: skip
        assert all(a["automountServiceAccountToken"] is False for a in accounts.values())
        with_token = []
        for owner, template in pod_templates(objects):
            spec = template["spec"]
            assert spec["serviceAccountName"] in accounts
            assert spec["automountServiceAccountToken"] is False
            for volume in spec.get("volumes", ()):
                sources = volume.get("projected", {}).get("sources", ())
                if any("serviceAccountToken" in source for source in sources):
                    with_token.append(owner["metadata"]["name"])
            if owner["metadata"]["name"] in SERVICES:
                assert spec["serviceAccountName"] == owner["metadata"]["name"]
        services = {each["metadata"]["name"] for each in objects if each["kind"] == "Deployment"}
        assert with_token == (["trainer"] if services else [])

    def test_rights_are_in_one_namespace_and_for_the_trainer_alone(self) -> None:
        for name in OVERLAYS:
            objects = overlay(name)
            assert not [each for each in objects if each["kind"].startswith("ClusterRole")]
            (binding,) = find(objects, "RoleBinding")
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": "trainer", "namespace": "tagloom"}
            ]
            (role,) = find(objects, "Role")
            for rule in role["rules"]:
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                assert "secrets" not in rule["resources"]


class TestLife:
    @pytest.mark.parametrize("service", SERVICES)
    def test_probes_ask_for_what_the_server_announces(self, service: str) -> None:
        for name in OVERLAYS:
            template = one(overlay(name), "Deployment", service)["spec"]["template"]
            (server,) = template["spec"]["containers"]
            (announced,) = PROTOS[service].DESCRIPTOR.services_by_name.values()
            ready = server["readinessProbe"]["grpc"]
            assert ready == {"port": 50052, "service": announced.full_name}
            assert server["livenessProbe"]["grpc"] == {"port": 50052}
            assert server["startupProbe"]["grpc"] == {"port": 50052}

    @pytest.mark.parametrize("service", SERVICES)
    def test_a_rolling_update_takes_nothing_away(self, service: str) -> None:
        for name in OVERLAYS:
            objects = overlay(name)
            spec = one(objects, "Deployment", service)["spec"]
            assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
            pod = spec["template"]["spec"]
            (server,) = pod["containers"]
            settings = Settings.from_environment(environment(objects, server))
            # Longer than a kubelet's period of looking and kube-proxy's of following.
            assert settings.drain_s >= 5
            assert pod["terminationGracePeriodSeconds"] >= settings.drain_s + settings.grace_s + 10

    def test_every_service_may_be_moved_one_pod_at_a_time(self) -> None:
        for name in OVERLAYS:
            objects = overlay(name)
            budgets = find(objects, "PodDisruptionBudget")
            for kind in ("Deployment", "StatefulSet"):
                for owner in (each for each in objects if each["kind"] == kind):
                    labels = owner["spec"]["template"]["metadata"]["labels"]
                    fitting = [b for b in budgets if selects(b["spec"]["selector"], labels)]
                    assert len(fitting) == 1, owner["metadata"]["name"]
                    assert fitting[0]["spec"]["maxUnavailable"] == 1

    def test_replicas_spread(self) -> None:
        for service in SERVICES:
            pod = one(overlay("production"), "Deployment", service)["spec"]["template"]
            keys = {c["topologyKey"] for c in pod["spec"]["topologySpreadConstraints"]}
            assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
            for constraint in pod["spec"]["topologySpreadConstraints"]:
                assert selects(constraint["labelSelector"], pod["metadata"]["labels"])

    def test_autoscalers_own_the_replicas(self) -> None:
        objects = overlay("production")
        scaled = set()
        for scaler in find(objects, "HorizontalPodAutoscaler"):
            target = scaler["spec"]["scaleTargetRef"]
            deployment = one(objects, target["kind"], target["name"])
            assert "replicas" not in deployment["spec"]
            (server,) = deployment["spec"]["template"]["spec"]["containers"]
            aim = scaler["spec"]["metrics"][0]["resource"]["target"]["averageValue"]
            assert amount(aim) < amount(server["resources"]["limits"]["cpu"])
            scaled.add(target["name"])
        assert scaled == {"filter", "generator"}
        for service in set(SERVICES) - scaled:
            wanted = 1 if service == "scraper" else 2
            assert one(objects, "Deployment", service)["spec"]["replicas"] == wanted

    def test_jobs_do_not_stay_for_ever(self) -> None:
        for folder in FOLDERS:
            for job in (each for each in render(folder) if each["kind"] == "Job"):
                assert job["spec"]["ttlSecondsAfterFinished"] > 0


class TestResources:
    def test_everybody_says_what_they_need(self, objects: tuple[Manifest, ...]) -> None:
        for _, template in pod_templates(objects):
            for container in containers(template):
                needs = container["resources"]
                for kind in ("cpu", "memory", "ephemeral-storage"):
                    assert amount(needs["requests"][kind]) <= amount(needs["limits"][kind])
            # What may be written into volumes counts as the pod's own.
            written = sum(
                amount(volume["emptyDir"]["sizeLimit"])
                for volume in template["spec"]["volumes"]
                if "emptyDir" in volume and volume["emptyDir"].get("medium") != "Memory"
            )
            room = sum(
                amount(c["resources"]["limits"]["ephemeral-storage"])
                for c in template["spec"]["containers"]
            )
            assert written <= room

    def test_a_single_node_of_two_cores_has_room_for_all_of_it(self) -> None:
        """With a training, an experiment, and one pod more during a rolling update."""
        objects = overlay("single-node")
        (experiment,) = find(render("examples/kubernetes"), "Job")
        everything = [*(o for o, _ in pod_templates(objects)), experiment]
        settings = one(objects, "ConfigMap", "tagloom-trainer")["data"]
        sums = {"cpu": amount(settings["TAGLOOM_JOB_CPU"])}
        sums["memory"] = amount(settings["TAGLOOM_JOB_MEMORY"])
        largest = dict.fromkeys(sums, Decimal(0))
        for owner in everything:
            pod = owner["spec"]["template"]["spec"]
            for kind in sums:
                need = sum(amount(c["resources"]["requests"][kind]) for c in pod["containers"])
                first = [amount(c["resources"]["requests"][kind])
                         for c in pod.get("initContainers", ())]  # fmt: skip
                need = max([need, *first])
                sums[kind] += need * owner["spec"].get("replicas", 1)
                if owner["kind"] == "Deployment":
                    largest[kind] = max(largest[kind], need)
        assert sums["cpu"] + largest["cpu"] < Decimal("1.5")
        assert sums["memory"] + largest["memory"] < amount("12Gi")


class Recorder(Mapping[str, str]):
    """An environment that remembers what was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values_, self.asked = dict(values), set[str]()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.values_[name]

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return name in self.values_

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


class TestSettings:
    @pytest.mark.parametrize("folder", FOLDERS[:3])
    @pytest.mark.parametrize("service", SERVICES)
    def test_the_code_reads_every_setting_and_takes_it(
        self, folder: str, service: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        objects = render(folder)
        (server,) = one(objects, "Deployment", service)["spec"]["template"]["spec"]["containers"]
        given = environment(objects, server)
        mounted = tmp_path_factory.mktemp("mounted")
        for name, value in given.items():
            # The kubelet mounts these; here they lie elsewhere, with something in them.
            if name.startswith("TAGLOOM_INSTAGRAM_SESSION"):
                text = '{"username": "u", "cookies": {"sessionid": "s", "csrftoken": "c"}}'
                given[name] = str(mounted / name)
                (mounted / name).write_text(text)
            elif value.startswith("/etc/tagloom/"):
                assert any(value.startswith(m["mountPath"]) for m in server["volumeMounts"])
                (mounted / name).write_text("secret")
                given[name] = str(mounted / name)
        asked = Recorder(given)
        settings = Settings.from_environment(asked)
        assert settings.secret_token() == "secret"
        assert settings.store.startswith("s3://")
        store = StoreSettings.from_environment(asked)
        assert (store.access_key, store.secret_key) == ("secret", "secret")
        if service == "scraper":
            InstagramSettings.from_environment(asked)
            allowed_roots(asked.get("TAGLOOM_FOLDERS"))
        if service == "trainer":
            self.check_launcher(asked)
        # The rest is read where the work is done.
        rest = set(given) - asked.asked
        sources = [p.read_text("utf-8") for p in (ROOT / "services" / service).rglob("*.py")]
        named = {name for name in rest if any(f'"{name}"' in text for text in sources)}
        assert rest - named <= {"OMP_NUM_THREADS"}  # by numpy and PyTorch

    def check_launcher(self, asked: Recorder) -> None:
        from services.trainer.launch.settings import JobSettings, launcher_kind

        kind = launcher_kind(asked)
        assert kind in ("job", "trainjob")
        settings = JobSettings.from_environment(asked, kind)
        assert settings.image.startswith("tagloom/training:")
        assert settings.service_account == "training"

    def test_the_experiments_pod_finds_services_store_and_photos(self) -> None:
        objects = (*overlay("single-node"), *render("examples/kubernetes"))
        (pod,) = (
            t["spec"] for o, t in pod_templates(objects) if o["metadata"]["name"] == "quickstart"
        )
        (container,) = pod["containers"]
        given = environment(objects, container)
        assert given["TAGLOOM_TARGET"] == "dns:///{service}.tagloom.svc:50051"
        one(objects, "PersistentVolumeClaim", "tagloom-photos")
        (scraper,) = one(objects, "Deployment", "scraper")["spec"]["template"]["spec"]["containers"]
        folder = environment(objects, scraper)["TAGLOOM_FOLDERS"]
        mounts = {m["mountPath"] for m in container["volumeMounts"]}
        assert folder in mounts
        assert f"{folder}/" in (ROOT / "examples/kubernetes/experiment.yaml").read_text()
        assert set(given) <= {
            "TAGLOOM_STORE", "TAGLOOM_TARGET", "TAGLOOM_TOKEN_FILE", "MINIO_ENDPOINT",
            "MINIO_ACCESS_KEY_FILE", "MINIO_SECRET_KEY_FILE"}  # fmt: skip

    def test_the_examples_differ_in_the_folder_alone(self) -> None:
        def lines(path: str) -> list[str]:
            text = (ROOT / path).read_text(encoding="utf-8")
            return [line for line in text.splitlines() if not line.startswith("#")]

        here, there = (
            lines("examples/quickstart.yaml"),
            lines("examples/kubernetes/experiment.yaml"),
        )
        assert [(a, b) for a, b in zip(here, there, strict=True) if a != b] == [
            ("collect: {folder: ../demo/photos}", "collect: {folder: /photos/quickstart}")
        ]
