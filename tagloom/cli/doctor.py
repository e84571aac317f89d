"""`tagloom doctor`: what is installed, reachable and missing, and what each lack means."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click

from tagloom.cli.session import Session, command_options
from tagloom.cores import usable_cores
from tagloom.errors import TagloomError

__all__ = ["doctor_command"]

State = Literal["ok", "missing", "broken"]

_MODULES = {
    "scraper": (["instaloader", "PIL"], "collections cannot be filled"),
    "filter": (["cv2", "dlib", "onnxruntime", "pyarrow", "PIL"], "photos cannot be judged"),
    "trainer": (["torch", "numba", "safetensors", "scipy"], "nothing can be trained"),
    "evaluator": (["torch", "torch_fidelity", "torchvision"], "nothing can be scored"),
    "generator": (["torch", "safetensors", "PIL"], "no images can be generated"),
    "pipelines": (["kfp", "jinja2", "PIL"], "`tagloom run` does not work"),
}
_FREE_BYTES = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    detail: str
    required: bool = True
    """whether an experiment cannot do without it"""


@click.command("doctor")
@command_options
def doctor_command(session: Session) -> None:
    """Tell what is installed, reachable and missing. Exits 1 if something needed is broken."""
    findings: list[Finding] = []
    looks: list[Callable[[], Iterator[Finding]]] = [
        _machine,
        _extras,
        _export,
        _checkpoints,
        _kernels,
        _features,
        lambda: _store(session),
        lambda: _target(session),
    ]
    for look in looks:
        findings += look()
    marks = {"ok": "ok     ", "missing": "missing", "broken": "BROKEN "}
    lines = [f"{marks[f.state]}  {f.what}: {f.detail}" for f in findings]
    session.answer([asdict(finding) for finding in findings], "\n".join(lines))
    if any(f.required and f.state != "ok" for f in findings):
        sys.exit(1)


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    good = sys.version_info[:2] >= (3, 11) and sys.version_info[:2] < (3, 14)
    yield Finding(
        "Python",
        "ok" if good else "broken",
        version if good else f"{version} is not supported; use 3.11, 3.12 or 3.13",
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield Finding("machine", "ok", f"{usable_cores()} CPU cores, {pages / 2**30:.0f} GiB memory")


def _extras() -> Iterator[Finding]:
    for extra, (modules, lack) in _MODULES.items():
        if absent := _absent(*modules):
            yield Finding(
                extra,
                "missing",
                f"{', '.join(absent)} not installed, so {lack}; pip install 'tagloom[{extra}]'",
            )
        else:
            yield Finding(extra, "ok", "installed")


def _absent(*modules: str) -> list[str]:
    return [name for name in modules if importlib.util.find_spec(name) is None]


def _export() -> Iterator[Finding]:
    if absent := _absent("onnx", "onnxscript"):
        yield Finding(
            "export",
            "missing",
            f"{', '.join(absent)} not installed, so networks are exported as safetensors, not as "
            "ONNX; pip install 'tagloom[export]'",
            required=False,
        )
    elif _absent("onnxruntime"):
        yield Finding(
            "export", "ok", "installed; to run what it writes in here: pip install onnxruntime"
        )
    else:
        yield Finding("export", "ok", "installed, with onnxruntime to run what it writes")


def _checkpoints() -> Iterator[Finding]:
    """Whether the process that reads checkpoints of strangers can be confined: it is tried."""
    if _absent("numpy"):
        return  # the extras' lines say it
    from tagloom.networks.checkpoints.reader import check_confinement

    try:
        check_confinement()
    except TagloomError as error:
        yield Finding("checkpoint reader", "missing", error.message, required=False)
    else:
        yield Finding(
            "checkpoint reader",
            "ok",
            "confined by a seccomp filter and limits of memory, CPU time and written bytes",
        )


def _kernels() -> Iterator[Finding]:
    """Which path StyleGAN3's filtered nonlinearity takes: most of the time is spent there."""
    if _absent("torch", "numba"):
        return  # the extras' lines say it
    import torch

    from tagloom.networks.ops.filtered_lrelu import filtered_lrelu_torch, kernel_for

    try:
        plain = kernel_for(torch.device("cpu")) is filtered_lrelu_torch
    except TagloomError as error:
        yield Finding("CPU kernels", "broken", error.message)
        return
    slow = "TAGLOOM_KERNELS=torch, so PyTorch's own operations, several times slower"
    if plain:
        yield Finding("CPU kernels", "missing", slow, required=False)
    else:
        yield Finding("CPU kernels", "ok", "numba, each compiled when first used, then kept")
    if not torch.cuda.is_available():
        yield Finding(
            "GPU",
            "missing",
            "none that PyTorch can use; everything runs on the CPU",
            required=False,
        )
        return
    name = torch.cuda.get_device_name()
    if plain:
        yield Finding("GPU", "missing", f"{name}, with {slow}", required=False)
    elif kernel_for(torch.device("cuda")) is not filtered_lrelu_torch:
        yield Finding("GPU", "ok", f"{name}, with Triton's kernels")
    else:
        lacks = list(_lacking_for_triton()) or ["see the warning above for what Triton says"]
        yield Finding(
            "GPU",
            "missing",
            f"{name}, without Triton's kernels, so PyTorch's own operations, several times slower: "
            f"{'; '.join(lacks)}",
            required=False,
        )


