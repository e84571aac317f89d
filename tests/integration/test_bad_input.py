"""Wrong input through the whole stack: one sentence that says what to do, exit 1, nothing lost."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Answer, Place, copy_photos


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("bad")).served("scraper", "filter", "generator") as served:
        yield served


def refused(answer: Answer, reason: str, *says: str) -> None:
    """One sentence on stderr with the reason, no traceback, nothing on stdout."""
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err
    assert answer.out == ""
    sentence = answer.err.strip().splitlines()[-1]
    assert re.search(rf"\[{reason}\]$", sentence), sentence
    for text in says:
        assert text in sentence


def test_folders_without_photos(place: Place) -> None:
    (place.folder / "empty").mkdir()
    (place.folder / "texts").mkdir()
    (place.folder / "texts" / "a.jpg").write_text("not a photo")
    for folder in ("empty", "texts", "missing"):
        answer = place.tagloom("scrape", "--collection", folder, "--folder", folder)
        refused(answer, "[A-Z_]+", folder)
        refused(place.tagloom("get", f"collections/{folder}"), "RESOURCE_NOT_FOUND", folder)


def test_everything_rejected_says_by_which_checks(place: Place) -> None:
    copy_photos(place.folder / "photos", "camera.png", "page.png")
    scrape = ["scrape", "--collection", "grey", "--folder", "photos"]
    assert place.tagloom(*scrape).code == 0
    arguments = ["filter", "--collection", "grey", "--dataset", "d", "--resolution", "256"]
    refused(place.tagloom(*arguments), "[A-Z_]+", "grayscale")
    assert place.tagloom("ls", "datasets", "--json").document == []
    refused(place.tagloom(*scrape), "RESOURCE_EXISTS", "collections/grey", "another id")


def test_unknown_names(place: Place) -> None:
    arguments = ["--seeds", "0", "--out", "pictures"]
    answer = place.tagloom("generate", "--network", "networks/photos-23", *arguments)
    refused(answer, "NETWORK_NOT_FOUND", "networks/photos-23", "photos-32")
    answer = place.tagloom("verdicts", "cats")
    refused(answer, "RESOURCE_NOT_FOUND", "datasets/cats", "`tagloom ls datasets`")
    snapshot = "runs/nope/snapshots/000001.000"
    answer = place.tagloom("generate", "--network", snapshot, *arguments)
    refused(answer, "RESOURCE_NOT_FOUND", snapshot, "`tagloom ls runs/nope/snapshots`")
    refused(place.tagloom("get", "operations/filter.nope"), "[A-Z_]+", "operations/filter.nope")


def test_a_service_that_is_not_there(place: Place) -> None:
    refused(place.tagloom("get", "runs/cats"), "UNIMPLEMENTED", place.target)
    doctor = place.tagloom("doctor")
    assert doctor.code == 1
    assert "ok       scraper service: serving" in doctor.out
    assert "BROKEN   trainer service" in doctor.out


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        up = ["up", "--service", "scraper", "--metrics-address", "127.0.0.1:0"]
        answer = Place(tmp_path).tagloom(*up, "--address", address)
        refused(answer, "ADDRESS_IN_USE", address)
        assert len(answer.err.splitlines()) == 1, "gRPC's own lines do not come before ours"
        told = Place(tmp_path).tagloom(*up, "--address", address, "--json")
        assert told.code == 1
        assert told.document["error"]["reason"] == "ADDRESS_IN_USE"


def test_an_address_that_others_reach_wants_protection(tmp_path: Path) -> None:
    up = ["up", "--service", "scraper", "--address", "0.0.0.0:0"]
    refused(Place(tmp_path).tagloom(*up), "ADDRESS_UNPROTECTED", "--insecure")
