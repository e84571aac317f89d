"""Wrong input through the whole stack: one sentence that says what to do, exit 1, nothing lost."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from .conftest import Answer, Tagloom, copy_photos


def refused(answer: Answer, reason: str, *says: str) -> None:
    """One sentence on stderr with the reason, no traceback, nothing on stdout."""
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err
    assert answer.out == ""
    sentence = answer.err.strip().splitlines()[-1]
    assert re.search(rf"\[{reason}\]$", sentence), sentence
    for text in says:
        assert text in sentence


def test_folders_without_photos(tagloom: Tagloom, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.jpg").write_text("not a photo")
    for folder in ("empty", "texts", "missing"):
        answer = tagloom("scrape", "--collection", "a", "--folder", folder)
        refused(answer, "[A-Z_]+", folder)
    listing = tagloom("ls", "collections", "--json")
    assert listing.document == []


def test_everything_rejected_says_by_which_checks(tagloom: Tagloom, tmp_path: Path) -> None:
    copy_photos(tmp_path / "photos", "camera.png", "page.png")
    assert tagloom("scrape", "--collection", "grey", "--folder", "photos").code == 0
    arguments = ["filter", "--collection", "grey", "--dataset", "d", "--resolution", "256"]
    refused(tagloom(*arguments), "[A-Z_]+", "grayscale")
    assert tagloom("ls", "datasets", "--json").document == []
    again = tagloom("scrape", "--collection", "grey", "--folder", "photos")
    refused(again, "RESOURCE_EXISTS", "collections/grey", "another id")


def test_a_port_in_use(tagloom: Tagloom) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = tagloom("up", "--address", address, "--metrics-address", "127.0.0.1:0")
        refused(answer, "ADDRESS_IN_USE", address)


def test_an_address_that_others_reach_wants_protection(tagloom: Tagloom) -> None:
    refused(tagloom("up", "--address", "0.0.0.0:0"), "ADDRESS_UNPROTECTED", "--insecure")


def test_unknown_names(tagloom: Tagloom) -> None:
    arguments = ["--seeds", "0", "--out", "pictures"]
    answer = tagloom("generate", "--network", "networks/photos-23", *arguments)
    refused(answer, "[A-Z_]+", "photos-23", "photos-32")
    refused(tagloom("verdicts", "cats"), "RESOURCE_NOT_FOUND", "datasets/cats")
    refused(tagloom("train", "--run", "r", "--dataset", "cats", "--kimg", "1"), "[A-Z_]+", "cats")
    refused(tagloom("evaluate", "cats"), "RESOURCE_NOT_FOUND", "runs/cats")
