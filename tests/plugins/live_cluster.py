"""A real Kubernetes cluster on this machine: `tests/cluster/machine`, as Python uses it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tools.image_layout import Layout
from tools.minio_build import cache

__all__ = [
    "Cluster",
    "Node",
    "build_images",
    "build_programs",
    "free_ports",
    "lacking",
    "load_images",
    "running",
]

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ROOT / "tests" / "cluster" / "machine"

Node = Literal["none", "kwok", "kubelet"]
"""no node; simulated nodes, on which every pod is ready at once; this machine as a node"""


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs."""

    folder: Path
    programs: Path
    node: Node

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""
        return self.folder / "kubeconfig"

    def command(self, *command: str) -> list[str]:
        """The command line that runs `command` where the cluster's addresses and names work."""
        return [str(MACHINE / "in"), *command] if self.node == "kubelet" else list(command)

    @property
    def environment(self) -> dict[str, str]:
        """What such a command needs."""
        return {
            **os.environ,
            "CLUSTER_DIR": str(self.folder),
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
        }

    def run(
        self,
        *command: str,
        stdin: str = "",
        check: bool = True,
        timeout: float = 300,
        cwd: Path = ROOT,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end where the cluster can be reached; its output is kept."""
        done = subprocess.run(
            self.command(*command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=cwd,
            env={**self.environment, **environment},
        )
        if check and done.returncode:
            words, said = " ".join(command), f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            raise AssertionError(f"{words} ended with {done.returncode}:\n{said}")
        return done

    def kubectl(
        self, *arguments: str, stdin: str = "", check: bool = True, timeout: float = 300
    ) -> str:
        """What `kubectl` prints. With `check`, an AssertionError shows what it complained of."""
        command = ["kubectl", *arguments]
        return self.run(*command, stdin=stdin, check=check, timeout=timeout).stdout

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json` as Python objects."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *documents: dict[str, Any]) -> str:
        """Applies objects given as Python has them."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def wait(self, what: str, condition: Callable[[], object], *, seconds: float = 60) -> Any:
        """Until `condition()` is true, returned then; AssertionError says what did not happen."""
        end = time.monotonic() + seconds
        while True:
            if answer := condition():
                return answer
            if time.monotonic() > end:
                raise AssertionError(f"after {seconds:g} s: not {what}")
            time.sleep(0.25)


def lacking(node: Node) -> str:
    """Why this machine cannot have such a cluster, with what to do; empty if it can."""
    if not shutil.which("go") and not _prebuilt():
        return "Kubernetes is built from source: install Go 1.24 or later"
    if node != "kubelet":
        return ""
    if os.geteuid() != 0:
        return "a kubelet needs root: run it as root"
    wanted = ("containerd", "runc", "iptables", "conntrack", "unshare")
    missing = [name for name in wanted if not shutil.which(name)]
    missing += [name for name in ("buildah", "skopeo", "debootstrap") if not shutil.which(name)]
    if not Path("/usr/lib/cni/bridge").exists():
        missing.append("containernetworking-plugins")
    return f"a kubelet needs {', '.join(missing)}: apt-get install them" if missing else ""


def build_programs() -> Path:
    """The folder of the cluster's programs, built once (8 to 14 minutes on two cores).

    TAGLOOM_CLUSTER_BIN names a folder where they are ready.
    """
    if ready := _prebuilt():
        return ready
    folder = cache() / "cluster" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CLUSTER_BIN": str(folder)}
    subprocess.run([str(MACHINE / "build")], env=environment, check=True, stdout=sys.stderr)
    return folder


def build_images() -> Layout:
    """Tagloom's images, built where they are not up to date (tools/image_build.py)."""
    command = [sys.executable, "-m", "tools.image_build", "--local-base"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
    return Layout(cache() / "images" / "layout")


def load_images(programs: Path, layout: Layout) -> Path:
    """The images as containerd keeps them, unpacked once; returns the IMAGE_STORE."""
    store = cache() / "cluster" / "images"
    loaded = store.with_name("images-loaded.json")
    names = {image.reference: image.digest for image in layout.images()}
    if loaded.exists() and json.loads(loaded.read_text()) == names:
        return store
    # What containerd gets as links need not go through its import.
    large = {
        digest
        for image in layout.images()
        for digest in image.layers
        if layout.blob(digest).stat().st_size > 64 * 1024
    }
    with tempfile.TemporaryDirectory() as folder:
        pause = Path(folder) / "pause.tar"
        pause.write_bytes(_pause_archive(programs / "pause"))
        with subprocess.Popen(
            [str(MACHINE / "load"), str(pause), "-"],
            stdin=subprocess.PIPE,
            stdout=sys.stderr,
            env={**os.environ, "IMAGE_STORE": str(store), "LAYOUT": str(layout.folder)},
        ) as process:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                layout.write_archive(pipe, without=large)
    if process.returncode:
        raise RuntimeError(f"the images cannot be loaded (exit code {process.returncode})")
    loaded.write_text(json.dumps(names))
    return store


@contextlib.contextmanager
def running(
    node: Node, programs: Path, *, image_store: Path | None = None, gpus: int = 0
) -> Iterator[Cluster]:
    """A new cluster, ready; gone with all that is in it at the end."""
    # A short path: the kubelet keeps sockets in it.
    folder = Path(tempfile.mkdtemp(prefix="tgl-", dir="/tmp"))
    cluster = Cluster(folder, programs, node)
    environment = {
        **os.environ,
        "CLUSTER_BIN": str(programs),
        "CLUSTER_DIR": str(folder),
        "CLUSTER_PORT": str(free_ports(4)),
        "GPUS": str(gpus),
        "NODE": node,
    }
    if image_store is not None:
        environment["IMAGE_STORE"] = str(image_store)
    try:
        done = subprocess.run(
            [str(MACHINE / "up")], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the cluster did not start:\n{done.stderr[-4000:]}")
        yield cluster
    finally:
        if logs := os.environ.get("TAGLOOM_CLUSTER_LOGS"):
            shutil.copytree(folder / "log", Path(logs) / folder.name, dirs_exist_ok=True)
        subprocess.run([str(MACHINE / "down")], env=environment, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int, first: int = 16443) -> int:
    """The first of so many neighbouring ports, from `first` on, that nobody uses now.

    Below those that the system gives away by itself: between this answer and its use, one of them
    would be somebody's connection now and then.
    """
    for port in range(first, 30000, 100):
        with contextlib.ExitStack() as stack:
            try:
                for each in range(port, port + count):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", each))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports")


def _prebuilt() -> Path | None:
    named = os.environ.get("TAGLOOM_CLUSTER_BIN")
    return Path(named) if named else None


def _pause_archive(program: Path) -> bytes:
    """The image of a pod's first process, localhost/pause:1, as `docker save` would write it."""
    layer, archive = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, "pause", program.read_bytes(), 0o755)
    from hashlib import sha256

    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "65535:65535", "Entrypoint": ["/pause"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{sha256(layer.getvalue()).hexdigest()}"],
        },
    }
    manifest = [
        {"Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"]}
    ]
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "config.json", json.dumps(config).encode())
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return archive.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))
