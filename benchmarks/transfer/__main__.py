"""Does transfer help, and augmentation? The seed study's two findings, in miniature.

    python -m benchmarks.transfer [--photos FOLDER] [--work build/transfer] [--minutes 100]
                                  [--processes 2]
    python -m benchmarks.transfer --table

Trains StyleGAN2 at 32 px on squares of flower photos, from a network that knows animals and fruit
and from scratch, with ADA, with fixed augmentation and without any, three seeds each; then a pair
of StyleGAN3-T. Scores each snapshot against other flowers. A finished cell is a file of
`benchmarks/transfer/results`, and skipped the next time; a call ends after --minutes and the next
one goes on at the same step. The table and the curves are made from the files.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.transfer.cells import CELLS, KIMG, SOURCE_KIMG, SOURCE_RUN, finished
from benchmarks.transfer.photos import INSTALLED, PhotoSet, photo_sets, write_squares
from benchmarks.transfer.table import write_table
from services.filter.build import build_dataset
from services.filter.request import BuildRequest
from services.scraper.collect import CollectRequest, collect
from services.trainer import records
from tagloom.artifacts import layout
from tagloom.artifacts.collection import FolderSource
from tagloom.artifacts.dataset import Crop, Dataset
from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.errors import NotFound, TagloomError
from tagloom.progress import silent
from tagloom.store import Store, open_store

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """0: all cells are finished; 3: time is up, call again; 1: something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path, default=INSTALLED)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "transfer")
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="only write the table again")
    given = parser.parse_args()
    if given.table:
        write_table(finished())
        return 0
    try:
        store = prepare(given.photos, given.work)
    except TagloomError as error:
        print(error.message, file=sys.stderr)
        return 1
    code = Work(store, given.processes).until(time.monotonic() + 60 * given.minutes)
    write_table(finished())
    print(f"{len(finished())} of {len(CELLS)} cells are finished.")
    return code


def prepare(photos: Path, work: Path) -> Store:
    """The two datasets, each made once: `source`, and `target` with other flowers held out."""
    store = open_store(str(work / "store"))
    parts = {}
    for photo_set in photo_sets(photos):
        parts[photo_set.name] = _dataset(store, photo_set, work / photo_set.name)
    try:
        Dataset.load(store, layout.dataset_manifest("target"), "datasets/target")
    except NotFound:
        train, held_out = parts["target"], parts["held-out"]
        for key, part in (
            (layout.dataset_images("target"), train),
            (layout.dataset_held_out("target"), held_out),
        ):
            store.put(key, store.get(layout.dataset_images(part.id)))
        train.model_copy(
            update={
                "id": "target",
                "held_out": held_out.train,
                "held_out_sha256": held_out.content_sha256,
            }
        ).create(store, layout.dataset_manifest("target"), "datasets/target")
    return store


def _dataset(store: Store, photos: PhotoSet, folder: Path) -> Dataset:
    """All of its squares; the filter reduces them to 32 px and rejects nothing."""
    name = SOURCE_RUN if photos.name == "source" else f"{photos.name}-part"
    write_squares(photos, folder)
    collect(store, CollectRequest(name, FolderSource(path=str(folder.resolve()))), silent)
    request = BuildRequest(name, name, 32, Crop(mode="center", output_size=32))
    return build_dataset(store, request, silent).dataset


class Work:
    """Processes that take runs from a list, and the bar that shows how far they are."""

    def __init__(self, store: Store, processes: int) -> None:
        self.store, self.processes = store, processes
        self.waiting = [cell.name for cell in CELLS if not cell.file.exists()]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.failed: list[str] = []
        self.kimg = {name: float(KIMG) for name in self.waiting}
        if not self._source_is_done():
            self.waiting.insert(0, SOURCE_RUN)
            self.kimg[SOURCE_RUN] = SOURCE_KIMG

    def until(self, end: float) -> int:
        """Works until all is done or the time is up; the exit code."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.1f} of {task.total:g} kimg"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns) as bars:
            bar = bars.add_task("transfer", total=sum(self.kimg.values()))
            while (self.waiting or self.running) and time.monotonic() < end:
                self._start()
                time.sleep(2)
                self._collect()
                done = sum(self._kimg(name) for name in self.kimg)
                bars.update(bar, completed=done, description=", ".join(self.running))
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait()
        if self.failed:
            print(f"Failed: {', '.join(self.failed)}", file=sys.stderr)
            return 1
        return 3 if self.waiting or self.running else 0

    def _source_is_done(self) -> bool:
        try:
            return records.read_run(self.store, SOURCE_RUN).state == "succeeded"
        except NotFound:
            return False

    def _start(self) -> None:
        """StyleGAN2 cells that start from the source wait for it; the others need not."""
        ready = [
            name
            for name in self.waiting
            if not name.startswith("stylegan2-source") or self._source_is_done()
        ]
        for name in ready[: self.processes - len(self.running)]:
            self.waiting.remove(name)
            environment = {**COMPUTE_ENVIRONMENT, **os.environ, "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-m", "benchmarks.transfer.work", self.store.url, name]
            self.running[name] = subprocess.Popen(command, env=environment, cwd=ROOT)

    def _collect(self) -> None:
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[name]
                if process.returncode != 0:
                    self.failed.append(name)

    def _kimg(self, name: str) -> float:
        progress = records.read_progress(self.store, name)
        return progress.images_seen / 1000 if progress else 0.0


if __name__ == "__main__":
    sys.exit(main())
