"""What a trainer can be told about where its trainings run: TAGLOOM_LAUNCHER, TAGLOOM_JOB_…"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn, cast, get_args

from tagloom.errors import InvalidArgument

__all__ = ["EnvSource", "JobSettings", "LauncherKind", "Toleration", "launcher_kind"]

LauncherKind = Literal["process", "job", "trainjob"]

_PREFIX = "TAGLOOM_JOB_"
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL_KEY = re.compile(
    r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | {
    unit: 1024.0 ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"))
}
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PULL_POLICIES = ("IfNotPresent", "Always", "Never")


@dataclass(frozen=True, slots=True)
class EnvSource:
    """A ConfigMap or Secret whose keys become variables of the training container."""

    kind: Literal["configmap", "secret"]
    name: str


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint that training pods bear; an empty value means any, an empty effect means all."""

    key: str
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How the pods of a training look. Each field is read from `TAGLOOM_JOB_<FIELD>`."""

    image: str
    """of the training container"""
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    namespace: str = ""
    """empty: the server's own"""
    store: str = ""
    """URL of the store as the pods see it; empty: the server's"""
    gpus: int = 0
    """on each node; 0 trains on CPUs"""
    gpu_resource: str = "nvidia.com/gpu"
    processes: int = 1
    """ranks on each node"""
    nodes: int = 1
    cpu: str = "2"
    """requested, as Kubernetes writes quantities"""
    cpu_limit: str = "2"
    memory: str = "8Gi"
    """requested, and the limit"""
    scratch: str = "20Gi"
    """limit of the temporary files"""
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    runtime_class: str = ""
    priority_class: str = ""
    queue: str = ""
    """Kueue's LocalQueue; empty: none, the scheduler alone decides"""
    service_account: str = "training"
    env_from: tuple[EnvSource, ...] = (
        EnvSource("configmap", "tagloom-store"),
        EnvSource("secret", "tagloom-store"),
    )
    env: tuple[tuple[str, str], ...] = ()
    """more variables of the training container"""
    retries: int = 3
    """pods that may crash before a Job has failed; disruptions do not count"""
    ttl_s: int = 3600
    """until a Job that has ended is removed"""
    stop_grace_s: int = 180
    """from SIGTERM to SIGKILL"""
    start_grace_s: int = 30
    """how long a pod may lack its image or a secret before the run has failed"""
    at_once: int = 16
    """trainings that one server follows"""
    runtime: str = "tagloom"
    """the ClusterTrainingRuntime of TrainJobs"""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], kind: LauncherKind) -> JobSettings:
        """Raises InvalidArgument (SETTING_INVALID) naming the variable and what it should be."""
        read = _Reader(environment)
        gpus = read.number("GPUS", 0, 0, 64)
        nodes = read.number("NODES", 1, 1, 1024)
        cpu = read.quantity("CPU", "2")
        gpu_resource = read.pattern("GPU_RESOURCE", "nvidia.com/gpu", _LABEL_KEY, "a resource")
        settings = cls(
            image=read.image("IMAGE"),
            image_pull_policy=read.choice("IMAGE_PULL_POLICY", _PULL_POLICIES),
            image_pull_secrets=read.names("IMAGE_PULL_SECRETS"),
            namespace=read.pattern("NAMESPACE", "", _DNS_LABEL, "a namespace"),
            store=read.text("STORE"),
            gpus=gpus,
            gpu_resource=gpu_resource,
            processes=read.number("PROCESSES", max(gpus, 1), 1, 64),
            nodes=nodes,
            cpu=cpu,
            cpu_limit=read.quantity("CPU_LIMIT", cpu),
            memory=read.quantity("MEMORY", "8Gi"),
            scratch=read.quantity("SCRATCH", "20Gi"),
            node_selector=read.labels("NODE_SELECTOR"),
            tolerations=read.tolerations("TOLERATIONS", gpu_resource if gpus else ""),
            runtime_class=read.pattern("RUNTIME_CLASS", "", _DNS_NAME, "a RuntimeClass"),
            priority_class=read.pattern("PRIORITY_CLASS", "", _DNS_NAME, "a PriorityClass"),
            queue=read.pattern("QUEUE", "", _DNS_NAME, "the name of a LocalQueue"),
            service_account=read.pattern("SERVICE_ACCOUNT", "training", _DNS_NAME, "a name"),
            env_from=read.sources("ENV_FROM"),
            env=read.variables("ENV"),
            retries=read.number("RETRIES", 3, 0, 100),
            ttl_s=read.number("TTL_S", 3600, 60, 30 * 86400),
            stop_grace_s=read.number("STOP_GRACE_S", 180, 10, 3600),
            start_grace_s=read.number("START_GRACE_S", 30, 1, 3600),
            at_once=read.number("AT_ONCE", 16, 1, 256),
            runtime=read.pattern("RUNTIME", "tagloom", _DNS_NAME, "a ClusterTrainingRuntime"),
        )
        if amount(settings.cpu_limit) < amount(settings.cpu):
            read.refuse("CPU_LIMIT", settings.cpu_limit, f"at least TAGLOOM_JOB_CPU, {cpu}")
        if kind == "job" and nodes > 1:
            read.refuse("NODES", str(nodes), "1 with TAGLOOM_LAUNCHER=job; trainjob takes several")
        if kind == "trainjob":
            for name, value in (
                ("RUNTIME_CLASS", settings.runtime_class),
                ("PRIORITY_CLASS", settings.priority_class),
                ("ENV_FROM", read.text("ENV_FROM")),
            ):
                if value:
                    read.refuse(
                        name, value, "empty with TAGLOOM_LAUNCHER=trainjob: its runtime says that"
                    )
        return settings


