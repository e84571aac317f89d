"""Builds every container image with buildah, into one multi-image archive (`make images`).

    python3 -m tools.image_build [--local-base | --base IMAGE] [--archive FILE] [NAME …]

All images lie in one OCI layout, `.cache/images/layout`, so the runtime's layer of 6 GB is there
once, however many images stand on it; `--archive` writes the layout as one tar, which
`ctr images import`, `docker load`, `podman load` and `skopeo` read. An image is built again when
what it is made of has changed. Needs root, buildah and skopeo; everything it keeps is
below ${TAGLOOM_CACHE:-.cache}/images.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from images.install import locked
from tools import debian_base
from tools.image_layout import Layout
from tools.minio_build import build as build_minio
from tools.minio_build import cache

__all__ = ["IMAGES", "Image", "Workshop", "version"]

ROOT = Path(__file__).resolve().parent.parent
_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "tagloom", "services", "pipelines")
_INDEX_VARIABLES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    *("UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_HTTP_TIMEOUT", "UV_INDEX", "UV_INDEX_URL"),
)


@dataclass(frozen=True, slots=True)
class Image:
    """One image and what it is made of."""

    name: str
    dockerfile: str
    base: str = ""
    """the image that it stands on; "": the base that users may choose; "scratch": none"""
    made_of: tuple[str, ...] = ()
    """files and folders, besides the Dockerfile, whose content it depends on"""
    packages: str = ""
    """what it installs, with the builder: a file in images/packages"""
    published: bool = True
    """whether it lies in the archive; the others are only built with"""

    @property
    def parents(self) -> tuple[str, ...]:
        """The images that must be there first."""
        base = (self.base,) if self.base not in ("", "scratch") else ()
        return (*base, "builder") if self.packages else base


def _installing(name: str, dockerfile: str, base: str, *, wheel: bool = True) -> Image:
    made_of = ("images/install.py", *(_WHEEL if wheel else ()))
    return Image(name, dockerfile, base, made_of, packages=name.removesuffix("-python"))


IMAGES = (
    Image("builder", "images/builder.Dockerfile", published=False,
          made_of=("images/builder.txt",)),
    Image("python", "images/python.Dockerfile", published=False),
    _installing("runtime", "images/runtime.Dockerfile", "python", wheel=False),
    _installing("scraper", "services/scraper/Dockerfile", "python"),
    _installing("pipelines-python", "pipelines/Dockerfile", "python"),
    *(
        _installing(name, f"services/{name}/Dockerfile", "runtime")
        for name in ("filter", "trainer", "evaluator", "generator")
    ),
    Image("training", "services/trainer/training.Dockerfile", "trainer"),
    Image("minio", "images/minio.Dockerfile", "scratch"),
)  # fmt: skip


def version() -> str:
    """Tagloom's version, which is every image's tag."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


