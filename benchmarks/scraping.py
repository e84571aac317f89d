"""How fast are the images of a list of addresses collected, beside img2dataset?

    python -m benchmarks.scraping --rival PYTHON [--images 2000] [--repeats 5]

A server on loopback (`--server`, a process of its own) gives out JPEGs made from the wheels' photos
to eight hosts, 127.0.0.1 to 127.0.0.8, on keep-alive connections. Both programs fetch the same list
with as many threads, in one process, on one CPU (the server has the other), in turns: Tagloom into
a fresh local store, hashes, robots.txt and durable writes (fsync) included; img2dataset into a
folder, images as they come (no resizing, no re-encoding; hashes too). Starting and importing are
left out for both: Tagloom's time is that of the call after the imports, img2dataset's the sum of
what its own `_stats.json` says of its shards, which its worker times after its imports.

PYTHON is the interpreter of an environment of its own, outside this one's, which img2dataset's pins
would break: `uv venv E && uv pip install --python E/bin/python img2dataset "setuptools<80"`.

Prints one JSON document: medians of images per second, and Tagloom's per second of CPU time.
Loopback is refused by default; the program names it in TAGLOOM_URLS_ALLOW.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

_HOSTS = 8
_PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
_OURS = """
import json, sys, time
from services.scraper.collect import CollectRequest, collect
from tagloom.artifacts.collection import UrlsSource
from tagloom.store import open_store
import services.scraper.web.collect
store = open_store(sys.argv[2])
start, cpu = time.perf_counter(), time.process_time()
made = collect(store, CollectRequest("x", UrlsSource(path=sys.argv[1])))
print(json.dumps({"images": made.stored + made.duplicates, "wall_s": time.perf_counter() - start,
                  "cpu_s": time.process_time() - cpu}))
"""
_THEIRS = """
import json, os, sys
from img2dataset import download
if __name__ == "__main__":
    download(url_list=sys.argv[1], output_folder=sys.argv[2], processes_count=1,
             thread_count=int(sys.argv[3]), resize_mode="no", disable_all_reencoding=True,
             output_format="files", extract_exif=False, retries=0)
    stats = [json.load(open(os.path.join(sys.argv[2], name)))
             for name in os.listdir(sys.argv[2]) if name.endswith("_stats.json")]
    print(json.dumps({"images": sum(s["successes"] for s in stats),
                      "wall_s": sum(s["end_time"] - s["start_time"] for s in stats)}))
"""


def main() -> None:
    """Runs both in turns and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("--rival", type=Path, help="Python of img2dataset's environment")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.server:
        asyncio.run(_serve(given.images))
        return
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    command = [sys.executable, "-m", "benchmarks.scraping", "--server", f"--images={given.images}"]
    server = subprocess.Popen(_on_cpu(1, command), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port, size = map(int, server.stdout.readline().split())
        with tempfile.TemporaryDirectory(prefix="tagloom-scraping-") as text:
            folder = Path(text)
            listed = folder / "urls.txt"
            hosts = [f"127.0.0.{n % _HOSTS + 1}" for n in range(given.images)]
            lines = [f"http://{host}:{port}/{n}.jpg" for n, host in enumerate(hosts)]
            listed.write_text("\n".join(lines) + "\n")
            for _ in range(given.repeats):
                ours.append(_ours(listed, folder / "store", given.threads))
                if given.rival is not None:
                    theirs.append(_theirs(given.rival, listed, folder / "rival", given.threads))
    finally:
        server.kill()
        server.wait()
    print(json.dumps(_report(given, size, ours, theirs), indent=2))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    pass


def _ours(listed: Path, store: Path, threads: int) -> dict[str, float]:
    environment = {
        **os.environ,
        "TAGLOOM_URLS_ALLOW": "127.0.0.0/8",
        "TAGLOOM_URLS_PARALLEL": str(threads),
        "TAGLOOM_URLS_PER_HOST": str(threads // _HOSTS),
    }
    command = [sys.executable, "-c", _OURS, str(listed), str(store)]
    return _run(command, store, environment)


def _theirs(python: Path, listed: Path, folder: Path, threads: int) -> dict[str, float]:
    program = listed.with_name("rival.py")
    program.write_text(_THEIRS)
    command = [str(python), str(program), str(listed), str(folder), str(threads)]
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    environment.pop("PYTHONPATH", None)
    return _run(command, folder, environment)


def _run(command: list[str], output: Path, environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        _on_cpu(0, command), env=environment, capture_output=True, text=True, check=True
    )
    shutil.rmtree(output)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _on_cpu(number: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(number), *command]


def _report(
    given: argparse.Namespace,
    size: int,
    ours: list[dict[str, float]],
    theirs: list[dict[str, float]],
) -> dict[str, Any]:
    def rates(runs: list[dict[str, float]]) -> dict[str, Any]:
        for run in runs:
            assert run["images"] == given.images, f"{run['images']} of {given.images} came"
        found: dict[str, Any] = {
            "images_per_s": round(statistics.median(r["images"] / r["wall_s"] for r in runs), 1)
        }
        if "cpu_s" in runs[0]:
            rate = statistics.median(r["images"] / r["cpu_s"] for r in runs)
            found["images_per_cpu_s"] = round(rate, 1)
        return {**found, "runs": runs}

    report: dict[str, Any] = {
        "question": "images of a list collected per second, one process, one CPU",
        "images": given.images,
        "mean_bytes": size // given.images,
        "threads": given.threads,
        "hosts": _HOSTS,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}",
        "tagloom": rates(ours),
    }
    if theirs:
        report["img2dataset"] = rates(theirs)
        ratio = report["tagloom"]["images_per_s"] / report["img2dataset"]["images_per_s"]
        report["ratio"] = round(ratio, 2)
    return report


async def _serve(number: int) -> None:
    images = [_jpeg(n) for n in range(number)]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                keep = b"connection: close" not in head.lower()
                body, status = b"", "404 Not Found"
                if path.endswith(".jpg"):
                    body, status = images[int(path[1:-4])], "200 OK"
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: image/jpeg\r\n"
                    f"Content-Length: {len(body)}\r\n"
                    f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
                if not keep:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "0.0.0.0", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], sum(map(len, images)), flush=True)
    await asyncio.Event().wait()


def _jpeg(number: int) -> bytes:
    """A crop of a photo, of its own place and quality: no two are alike."""
    from PIL import Image

    name = _PHOTOS[number % len(_PHOTOS)]
    with files("skimage").joinpath("data", name).open("rb") as file:
        image = Image.open(file).convert("RGB")
    chance = hashlib.sha256(str(number).encode()).digest()
    left, top = chance[0] % 40, chance[1] % 40
    cut = image.crop((left, top, image.width - chance[2] % 40, image.height - chance[3] % 40))
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=80 + chance[4] % 16)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
