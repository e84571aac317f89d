"""From a collection to a dataset, with real photos and damaged files, killed and resumed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import filter_pieces
import numpy as np
import psutil
import pytest
from PIL import Image

from services.filter import build
from services.filter.build import build_dataset
from services.filter.datasets import delete_dataset, get_dataset, list_datasets
from services.filter.overlay import render_verdict
from services.filter.processes import Died, Processes
from services.filter.profile import profile
from services.filter.request import BuildRequest
from services.filter.verdicts import find_verdict, read_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.collection import Item
from tagloom.artifacts.dataset import Crop, Threshold
from tagloom.errors import (
    AlreadyExists,
    Cancelled,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from tagloom.progress import silent
from tagloom.store import open_store

REQUEST = replace(filter_pieces.REQUEST, dataset="squares")


@pytest.fixture(scope="module")
def built(tmp_path_factory, add_collection, small_photos):
    """A store with the collection `photos` and the dataset `squares`; read only."""
    store = open_store(str(tmp_path_factory.mktemp("built")))
    add_collection(store, "photos", small_photos)
    phases: list[str] = []
    made = build_dataset(store, REQUEST, lambda phase, *_: phases.append(phase))
    assert list(dict.fromkeys(phases)) == ["score", "judge", "cut", "write"]
    return store, made


@pytest.fixture
def copied(built, tmp_path):
    """A store of one's own with the collection and the scores, without the dataset."""
    shutil.copytree(Path(built[0].url.removeprefix("file://")), tmp_path / "copy")
    store = open_store(str(tmp_path / "copy"))
    delete_dataset(store, "squares")
    return store


def test_every_image_has_a_verdict_with_reasons(built):
    store, made = built
    verdicts, total = read_verdicts(store, "squares")
    assert total == len(verdicts) == made.dataset.judged == 6  # of seven files, two are the same
    reasons = {verdict.source: verdict.failed_checks for verdict in verdicts}
    assert reasons == {
        "flower.png": (),
        "camera.png": ("grayscale",),
        "coffee.png": (),
        "tiny.png": ("resolution",),
        "text renamed.jpg": ("format",),
        "cut off.jpg": ("format",),
    }
    assert list(reasons) == [verdict.source for verdict in verdicts]
    renamed = next(verdict for verdict in verdicts if verdict.source == "text renamed.jpg")
    assert "not a JPEG, PNG or WebP" in renamed.results[0].detail
    assert made.rejected == {"grayscale": 1, "resolution": 1, "format": 2}
    assert (made.dataset.kept, made.dataset.rejected) == (2, 4)
    assert made.scanned == 6
    assert {"decode", "text", "faces", "sharpness"} <= set(made.seconds)


def test_the_zips_hold_disjoint_squares_of_the_survivors(built, small_photos):
    store, made = built
    dataset = made.dataset
    train = store.get(layout.dataset_images("squares"))
    aside = store.get(layout.dataset_held_out("squares"))
    assert hashlib.sha256(train).hexdigest() == dataset.content_sha256
    assert hashlib.sha256(aside).hexdigest() == dataset.held_out_sha256
    wanted = set()
    for source in ("flower.png", "coffee.png"):
        image = Image.open(io.BytesIO(small_photos[source]))
        across, down = image.width // 128, image.height // 128
        x, y = (image.width - across * 128) // 2, (image.height - down * 128) // 2
        for row in range(down):
            for column in range(across):
                left, top = x + 128 * column, y + 128 * row
                tile = image.crop((left, top, left + 128, top + 128))
                wanted.add(tile.resize((32, 32), Image.Resampling.LANCZOS).tobytes())
    found = []
    for data, count in ((train, dataset.train), (aside, dataset.held_out)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith(".png")]
            assert len(names) == count
            found += [Image.open(io.BytesIO(archive.read(name))).tobytes() for name in names]
    assert len(found) == len(set(found)) == dataset.train + dataset.held_out
    assert set(found) == wanted
    assert dataset.held_out == round(0.25 * len(wanted))