def _lacking_for_triton() -> Iterator[str]:
    """It compiles a launcher in C for each kernel."""
    if _absent("triton"):
        yield "pip install triton"
    if not any(map(shutil.which, filter(None, (os.environ.get("CC"), "gcc", "clang")))):
        yield "install a C compiler, such as gcc"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        yield "install Python's headers (on Debian: python3-dev)"


def _features() -> Iterator[Finding]:
    named = os.environ.get("TAGLOOM_INCEPTION_WEIGHTS", "")
    if not named:
        yield Finding(
            "Inception-v3 weights",
            "missing",
            "TAGLOOM_INCEPTION_WEIGHTS names no file; scores use EfficientNet-Lite0's features and "
            "are named after them, FID and KID are not available",
            required=False,
        )
    elif Path(named).expanduser().is_file():
        yield Finding("Inception-v3 weights", "ok", f"{named} (its SHA-256 is checked when used)")
    else:
        yield Finding("Inception-v3 weights", "broken", f"there is no file {named}")


def _store(session: Session) -> Iterator[Finding]:
    if session.target:
        return
    from tagloom.store import open_store

    try:
        store = open_store(session.store_url, create=False)
        store.list(limit=1)
    except TagloomError as error:
        absent = error.reason == "STORE_NOT_FOUND"
        detail = f"{session.store_url}: " + (
            "not there yet; the first command makes it" if absent else error.message
        )
        yield Finding("store", "missing" if absent else "broken", detail, required=not absent)
    else:
        yield Finding("store", "ok", store.url)
    if "://" not in session.store_url:
        folder = Path(session.store_url).absolute()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        enough = free >= _FREE_BYTES
        yield Finding(
            "disk",
            "ok" if enough else "broken",
            f"{free / 2**30:.1f} GiB free" + ("" if enough else "; an experiment wants 2 GiB"),
        )


def _target(session: Session) -> Iterator[Finding]:
    if not session.target:
        yield Finding("services", "ok", "started by each command (no --target)")
        return
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from tagloom.client import connect

    for service in ("scraper", "filter", "trainer", "evaluator", "generator"):
        name = f"tagloom.v1.{service.capitalize()}Service"
        try:
            with connect(session.target, timeout_s=5) as clients:
                health: Any = health_pb2_grpc.HealthStub(clients.channel(service))
                answer = health.Check(health_pb2.HealthCheckRequest(service=name))
        except TagloomError as error:
            yield Finding(f"{service} service", "broken", error.message)
            continue
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        yield Finding(f"{service} service", "ok" if serving else "broken", status.lower())
