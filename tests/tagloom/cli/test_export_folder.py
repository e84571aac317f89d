"""An export into a folder that is there: again into its own, never over somebody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.scraper.collect import CollectRequest, collect, refresh, refresh_request
from services.scraper.forget import Target, forget
from tagloom.artifacts.collection import FolderSource
from tagloom.cli.app import main
from tagloom.cli.export_folder import ExportFolder
from tagloom.store import open_store

FRESH = CollectRequest("", FolderSource(path=""))


def photo(number: int) -> bytes:
    return b"\xff\xd8\xff" + bytes([number]) * 50


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """With the folders `photos` and `store`, which has the collections `a` and `b` of them."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(photo(number))
    store = open_store(str(tmp_path / "store"))
    for name in ("a", "b"):
        collect(store, CollectRequest(name, FolderSource(path=str(tmp_path / "photos"))))
    return tmp_path


def export(place: Path, out: Path, *more: str, name: str = "a") -> Result:
    command = ["collection", "export", name, "--out", str(out), "--store", str(place / "store")]
    return CliRunner().invoke(main, [*command, *more], env={"TAGLOOM_TARGET": None})


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 1, result.output
    line = result.output.splitlines()[-1]  # after the progress
    assert "FILE_EXISTS" in line
    for part in parts:
        assert part in line


def test_again_into_its_own_folder(place: Path) -> None:
    out = place / "out"
    assert export(place, out).exit_code == 0
    first = files(out)
    assert len(first) == 5
    lines = [json.loads(line) for line in first["items.jsonl"].splitlines()]
    assert {line["file"] for line in lines} == {n for n in first if n.endswith(".jpg")}
    assert export(place, out).exit_code == 0
    assert files(out) == first

    (out / "notes of mine.txt").write_text("keep")
    (out / lines[0]["file"]).unlink()
    (place / "photos" / "3.jpg").write_bytes(photo(3))
    store = open_store(str(place / "store"))
    refresh(store, refresh_request(store, "collections/a", FRESH))
    assert export(place, out).exit_code == 0
    now = files(out)
    assert len(now) == 7
    assert first.items() - {("items.jsonl", first["items.jsonl"])} - now.items() == {
        (".tagloom-export.json", first[".tagloom-export.json"])
    }
    assert now["notes of mine.txt"] == b"keep"

    # What was taken down is not silently kept.
    forget(store, Target(image=lines[1]["sha256"]))
    result = export(place, out, "--json")
    assert json.loads(result.stdout)["left"] == [lines[1]["file"]]
    assert (out / lines[1]["file"]).is_file()


def test_a_folder_of_somebody_elses(place: Path) -> None:
    out = place / "mine"
    out.mkdir()
    assert export(place, out).exit_code == 0  # empty
    for name, content in (("items.jsonl", "my list"), ("cat.jpg", "my cat")):
        other = place / f"with {name}"
        other.mkdir()
        (other / name).write_text(content)
        refused(export(place, other), "is no earlier export of collections/a", "another folder")
        assert files(other) == {name: content.encode()}
    refused(export(place, out, name="b"), "is no earlier export of collections/b")
    refused(export(place, place / "photos" / "0.jpg"), "is no earlier export")
    assert (place / "photos" / "0.jpg").read_bytes() == photo(0)
    (out / ".tagloom-export.json").write_text("[]")
    refused(export(place, out), "is no earlier export")


def test_what_was_changed_in_it_stays(place: Path) -> None:
    out = place / "out"
    export(place, out)
    list_before = (out / "items.jsonl").read_text()
    (out / "items.jsonl").write_text(list_before + '{"file": "my own.jpg"}\n')
    before = files(out)
    refused(export(place, out), "items.jsonl was changed after it was exported")
    assert files(out) == before
    (out / "items.jsonl").write_text(list_before)
    name = json.loads(list_before.splitlines()[0])["file"]
    (out / name).write_bytes(b"cropped by me")
    refused(export(place, out), f"{name} was changed after it was exported")
    assert (out / name).read_bytes() == b"cropped by me"
    (out / name).unlink()
    assert export(place, out).exit_code == 0


@pytest.mark.parametrize("writes", range(6))
def test_killed_at_any_write_it_is_taken_up(
    place: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    from tagloom.cli import export_folder

    real, done = export_folder.write_new, 0

    def write(path: Path, data: bytes, *, overwrite: bool = False) -> None:
        nonlocal done
        if done == writes:
            raise KeyboardInterrupt
        done += 1
        real(path, data, overwrite=overwrite)

    out = place / "out"
    assert export(place, out, "--layout", "date").exit_code == 0  # an earlier one lies there
    with monkeypatch.context() as patched:
        patched.setattr(export_folder, "write_new", write)
        assert export(place, out).exit_code == 130
    result = export(place, out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["photos"] == 3
    ExportFolder(out, "collections/a")  # known as ours
