"""Datasets from zips and folders of training images: labels kept, anything unfit refused."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.filter.datasets import get_dataset
from services.filter.forget import forget_images
from services.filter.importing import ImportRequest, import_dataset
from services.filter.overlay import View, render_verdict
from services.filter.verdicts import read_verdicts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.artifacts.forgotten import Tombstone
from tagloom.artifacts.labels import dataset_labels
from tagloom.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from tagloom.progress import silent

COUNT = 6


def picture(seed, side=16, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, len(mode)), np.uint8)
    return Image.fromarray(pixels if len(mode) > 1 else pixels[..., 0])


def png(image, **options):
    sink = io.BytesIO()
    image.save(sink, "PNG", **options)
    return sink.getvalue()


IMAGES = {f"00000/img{n:08}.png": png(picture(n)) for n in range(COUNT)}


@pytest.fixture(params=["zip", "folder"])
def archive(request, tmp_path):
    """`archive(files)`: their path, once as a zip and once as a folder."""

    def make(files, labels=None):
        if labels is not None:
            files = {**files, "dataset.json": json.dumps(labels).encode()}
        path = tmp_path / ("in.zip" if request.param == "zip" else "in")
        if request.param == "zip":
            with zipfile.ZipFile(path, "w") as zipped:
                for name, data in files.items():
                    zipped.writestr(name, data)
        else:
            for name, data in files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)
        return str(path)

    return make


def test_images_keep_their_pixels_and_their_order(store, archive):
    path = archive({**IMAGES, "notes.txt": b"not an image"})
    dataset = import_dataset(store, ImportRequest("d", path), silent)
    assert (dataset.train, dataset.held_out, dataset.resolution) == (COUNT, 0, 16)
    assert dataset.collection == ""
    assert dataset.origin == Path(path).name
    with zipfile.ZipFile(io.BytesIO(store.get(layout.dataset_images("d")))) as zipped:
        assert json.loads(zipped.read("dataset.json")) == {"labels": None}
        for number, name in enumerate(IMAGES):
            found = Image.open(io.BytesIO(zipped.read(name)))
            np.testing.assert_array_equal(np.asarray(found), np.asarray(picture(number)))
    verdicts, total = read_verdicts(store, "d")
    assert total == COUNT
    assert all(verdict.kept and verdict.squares for verdict in verdicts)
    for view in View:  # from the zip: the images lie nowhere else
        preview = render_verdict(store, "d", verdicts[0].sha256, 64, view)
        assert Image.open(io.BytesIO(preview)).format == "JPEG"


@pytest.mark.parametrize(
    ("labels", "classes", "rows"),
    [
        ({"labels": [[n, i % 3] for i, n in enumerate(IMAGES)]}, ["0", "1", "2"], None),
        (
            {"labels": [[n, i % 2] for i, n in enumerate(IMAGES)], "classes": ["cat", "dog"]},
            ["cat", "dog"],
            None,
        ),
        (
            {"labels": [[n, [i / 2, 1.5]] for i, n in enumerate(IMAGES)]},
            [],
            [[i / 2, 1.5] for i in range(COUNT)],
        ),
    ],
    ids=["numbers", "names", "vectors"],
)
def test_labels_are_kept(store, archive, labels, classes, rows):
    dataset = import_dataset(store, ImportRequest("d", archive(IMAGES, labels)), silent)
    assert [entry.name for entry in dataset.classes] == classes
    found = dataset_labels(store, dataset)
    expected = rows or [
        [float(label == place) for place in range(len(classes))] for _, label in labels["labels"]
    ]
    assert found.rows(np.arange(COUNT)).tolist() == expected


def test_what_was_exported_comes_back_byte_for_byte(store, archive, tmp_path):
    labels = {"labels": [[n, i % 2] for i, n in enumerate(IMAGES)], "classes": ["a", "b"]}
    first = import_dataset(store, ImportRequest("first", archive(IMAGES, labels)), silent)
    again = tmp_path / "again.zip"
    again.write_bytes(store.get(layout.dataset_images("first")))
    second = import_dataset(store, ImportRequest("second", str(again)), silent)
    assert second.content_sha256 == first.content_sha256


def test_some_may_be_held_out_and_keep_their_labels(store, archive):
    labels = {"labels": [[n, i % 2] for i, n in enumerate(IMAGES)]}
    path = archive(IMAGES, labels)
    dataset = import_dataset(store, ImportRequest("d", path, held_out_ratio=0.5), silent)
    assert (dataset.train, dataset.held_out) == (3, 3)
    assert sum(entry.train for entry in dataset.classes) == 3
    assert all(entry.train > 0 for entry in dataset.classes)
    held = [s for v in read_verdicts(store, "d")[0] for s in v.squares if s.held_out]
    with zipfile.ZipFile(io.BytesIO(store.get(layout.dataset_held_out("d")))) as zipped:
        assert {square.file for square in held} == {n for n in zipped.namelist() if "img" in n}


def test_what_is_forgotten_leaves_an_imported_dataset_too(store, archive):
    labels = {"labels": [[n, [i / 2, 1.5]] for i, n in enumerate(IMAGES)]}
    import_dataset(store, ImportRequest("d", archive(IMAGES, labels)), silent)
    gone = hashlib.sha256(IMAGES["00000/img00000002.png"]).hexdigest()
    assert forget_images(store, [gone]).changed == ("datasets/d",)
    dataset = get_dataset(store, "d")
    assert dataset.train == COUNT - 1
    found = dataset_labels(store, dataset)
    assert found.rows(np.arange(COUNT - 1))[:, 0].tolist() == [0, 0.5, 1.5, 2, 2.5]
    for verdict in read_verdicts(store, "d")[0]:
        assert verdict.sha256 != gone
        assert render_verdict(store, "d", verdict.sha256)


def test_what_was_forgotten_is_not_imported(store, archive):
    gone = hashlib.sha256(IMAGES["00000/img00000002.png"]).hexdigest()
    store.put(layout.forgotten_image(gone), Tombstone(time=now()).to_bytes())
    request = ImportRequest("d", archive(IMAGES))
    dataset = import_dataset(store, request, silent)
    assert dataset.train == COUNT - 1
    assert import_dataset(store, request, silent) == dataset
    assert gone not in {verdict.sha256 for verdict in read_verdicts(store, "d")[0]}


def test_copies_are_one_image_on_one_side(store, archive):
    files = {f"{n}.png": IMAGES[f"00000/img{n % 2:08}.png"] for n in range(6)}
    dataset = import_dataset(store, ImportRequest("d", archive(files), held_out_ratio=0.5), silent)
    assert (dataset.judged, dataset.train, dataset.held_out) == (2, 3, 3)
    verdicts, _ = read_verdicts(store, "d")
    assert [verdict.tiles for verdict in verdicts] == [3, 3]
    for verdict in verdicts:
        assert len({square.held_out for square in verdict.squares}) == 1
        assert render_verdict(store, "d", verdict.sha256)


def test_grey_images_and_other_formats_become_rgb(store, archive):
    sink = io.BytesIO()
    picture(2).save(sink, "WEBP", lossless=True)
    files = {"a.png": png(picture(1, mode="L")), "b.webp": sink.getvalue()}
    dataset = import_dataset(store, ImportRequest("d", archive(files)), silent)
    with zipfile.ZipFile(io.BytesIO(store.get(layout.dataset_images("d")))) as zipped:
        images = [Image.open(io.BytesIO(zipped.read(n))) for n in zipped.namelist()[:2]]
    assert dataset.train == 2
    assert {image.mode for image in images} == {"RGB"}
    np.testing.assert_array_equal(np.asarray(images[1]), np.asarray(picture(2)))


def test_twice_is_once_and_another_one_is_refused(store, archive):
    path = archive(IMAGES)
    first = import_dataset(store, ImportRequest("d", path), silent)
    assert import_dataset(store, ImportRequest("d", path), silent) == first
    with pytest.raises(AlreadyExists, match="other images"):
        import_dataset(store, ImportRequest("d", path, held_out_ratio=0.5), silent)


@pytest.mark.parametrize(
    ("files", "labels", "says"),
    [
        ({"notes.txt": b"x"}, None, "holds no image"),
        ({"a.png": png(picture(0)), "b.png": png(picture(1, 32))}, None, "32 x 32 .*not 16 x 16"),
        ({"a.png": png(picture(0).crop((0, 0, 16, 8)))}, None, "16 x 8 pixels, not square"),
        ({"a.png": png(picture(0, 12))}, None, "12 px is no power of two"),
        ({"a.png": png(picture(0))[:80]}, None, "damaged"),
        ({"a.png": b"text"}, None, "not a JPEG, PNG or WebP"),
        (IMAGES, {"labels": [["00000/img00000000.png", 0]]}, "img00000001.png has none"),
        (IMAGES, {"labels": [[n, -1] for n in IMAGES]}, "'-1' is no class"),
        (IMAGES, {"labels": [[n, "cat"] for n in IMAGES]}, "'cat' is no class"),
        (IMAGES, {"labels": [[n, [1, "x"]] for n in IMAGES]}, "something else than numbers"),
        (IMAGES, {"labels": "none"}, "not a list"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(store, archive, files, labels, says):
    with pytest.raises(FailedPrecondition, match=says):
        import_dataset(store, ImportRequest("d", archive(files, labels)), silent)
    assert not list(store.iterate("datasets/"))


def test_paths_that_cannot_be_read(store, tmp_path):
    request = ImportRequest("d", str(tmp_path / "none.zip"))
    with pytest.raises(NotFound):
        import_dataset(store, request, silent)
    (tmp_path / "not.zip").write_bytes(b"PK nonsense")
    with pytest.raises(InvalidArgument, match="not a zip"):
        import_dataset(store, replace(request, path=str(tmp_path / "not.zip")), silent)
    for path in ("relative.zip", ""):
        with pytest.raises(InvalidArgument):
            import_dataset(store, replace(request, path=path), silent)
    elsewhere = replace(request, path=str(tmp_path / "not.zip"), roots=(tmp_path / "other",))
    with pytest.raises(PermissionDenied, match="TAGLOOM_FOLDERS"):
        import_dataset(store, elsewhere, silent)


def test_a_bomb_in_a_zip_is_not_unpacked(store, tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("a.png", b"\0" * (200 * 2**20))
    with pytest.raises(FailedPrecondition, match="training image: the file is larger than"):
        import_dataset(store, ImportRequest("d", str(path)), silent)


def test_a_link_out_of_the_folder_is_not_followed(store, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(picture(0)))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(FailedPrecondition, match="leads out"):
        import_dataset(store, ImportRequest("d", str(tmp_path / "in")), silent)