def test_asking_again_is_free_and_asking_otherwise_is_refused(built):
    store, made = built
    again = build_dataset(store, REQUEST, silent)
    assert again.dataset == made.dataset
    assert not again.made
    for other, what in (
        (replace(REQUEST, seed=8), "the seed; choose another id"),
        (
            replace(REQUEST, held_out_ratio=0.2, resolution=64),
            "the resolution and the share held out;",
        ),
        (replace(REQUEST, thresholds=(Threshold(check="text", value=0.5),)), "the thresholds;"),
    ):
        with pytest.raises(AlreadyExists, match=f"differs in {what}"):
            build_dataset(store, other, silent)


def test_other_thresholds_look_at_no_image(copied):
    """The rejected images are gone from the store: whoever looked at them would fail."""
    for verdict in ("camera.png", "tiny.png", "cut off.jpg", "text renamed.jpg"):
        copied.delete(layout.image(sha_of(copied, verdict)))
    strict = (Threshold(check="text", value=0.0), Threshold(check="grayscale", value=100.0))
    made = build_dataset(copied, replace(REQUEST, dataset="strict", thresholds=strict), silent)
    assert made.scanned == 0
    assert made.dataset.judged == 6


def test_a_new_image_is_the_only_one_looked_at(copied, add_collection, small_photos, encode, photo):
    china = encode(photo("china").fit(300))
    add_collection(copied, "more", {**small_photos, "china.png": china})
    made = build_dataset(copied, replace(REQUEST, dataset="more", collection="more"), silent)
    assert made.scanned == 1
    assert made.dataset.kept == 3


def sha_of(store, source):
    for line in store.get(layout.collection_items("photos")).splitlines():
        item = Item.model_validate_json(line)
        if item.source == source:
            return item.sha256
    raise KeyError(source)


