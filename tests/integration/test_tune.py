"""Marks in a file to a profile, a page, and a dataset; overlays with their page."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from .conftest import Place, copy_photos

NAMES = ["chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "retina.jpg"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Five photos, each as it is and blurred; another crop of it, so that no one is a copy."""
    folder = tmp_path_factory.mktemp("tune")
    copy_photos(folder / "whole", *NAMES)
    photos = folder / "photos"
    photos.mkdir()
    for name in NAMES:
        image = Image.open(folder / "whole" / name).convert("RGB")
        stem = Path(name).stem
        image.crop((0, 0, 300, 300)).save(photos / f"{stem}.png")
        part = image.crop((image.width - 290, image.height - 290, image.width, image.height))
        part.filter(ImageFilter.GaussianBlur(3)).save(photos / f"{stem}-soft.png")
    place = Place(folder)
    assert place.tagloom("scrape", "--collection", "c", "--folder", "photos").code == 0
    return place


def write_marks(place: Place, **marks: str) -> None:
    with (place.folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "mark", "reason"])
        for path in sorted((place.folder / "photos").iterdir()):
            soft = path.stem.endswith("-soft")
            said = marks.get(path.stem, "reject" if soft else "keep")
            rows.writerow([path.name, said, "sharpness" if said == "reject" and soft else ""])


TUNE = ["tune", "--collection", "c", "--labels", "labels.csv"]


def test_marks_make_a_profile_that_filter_takes(place: Place) -> None:
    write_marks(place)
    with place.served("filter") as served:
        answer = served.tagloom(*TUNE, "--out", "mine.yaml", "--page", "page.html", "--json")
    assert answer.code == 0, answer.err
    proposal = answer.document
    assert (proposal["keep_count"], proposal["reject_count"]) == (5, 5)
    assert any("mark at least 20" in sentence for sentence in proposal["advice"])
    profile = (place.folder / "mine.yaml").read_text()
    assert "faces: off" in profile  # one of the kept photos shows a face
    assert re.search(r"^sharpness: 0\.\d", profile, re.MULTILINE)
    page = (place.folder / "page.html").read_text()
    assert "astronaut.png" in page
    assert page.count("data:image/jpeg") >= 1
    assert "http" not in page.replace("http-equiv", "")
    filtered = place.tagloom(
        *("filter", "--collection", "c", "--dataset", "d", "--resolution", "256"),
        *("--profile", "mine.yaml", "--json"),
    )
    assert filtered.code == 0, filtered.err
    assert filtered.document["kept_count"] == proposal["kept_after_count"] >= 5
    shown = place.tagloom("verdicts", "d", "--overlays", "over", "--order", "closeness")
    assert shown.code == 0, shown.err
    gallery = (place.folder / "over" / "index.html").read_text()
    files = re.findall(r'(?:src|href)="([^"]+\.jpg)"', gallery)
    assert len(files) == 3 * 10
    for file in files:
        with Image.open(place.folder / "over" / file) as picture:
            assert picture.format == "JPEG"
    few = place.tagloom("verdicts", "d", "--overlays", "few", "--first", "2")
    assert few.code == 0, few.err
    assert len(list((place.folder / "few").glob("*-sheet.jpg"))) == 2
    assert "The first 2 are here" in (place.folder / "few" / "index.html").read_text()
    order = [gallery.index(f">{name}<") for name in re.findall(r'class="name">([^<]+)<', gallery)]
    assert order == sorted(order)


def test_one_sided_marks_are_refused(place: Place) -> None:
    write_marks(place, **{f"{Path(name).stem}-soft": "keep" for name in NAMES})
    answer = place.tagloom(*TUNE, "--out", "no.yaml")
    assert answer.code == 1
    assert "All 10 marks of photos in collections/c say keep; mark some of its" in answer.err
    assert not (place.folder / "no.yaml").exists()
