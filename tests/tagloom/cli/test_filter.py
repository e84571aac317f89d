"""Options of `filter`, `tune` and `verdicts` that cannot be meant: refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tagloom.cli.app import main

FILTER = ("filter", "--collection", "c", "--dataset", "d", "--resolution")
TUNE = ("tune", "--collection", "c", "--labels", "labels.csv")


@pytest.fixture(autouse=True)
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("image,mark\na.jpg,keep\nb.jpg,reject\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*FILTER, "0"), "0 is not in the range"),
        ((*FILTER, "-1"), "-1 is not in the range"),
        ((*FILTER, "7"), "7 is not in the range"),
        ((*FILTER, "1000000000"), "1000000000 is not in the range"),
        ((*FILTER, "big"), "'big' is not a valid integer"),
        ((*FILTER, "64", "--crop", "middle"), "'middle' is not one of 'center', 'subject'"),
        ((*FILTER, "64", "--tile-size", "64"), "--tile-size needs --crop tiles"),
        ((*FILTER, "64", "--overlap", "0.5"), "--overlap needs --crop tiles"),
        ((*FILTER, "64", "--crop", "tiles", "--overlap", "0.9"), "0.9 is not in the range"),
        ((*FILTER, "64", "--held-out", "0.6"), "0.6 is not in the range"),
        ((*FILTER, "64", "--seed", "-1"), "-1 is not in the range"),
        ((*FILTER, "64", "--classes", "a,b"), "--classes needs --labels"),
        ((*FILTER, "64", "--labels", "hashtag", "--classes", ","), "--classes names none"),
        ((*TUNE, "--precision", "0"), "0.0 is not in the range"),
        ((*TUNE, "--precision", "95"), "95.0 is not in the range"),
        ((*TUNE, "--out", ""), "it is empty; write a path"),
        ((*TUNE, "--out", "a", "--page", "./a"), "name the same file"),
        ((*TUNE[:3], "--labels", ""), "it is empty; write a path"),
        (("verdicts", "d", "--overlays", ""), "it is empty; write a path"),
        (("verdicts", "d", "--overlays", "labels.csv"), "'labels.csv' is a file"),
        (("verdicts", "d", "--first", "2"), "--first needs --overlays"),
        (("verdicts", "d", "--overlays", "new", "--first", "0"), "0 is not in the range"),
        (("verdicts", "d", "--order", "worst"), "'worst' is not one of"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        (*FILTER, "64", "--seed", "9" * 20),
        (*TUNE, "--seed", "9" * 20),
        ("train", "--run", "r", "--dataset", "d", "--kimg", "1", "--batch", "99999999999"),
        ("evaluate", "r", "--metrics", "fid", "--samples", "9" * 30),
    ],
    ids=["filter", "tune", "train", "evaluate"],
)
def test_numbers_that_no_field_holds(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, arguments, env={"TAGLOOM_TARGET": None})
    assert result.exit_code == 1
    assert result.output.startswith("The number 99999"), result.output
    assert result.output.endswith("[NUMBER_OUT_OF_RANGE]\n")


def test_a_log_level_that_is_none(tmp_path: Path) -> None:
    environment = {"TAGLOOM_LOG_LEVEL": "loud", "TAGLOOM_TARGET": None}
    result = CliRunner().invoke(main, ["--store", "store", "ls", "datasets"], env=environment)
    assert result.exit_code == 1
    assert "LOUD" in result.output
    assert result.output.strip().endswith("]"), result.output