@pytest.mark.parametrize("phase", ["score", "cut"])
def test_killed_and_run_again_gives_the_same_bytes(phase, copied, tmp_path, built):
    if phase == "score":
        for info in list(copied.iterate("scores/")):
            copied.delete(info.key)
    pids = tmp_path / "pids"
    command = [sys.executable, filter_pieces.__file__, str(tmp_path / "copy"), phase, str(pids)]
    root = str(Path(build.__file__).parents[2])
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": root}, timeout=60)
    assert killed.returncode == -9
    with pytest.raises(NotFound):
        get_dataset(copied, "killed")
    made = build_dataset(copied, filter_pieces.REQUEST, silent)
    assert made.dataset.content_sha256 == built[1].dataset.content_sha256
    assert made.dataset.held_out_sha256 == built[1].dataset.held_out_sha256
    deadline = time.monotonic() + 10
    left = {int(pid) for pid in pids.read_text().split()}
    while any(psutil.pid_exists(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in left if psutil.pid_exists(pid)], "worker processes were left over"


def test_a_cancelled_build_keeps_its_scores(copied):
    for info in list(copied.iterate("scores/")):
        copied.delete(info.key)

    def report(phase, done, total, message=""):
        if phase == "score" and done == 2:
            raise Cancelled("The work was asked to stop.", reason="CANCELLED")

    with pytest.raises(Cancelled):
        build_dataset(copied, REQUEST, report)
    assert build_dataset(copied, REQUEST, silent).scanned == 4


def test_a_file_that_kills_its_decoder_is_a_verdict(copied, monkeypatch):
    """The process dies as it would in a decoder's crash; the others go on."""
    for info in list(copied.iterate("scores/")):
        copied.delete(info.key)
    deadly = sha_of(copied, "camera.png")
    real = Processes.spread

    def spread(self, function, pieces):
        for piece, outcome in real(self, function, pieces):
            yield piece, (Died(piece) if piece.sha256 == deadly else outcome)

    monkeypatch.setattr(Processes, "spread", spread)
    build_dataset(copied, REQUEST, silent)
    verdict = find_verdict(copied, "squares", deadly)
    assert verdict.failed_checks == ("format",)
    assert "ended the process" in verdict.results[0].detail
    monkeypatch.undo()
    # Not remembered: next time it gets another chance.
    assert build_dataset(copied, replace(REQUEST, dataset="next"), silent).scanned == 1


def test_when_nothing_can_be_decoded_no_check_is_to_blame(store, add_collection, photo_bytes):
    """`format` cannot be switched off, so that is no advice; what is wrong with the files is."""
    whole = photo_bytes("chelsea")
    bomb = bytearray(whole)
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2  # of the header, whose checksum follows
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    files = {f"cut{n}.png": whole[: len(whole) // 2 + n] for n in range(3)} | {
        "bomb.png": bytes(bomb)
    }
    add_collection(store, "photos", files)
    with pytest.raises(FailedPrecondition) as caught:
        build_dataset(store, REQUEST, silent)
    assert caught.value.reason == "NO_IMAGES_LEFT"
    assert caught.value.metadata["failed_format"] == "4"
    message = caught.value.message
    assert message.startswith("None of the 4 images can be decoded (cut0.png and 2 more: ")
    assert "bomb.png: The image has 900 million pixels; at most 50 million" in message
    assert message.endswith("whole JPEG, PNG, WEBP files of at most 50 million pixels.")
    assert "switch off" not in message


def test_nothing_left_says_why(copied):
    strict = (Threshold(check="sharpness", value=1.0),)
    with pytest.raises(FailedPrecondition) as caught:
        build_dataset(copied, replace(REQUEST, thresholds=strict), silent)
    assert caught.value.reason == "NO_IMAGES_LEFT"
    message = caught.value.message
    assert "2 failed format" in message
    assert "or loosen or switch off resolution, sharpness and grayscale; what cannot" in message
    assert "text renamed.jpg: The file is not a JPEG, PNG or WebP image" in message
    assert "cut off.jpg: The image data are damaged: " in message
    assert caught.value.metadata["failed_sharpness"] == "4"
    with pytest.raises(NotFound):
        get_dataset(copied, "squares")


def test_an_empty_or_missing_collection(store, add_collection):
    with pytest.raises(NotFound, match="collections/photos"):
        build_dataset(store, REQUEST, silent)
    add_collection(store, "photos", {})
    with pytest.raises(FailedPrecondition, match="collect some photos"):
        build_dataset(store, REQUEST, silent)


def test_a_lost_or_changed_image_is_said_so(store, add_collection, small_photos):
    add_collection(store, "photos", {"flower.png": small_photos["flower.png"]})
    key = layout.image(hashlib.sha256(small_photos["flower.png"]).hexdigest())
    store.put(key, small_photos["coffee.png"])
    with pytest.raises(DataLoss, match="have changed"):
        build_dataset(store, REQUEST, silent)
    store.delete(key)
    with pytest.raises(DataLoss, match="no longer stored"):
        build_dataset(store, REQUEST, silent)


def test_a_full_disk_loses_nothing(copied, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("services.filter.packing.DatasetZip.add", full)
    with pytest.raises(ResourceExhausted, match="TMPDIR"):
        build_dataset(copied, REQUEST, silent)
    monkeypatch.undo()
    assert build_dataset(copied, REQUEST, silent).scanned == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dataset": "Cats!"}, "dataset_id"),
        ({"collection": ""}, "collection"),
        ({"resolution": 0}, "resolution"),
        ({"resolution": 100_000}, "resolution"),
        ({"crop": Crop(output_size=48)}, "crop.output_size"),
        ({"crop": Crop(), "resolution": 100}, "crop.output_size"),
        ({"crop": Crop(mode="tiles", tile_size=16, output_size=32)}, "crop.tile_size"),
        ({"crop": Crop(tile_size=64)}, "crop.tile_size"),
        ({"held_out_ratio": 0.6}, "held_out_ratio"),
        ({"held_out_ratio": float("nan")}, "held_out_ratio"),
    ],
)
def test_mistakes_in_the_request_are_named(change, field):
    with pytest.raises(InvalidArgument) as caught:
        replace(REQUEST, **change).checked()
    assert caught.value.metadata["field"] == field


def test_defaults_are_filled_in_once():
    request = BuildRequest("d", "c", 256).checked()
    assert request.crop == Crop(mode="center", tile_size=0, output_size=256)
    assert request.thresholds == profile((), "default")
    assert request.checked() == request


def test_verdicts_come_in_pages(built):
    store, _ = built
    everything, total = read_verdicts(store, "squares")
    for size in (1, 4, 6, 100):
        paged = []
        while len(paged) < total:
            page, _ = read_verdicts(store, "squares", start=len(paged), limit=size)
            assert 0 < len(page) <= size
            paged += page
        assert paged == everything
    assert read_verdicts(store, "squares", start=99) == ([], total)
    with pytest.raises(NotFound, match="no verdict"):
        find_verdict(store, "squares", "0" * 64)
    with pytest.raises(NotFound, match="datasets/none"):
        read_verdicts(store, "none")


def test_a_damaged_table_is_said_so(copied):
    build_dataset(copied, REQUEST, silent)
    copied.put(layout.dataset_verdicts("squares"), b"nonsense")
    for read in (
        lambda: read_verdicts(copied, "squares"),
        lambda: render_verdict(copied, "squares", "0" * 64),
    ):
        with pytest.raises(DataLoss, match="make it again"):
            read()


@pytest.mark.parametrize("side", [0, 64, 200, 1024])
def test_previews_of_every_kind_of_verdict(built, side):
    store, _ = built
    for verdict in read_verdicts(store, "squares")[0]:
        preview = Image.open(io.BytesIO(render_verdict(store, "squares", verdict.sha256, side)))
        assert preview.format == "JPEG"
        assert max(preview.size) <= (side or 320)
        bar = np.asarray(preview)[-2, -2].astype(int)
        assert (bar[1] > bar[0]) == verdict.kept  # green below what stays, red below what goes


def test_previews_draw_the_boxes(store, add_collection, photo_bytes):
    add_collection(store, "photos", {n: photo_bytes(n) for n in ("astronaut", "coffee")})
    loose = tuple(Threshold(check=name, enabled=False, value=0) for name in ("text", "sharpness"))
    build_dataset(store, replace(REQUEST, thresholds=loose), silent)
    sha256 = hashlib.sha256(photo_bytes("astronaut")).hexdigest()
    (result,) = [r for r in find_verdict(store, "squares", sha256).results if r.check == "faces"]
    face = max(result.boxes, key=lambda box: box.score)
    preview = Image.open(io.BytesIO(render_verdict(store, "squares", sha256, 1024)))
    scale = preview.width / 512
    x = int(face.left * scale) + 1
    column = np.asarray(preview)[int(face.top * scale) + 30 : int(face.bottom * scale) - 4, x]
    assert (column.mean(axis=0) - (255, 59, 212) < 60).all()
    assert column.mean(axis=0)[0] > 200 > column.mean(axis=0)[1] + 60


@pytest.mark.parametrize("side", [-1, 5, 1025])
def test_previews_have_a_size(built, side):
    with pytest.raises(InvalidArgument, match="32 to 1024"):
        render_verdict(built[0], "squares", "0" * 64, side)


def test_datasets_are_listed_by_id_and_removed(store):
    with pytest.raises(NotFound):
        delete_dataset(store, "a")
    ids = ["a", "a-b", "a0", "b", "ab"]
    for dataset_id in ids:
        _manifest(store, dataset_id)
    store.put(layout.dataset_images("half-written"), b"")
    found, token = [], ""
    while True:
        page, token = list_datasets(store, 2, token)
        found += [dataset.id for dataset in page]
        if not token:
            break
    assert found == sorted(ids)
    delete_dataset(store, "a")
    assert not list(store.iterate("datasets/a/"))
    assert [dataset.id for dataset in list_datasets(store, 10, "")[0]] == sorted(ids)[1:]
    with pytest.raises(InvalidArgument, match="page token"):
        list_datasets(store, 2, "../etc")


def _manifest(store, dataset_id):
    from tagloom.artifacts.base import now
    from tagloom.artifacts.dataset import Dataset

    store.put(layout.dataset_images(dataset_id), b"")
    Dataset(
        id=dataset_id,
        create_time=now(),
        collection="collections/c",
        collection_sha256="",
        resolution=32,
        crop=Crop(),
        resize_filter="",
        thresholds=(),
        check_versions={},
        judged=0,
        kept=0,
        rejected=0,
        train=0,
        held_out=0,
        held_out_ratio=0,
        seed=0,
        content_sha256="",
        held_out_sha256="",
    ).create(store, layout.dataset_manifest(dataset_id), f"datasets/{dataset_id}")