def launcher_kind(environment: Mapping[str, str]) -> LauncherKind:
    """TAGLOOM_LAUNCHER; `process` without it. Raises InvalidArgument (SETTING_INVALID)."""
    kind = environment.get("TAGLOOM_LAUNCHER", "") or "process"
    if kind not in get_args(LauncherKind):
        raise InvalidArgument(
            f"TAGLOOM_LAUNCHER is {kind!r}, but should be process, job or trainjob.",
            reason="SETTING_INVALID",
            setting="TAGLOOM_LAUNCHER",
        )
    return cast(LauncherKind, kind)


def amount(quantity: str) -> float:
    """The number that a quantity such as 500m or 8Gi stands for."""
    digits = quantity.rstrip("mkMGTi")
    return float(digits) * _FACTORS[quantity[len(digits) :]]


class _Reader:
    """Takes one variable after the other out of an environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str:
        return self._environment.get(_PREFIX + name, "").strip()

    def refuse(self, name: str, value: str, wanted: str) -> NoReturn:
        raise InvalidArgument(
            f"{_PREFIX}{name} is {value!r}, but should be {wanted}.",
            reason="SETTING_INVALID",
            setting=_PREFIX + name,
        )

    def image(self, name: str) -> str:
        value = self.text(name)
        if not value or re.search(r"\s", value):
            self.refuse(name, value, "the training image, for example tagloom/training:0.1.0")
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name) or str(default)
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            self.refuse(name, value, f"a whole number from {least} to {most}")
        return int(value)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name) or choices[0]
        if value not in choices:
            self.refuse(name, value, f"one of {', '.join(choices)}")
        return value

    def pattern(self, name: str, default: str, pattern: re.Pattern[str], wanted: str) -> str:
        value = self.text(name) or default
        if value and not pattern.fullmatch(value):
            self.refuse(name, value, f"{wanted} as Kubernetes writes it")
        return value

    def quantity(self, name: str, default: str) -> str:
        value = self.text(name) or default
        if not _QUANTITY.fullmatch(value) or amount(value) <= 0:
            self.refuse(name, value, "a quantity as Kubernetes writes it, for example 500m or 8Gi")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        values = self._parts(name)
        for value in values:
            if not _DNS_NAME.fullmatch(value):
                self.refuse(name, self.text(name), "names, with commas between them")
        return values

    def labels(self, name: str) -> tuple[tuple[str, str], ...]:
        found = []
        for part in self._parts(name):
            key, equals, value = part.partition("=")
            if not (equals and _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
                self.refuse(name, self.text(name), "labels as key=value, with commas between them")
            found.append((key, value))
        return tuple(found)

    def tolerations(self, name: str, default_key: str) -> tuple[Toleration, ...]:
        """`key`, `key=value`, `key:effect` or `key=value:effect`."""
        if _PREFIX + name not in self._environment and default_key:
            return (Toleration(default_key),)
        found = []
        for part in self._parts(name):
            rest, colon, effect = part.partition(":")
            key, _, value = rest.partition("=")
            if (
                not _LABEL_KEY.fullmatch(key)
                or not _LABEL_VALUE.fullmatch(value)
                or (colon and effect not in _EFFECTS)
            ):
                wanted = "taints as key[=value][:effect], with commas between them"
                self.refuse(name, self.text(name), wanted)
            found.append(Toleration(key, value, effect))
        return tuple(found)

    def sources(self, name: str) -> tuple[EnvSource, ...]:
        if _PREFIX + name not in self._environment:
            return JobSettings(image="x").env_from
        found = []
        for part in self._parts(name):
            kind, _, source = part.partition("/")
            if kind not in ("configmap", "secret") or not _DNS_NAME.fullmatch(source):
                wanted = "configmap/NAME and secret/NAME, with commas between them"
                self.refuse(name, self.text(name), wanted)
            found.append(EnvSource(cast(Literal["configmap", "secret"], kind), source))
        return tuple(found)

    def variables(self, name: str) -> tuple[tuple[str, str], ...]:
        found = []
        for part in self._parts(name):
            key, equals, value = part.partition("=")
            if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
                self.refuse(name, self.text(name), "NAME=VALUE, with commas between them")
            if key.startswith("PET_"):
                self.refuse(name, self.text(name), "without PET_…: the launcher sets those")
            found.append((key, value))
        return tuple(found)

    def _parts(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())
