#!/usr/bin/env python3
"""Inside a build: installs what images/packages/NAME.txt names, as the lock has it, and the wheel.

    install.py NAME [FOLDER OF TAGLOOM'S WHEEL]

Where packages come from is told by the secret `index-settings` (lines `export NAME=VALUE`), and
uv's cache is mounted: neither enters a layer. Only what is new is compiled to bytecode, so that an
image holds nothing twice; checked against no source, since the files of a layer never change.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shlex
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

TOOLS = Path("/build")
ENVIRONMENT = Path("/opt/tagloom")
SETTINGS = Path("/run/secrets/index-settings")
CACHE = Path("/var/cache/uv")
"""mounted for uv by every build, and kept between builds"""
LENT_CACHE = Path("/var/cache/uv-lent")
"""the machine's own cache of uv, where tools/image_build.py mounts it"""


def main(name: str, wheels: Path | None) -> None:
    """Ends with uv's exit code if it fails."""
    cache = LENT_CACHE if LENT_CACHE.is_dir() else CACHE
    environment = {**os.environ, **settings(), "UV_CACHE_DIR": str(cache)}
    environment |= {"UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1"}
    uv, python = str(TOOLS / "tools/bin/uv"), str(ENVIRONMENT / "bin/python")
    install = [uv, "pip", "install", "--no-config", "--python", python, "--no-deps"]
    names = (TOOLS / "packages" / f"{name}.txt").read_text(encoding="utf-8")
    lock = (TOOLS / "requirements.txt").read_text(encoding="utf-8")
    requirements = Path("/tmp/requirements.txt")
    requirements.write_text(locked(names, lock), encoding="utf-8")
    # A few packages come as sources only: what builds them is pinned by hash as well.
    hashed = ["--require-hashes", "--build-constraints", str(TOOLS / "builder.txt")]
    steps = [[*install, *hashed, "-r", str(requirements)]]
    if wheels is not None:
        steps.append([*install, *map(str, wheels.glob("*.whl"))])
    steps.append([uv, "pip", "check", "--python", python])
    for step in steps:
        done = subprocess.run(step, env=environment, check=False)
        if done.returncode:
            sys.exit(done.returncode)
    requirements.unlink()
    compile_new(next((ENVIRONMENT / "lib").glob("python3.*")) / "site-packages")


def locked(names: str, lock: str) -> str:
    """The part of a hashed requirements file that `names`, one a line, asks for.

    Raises ValueError for a name that the lock does not have.
    """
    entries: dict[str, str] = {}
    # A package may have several versions there, for different Pythons.
    for found in re.finditer(r"^([\w.-]+)==.*(?:\n[ ].*)*\n", lock, re.MULTILINE):
        entries[found[1]] = entries.get(found[1], "") + found[0]
    wanted = [line for line in names.split("\n") if line and not line.startswith("#")]
    if missing := set(wanted) - set(entries):
        raise ValueError(f"requirements.txt has no {min(missing)}; run make lock.")
    return "".join(entries[name] for name in wanted)


def settings() -> dict[str, str]:
    """The variables of the secret, empty without one."""
    if not SETTINGS.is_file():
        return {}
    words = shlex.split(SETTINGS.read_text(encoding="utf-8"), comments=True)
    return dict(word.split("=", 1) for word in words if "=" in word)


def compile_new(folder: Path) -> None:
    """Compiles the modules that are not compiled yet; some packages carry files that cannot be."""
    ending = f".{sys.implementation.cache_tag}.pyc"
    compiled = {p.parent.parent / p.name.removesuffix(ending) for p in folder.rglob("*.pyc")}
    new = [path for path in folder.rglob("*.py") if path.with_suffix("") not in compiled]
    with ProcessPoolExecutor() as pool:
        list(pool.map(compile_one, new, chunksize=64))


def compile_one(path: Path) -> None:
    """One module to unchecked bytecode."""
    warnings.simplefilter("ignore")  # about other people's code
    compileall.compile_file(
        path, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