class Workshop:
    """The folder that images are built in."""

    def __init__(self, base: str = "", *, local_base: bool = False) -> None:
        """base: instead of the one that the Dockerfiles name; local_base: made by debootstrap.

        Raises RuntimeError where images cannot be built.
        """
        if os.geteuid() != 0 or not (shutil.which("buildah") and shutil.which("skopeo")):
            raise RuntimeError(
                "Images are built as root with buildah and skopeo: apt-get install buildah skopeo. "
                "docs/images.md says how docker builds the same Dockerfiles."
            )
        self.folder = cache() / "images"
        self.layout = Layout(self.folder / "layout")
        self._base, self._local_base = base, local_base
        self._images = {image.name: image for image in IMAGES}
        self._keys: dict[str, str] = {}
        for name in ("storage", "run", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def build(self, names: list[str]) -> None:
        """Builds the named images and what they stand on, where they are not built already.

        Raises RuntimeError with the command that failed.
        """
        if unknown := set(names) - set(self._images):
            known = ", ".join(self._images)
            raise RuntimeError(f"There is no image {min(unknown)!r}; there are {known}.")
        published = [image.name for image in IMAGES if image.published]
        with contextlib.ExitStack() as stack:
            fcntl.flock(stack.enter_context((self.folder / "lock").open("w")), fcntl.LOCK_EX)
            for leftover in (self.folder / "tmp").iterdir():  # of a build that was killed: GBs
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            secrets = stack.enter_context(self.secrets())
            if self._local_base:
                self._base = self._make_local_base()
            for image in IMAGES:
                self._keys[image.name] = self._key(image)
            for name in names or published:
                reference = f"tagloom/{name}:{version()}"
                if name in published and self.layout.key(reference) == self._keys[name]:
                    continue
                self._store(name, secrets)
                if name in published:
                    self._publish(name, reference)
            self.layout.finish({f"tagloom/{name}:{version()}" for name in published})
            self._clear()

    def remove(self) -> None:
        """Removes everything that was built, 20 GB and more."""
        # buildah keeps its storage mounted onto itself.
        subprocess.run(
            ["umount", str(self.folder / "storage" / "overlay")], capture_output=True, check=False
        )
        shutil.rmtree(self.folder)

    def _clear(self) -> None:
        """Removes what older sources were built into; those on top first."""
        command = [*self._command(), "images", "--format", "{{.Name}}:{{.Tag}}"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        current = {self._tag(name) for name in self._images}
        for name in reversed(self._images):
            ours = f"localhost/tagloom/{name}:"
            for tag in {line for line in listed.split() if line.startswith(ours)} - current:
                self._run(*self._command(), "rmi", tag)

    def _store(self, name: str, secrets: list[str]) -> None:
        """Builds the image into buildah's storage, after what it stands on."""
        image = self._images[name]
        if self._exists(self._tag(name)):
            return
        for parent in image.parents:
            self._store(parent, secrets)
        begin = time.monotonic()
        context = str(build_minio().parent if name == "minio" else ROOT)
        # A base of this machine is no registry's: do not ask one.
        local = ["--pull=never"] if image.base or self._local_base else []
        volumes = [f"{uv_cache()}:/var/cache/uv-lent", *debian_base.apt_volumes()]
        self._buildah(
            "build",
            *("--isolation", "chroot", "--network", "host", "--layers=false", "--format", "oci"),
            *local,
            *(word for argument in self._arguments(image) for word in ("--build-arg", argument)),
            *(word for label in self._labels() for word in ("--label", label)),
            *(word for volume in volumes for word in ("--volume", volume)),
            *(word for secret in secrets for word in ("--secret", secret)),
            *("--file", str(ROOT / image.dockerfile), "--tag", self._tag(name), context),
        )
        print(f"{name}: built in {time.monotonic() - begin:.0f} s", flush=True)

    def _arguments(self, image: Image) -> Iterator[str]:
        if image.base in self._images:
            yield f"BASE={self._tag(image.base)}"
        elif not image.base and self._base:
            yield f"BASE={self._base}"
        if image.packages:
            yield f"BUILDER={self._tag('builder')}"

    def _publish(self, name: str, reference: str) -> None:
        begin = time.monotonic()
        # Uncompressed: only then does the copier see that a layer is in the layout already.
        storage, run = (self.folder / name for name in ("storage", "run"))
        source = f"containers-storage:[overlay@{storage}+{run}]{self._tag(name)}"
        self._run(
            *("skopeo", "copy", "--quiet", "--dest-oci-accept-uncompressed-layers"),
            *(source, f"oci:{self.layout.folder}:{reference}"),
        )
        self.layout.note(reference, self._keys[name])
        print(f"{name}: in the layout after {time.monotonic() - begin:.0f} s", flush=True)

    def _tag(self, name: str) -> str:
        """Its name in buildah's storage: one for each content."""
        return f"localhost/tagloom/{name}:{self._keys[name][:16]}"

    def _key(self, image: Image) -> str:
        """A hash of all that the image is made of; bases come before what stands on them."""
        digest = hashlib.sha256()
        parts = [image.base, self._keys.get(image.base, self._base)]
        if image.packages:
            names = (ROOT / "images" / "packages" / f"{image.packages}.txt").read_text("utf-8")
            lock = (ROOT / "requirements.txt").read_text("utf-8")
            parts += [self._keys["builder"], locked(names, lock)]
        if image.name == "minio":
            parts.append(hashlib.sha256(build_minio().read_bytes()).hexdigest())
        digest.update(json.dumps([*parts, version()]).encode())
        for made_of in (image.dockerfile, *image.made_of):
            for path in _files(ROOT / made_of):
                digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode & 0o111}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _labels(self) -> Iterator[str]:
        yield f"org.opencontainers.image.version={version()}"
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if commit.returncode == 0:
            yield f"org.opencontainers.image.revision={commit.stdout.strip()}"
        if self._base and not self._local_base:
            yield f"org.opencontainers.image.base.name={self._base}"

    def _make_local_base(self) -> str:
        tag = f"localhost/debian-python:{debian_base.suite()}"
        if not self._exists(tag):
            begin = time.monotonic()
            folder = self.folder / "tmp" / "debian"
            folder.mkdir(exist_ok=True)
            debian_base.make_root(folder)
            dockerfile = ROOT / "images" / "local-debian.Dockerfile"
            self._buildah(
                *("build", "--isolation", "chroot", "--layers=false", "--format", "oci"),
                *("--file", str(dockerfile), "--tag", tag, str(folder)),
            )
            shutil.rmtree(folder)
            print(f"{tag}: made in {time.monotonic() - begin:.0f} s", flush=True)
        return tag

    def _exists(self, tag: str) -> bool:
        look = ("inspect", "--type", "image", "--format", "{{.FromImage}}")
        command = [*self._command(), *look, tag]
        done = subprocess.run(command, capture_output=True, env=self._environment(), check=False)
        return done.returncode == 0

    def _buildah(self, *arguments: str) -> None:
        self._run(*self._command(), *arguments)

    def _run(self, *command: str) -> None:
        log = self.folder / "build.log"
        with log.open("ab") as output:
            done = subprocess.run(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                check=False,
            )
        if done.returncode:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{' '.join(command)} failed; the end of {log}:\n{last}")

    def _command(self) -> list[str]:
        storage, run = (str(self.folder / name) for name in ("storage", "run"))
        return ["buildah", "--root", storage, "--runroot", run, "--storage-driver", "overlay"]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.folder / "tmp")}

    @contextlib.contextmanager
    def secrets(self) -> Iterator[list[str]]:
        """This machine's settings of package indexes, as files that builds can read."""
        with tempfile.TemporaryDirectory(dir=self.folder / "tmp") as folder:
            settings, authority = Path(folder) / "settings", Path(folder) / "ca"
            lines = [
                f"export {name}='{os.environ[name]}'"
                for name in _INDEX_VARIABLES
                if os.environ.get(name)
            ]
            secrets = [f"id=index-settings,src={settings}"]
            bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
            if bundle and Path(bundle).is_file():
                shutil.copyfile(bundle, authority)
                inside = "/run/secrets/index-ca"
                lines += [f"export {name}={inside}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
                secrets.append(f"id=index-ca,src={authority}")
            settings.write_text("\n".join([f"# {self.canary()}", *lines, ""]), encoding="utf-8")
            settings.chmod(0o600)
            yield secrets

    def canary(self) -> str:
        """A word that stands in the settings of every build, so that a test can look for it."""
        path = self.folder / "canary"
        if not path.exists():
            path.write_text(f"index-settings-{os.urandom(16).hex()}", encoding="ascii")
        return path.read_text(encoding="ascii")


def uv_cache() -> Path:
    """uv's cache of wheels on this machine; made if there is none."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    found = uv and subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip()) if found else cache() / "images" / "uv"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and p.parent.name != "__pycache__")


def main() -> int:
    """0: all images are in the layout."""
    parser = argparse.ArgumentParser(description="Build Tagloom's container images with buildah.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, and their bases")
    base = parser.add_mutually_exclusive_group()
    base.add_argument("--base", default="", help="an image with Python, instead of the usual one")
    base.add_argument(
        "--local-base",
        action="store_true",
        help="make the base of this machine's Debian, where no registry of images can be reached",
    )
    parser.add_argument("--archive", type=Path, help="write the images as one tar to this file")
    parser.add_argument("--remove", action="store_true", help="remove what was built, and no more")
    given = parser.parse_args()
    published = {image.name for image in IMAGES if image.published}
    if given.archive and (inner := set(given.names) - published):
        parser.error(f"--archive holds {', '.join(sorted(published))}; not {min(inner)!r}")
    try:
        workshop = Workshop(given.base, local_base=given.local_base)
        if given.remove:
            workshop.remove()
            return 0
        workshop.build(given.names)
        for line in workshop.layout.sizes():
            print(line)
        if given.archive:
            with given.archive.open("wb") as output:
                references = {f"tagloom/{name}:{version()}" for name in given.names}
                workshop.layout.write_archive(output, references)
    except (RuntimeError, OSError) as error:
        print(f"\033[1;31m{error}\033[0m", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
