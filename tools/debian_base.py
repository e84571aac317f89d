"""A Debian with Python and nothing else, made by debootstrap from the machine's own mirror.

Continuous integration builds images on it where no registry of images can be reached; users get the
usual base that the Dockerfiles name. Needs root and Debian's `debootstrap`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PACKAGES", "apt_volumes", "make_root", "suite"]

PACKAGES = ("ca-certificates", "python3", "python3-venv")
_OF_THIS_MACHINE = (
    # debootstrap copies the first two, and writes where it found packages into the third.
    "etc/resolv.conf",
    "etc/hostname",
    "etc/apt/sources.list",
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/*.bin",
    "var/lib/apt/lists/*",
    "var/log/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "usr/share/info/*",
)


def suite() -> str:
    """The machine's release, for example bookworm.

    Raises RuntimeError where this is no Debian.
    """
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", text, re.MULTILINE)
    if not found or not shutil.which("debootstrap"):
        raise RuntimeError(
            "A local base is made by Debian's debootstrap: install it (apt-get install "
            "debootstrap), or name a base with --base."
        )
    return found[1]


def make_root(folder: Path) -> Path:
    """Writes `folder`/root.tar, and returns it: about 40 s, 200 MB.

    Raises RuntimeError when debootstrap fails.
    """
    root, archive = folder / "root", folder / "root.tar"
    shutil.rmtree(root, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    log = folder / "debootstrap.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [*command, suite(), str(root), *_mirror()],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise RuntimeError(f"debootstrap failed; the end of {log}:\n{last}")
    for pattern in _OF_THIS_MACHINE:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    command = ["tar", "--create", "--numeric-owner", "--one-file-system", "--file", str(archive)]
    subprocess.run([*command, "--directory", str(root), "."], check=True)
    shutil.rmtree(root)
    return archive


def _mirror() -> list[str]:
    """The first mirror that apt itself uses; without one debootstrap takes Debian's own."""
    return list(_mirrors())[:1]


def _mirrors() -> Iterator[str]:
    folder = Path("/etc/apt")
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        yield from re.findall(r"^URIs:\s*(\S+)", path.read_text(errors="replace"), re.MULTILINE)
    for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        if path.exists():
            text = path.read_text(errors="replace")
            yield from re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)", text, re.MULTILINE)


def apt_volumes() -> list[str]:
    """What a build mounts to install Debian packages as this machine does: `buildah --volume`."""
    return [f"{path}:{path}:ro" for path in ("/etc/apt",) if os.path.isdir(path)]
