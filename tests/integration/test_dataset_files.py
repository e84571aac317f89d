"""A dataset out to a zip and a folder, and in again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from PIL import Image

from .conftest import Place


def test_out_and_in_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for number, label in enumerate(("cat", "dog", "cat")):
        path = tmp_path / "in" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (80 * number, 9, 9)).save(path)
    labels = [["cat/0.png", 1], ["dog/1.png", 0], ["cat/2.png", 1]]
    document = {"labels": labels, "classes": ["dog", "cat"]}
    (tmp_path / "in" / "dataset.json").write_text(json.dumps(document))
    imported = place.tagloom("dataset", "import", "in", "--id", "d", "--json")
    assert imported.code == 0, imported.err
    assert [entry["name"] for entry in imported.document["classes"]] == ["dog", "cat"]
    with place.served("filter") as served:
        listed = served.tagloom("ls", "datasets")
        assert "3 squares of 3 photos (in)" in listed.out
        again = served.tagloom("dataset", "import", str(tmp_path / "in"), "--id", "d", "--json")
        assert again.document["content_sha256"] == imported.document["content_sha256"]
    out = place.tagloom("dataset", "export", "d", "--out", "d.zip")
    assert out.code == 0, out.err
    digest = hashlib.sha256((tmp_path / "d.zip").read_bytes()).hexdigest()
    assert digest == imported.document["content_sha256"]
    assert place.tagloom("dataset", "export", "datasets/d", "--out", "d.zip").code == 0
    assert place.tagloom("dataset", "export", "d", "--out", "folder").code == 0
    found = json.loads((tmp_path / "folder" / "dataset.json").read_text())
    assert [label for _, label in found["labels"]] == [1, 1, 0]  # in the order of the names
    assert len(list((tmp_path / "folder").rglob("*.png"))) == 3
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["00000", "dataset.json"]
    second = place.tagloom("dataset", "import", "folder", "--id", "e", "--json")
    assert second.document["content_sha256"] == digest
    for arguments, says in (
        (("dataset", "export", "d", "--out", "folder"), "not empty"),
        (("dataset", "export", "d", "--out", "x.zip", "--held-out"), "holds no images out"),
        (("dataset", "export", "none", "--out", "x.zip"), "no datasets/none"),
        (("dataset", "import", "none.zip", "--id", "x"), "none.zip"),
    ):
        answer = place.tagloom(*arguments)
        assert answer.code == 1
        assert says in answer.err
    (tmp_path / "d.zip").write_bytes(b"mine")
    assert "something else" in place.tagloom("dataset", "export", "d", "--out", "d.zip").err
    assert (tmp_path / "d.zip").read_bytes() == b"mine"
