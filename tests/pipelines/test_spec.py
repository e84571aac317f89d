"""The experiment file: what it accepts, and one clear sentence for each thing that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.spec import Cell, load_experiment, parse_experiment
from pipelines.steps.ledger import to_yaml
from tagloom.errors import InvalidArgument

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("examples").glob("*.yaml"))

GOOD = """\
experiment: cats
collect: {folder: photos}
filter:
  resolution: 256
  output_size: 32
train:
  kimg: 8
"""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert load_experiment(path).train.cells()


def test_augmentation_can_act_within_the_quickstart() -> None:
    (path,) = [path for path in EXAMPLES if path.stem == "quickstart"]
    train = load_experiment(path).train
    assert train.augment == ("ada",)
    assert train.ada_kimg is not None
    assert train.kimg / train.ada_kimg >= 0.3  # how far p can come
    assert train.ema_kimg is not None
    assert train.ema_kimg <= 0.5
    # The target that its discriminator crosses; with the usual 0.6 p stayed at 0.
    assert train.ada_target is not None
    assert train.ada_target <= 0.3


def test_lists_span_a_grid_with_start_varying_slowest() -> None:
    text = (
        GOOD + "  start: [photos-32, scratch, runs/a/snapshots/000001.000]\n  augment: [ada, none]"
    )
    cells = parse_experiment(text, "x.yaml").train.cells()
    assert cells[:3] == [
        Cell(start="networks/photos-32", augment="ada"),
        Cell(start="networks/photos-32", augment="none"),
        Cell(start="", augment="ada"),
    ]
    assert len(cells) == 6
    assert cells[4].start == "runs/a/snapshots/000001.000"
    assert [cell.label for cell in cells[1:3]] == ["photos-32, none", "scratch, ada"]


@pytest.mark.parametrize("config", ["stylegan3-t", "stylegan3-r"])
def test_equivariance_of_stylegan3_can_be_asked_for(config: str) -> None:
    text = GOOD + f"  config: {config}\nevaluate: {{metrics: [kid, eqt_int, eqt_frac, eqr]}}\n"
    assert parse_experiment(text, "x.yaml").evaluate.metrics == (
        "kid",
        "eqt_int",
        "eqt_frac",
        "eqr",
    )


def test_a_relative_folder_is_taken_from_the_files_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.yaml"
    path.parent.mkdir()
    path.write_text(GOOD.replace("photos", "../photos"))
    assert load_experiment(path).collect.folder == str(tmp_path / "photos")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("resolution", "resolutoin", 4, "unknown key `resolutoin` in `filter`; did you mean `reso"),
        ("train:", "trian:", 6, "unknown key `trian`; did you mean `train`?"),
        ("kimg: 8", "kimg: 8\n  zzz: 1", 8, "unknown key `zzz` in `train`; known are config, "),
        ("kimg: 8", "kimg: 0", 7, "`train.kimg` cannot be 0: input should be greater than 0."),
        ("kimg: 8", "kimg: .nan", 7, "`train.kimg` cannot be nan"),
        ("kimg: 8", "kimg: 8\n  r1_gamma: .inf", 8, "`train.r1_gamma` cannot be inf: input should"),
        ("output_size: 32", "thresholds: {sharpness: .nan}", 5, "sharpness` cannot be nan: input"),
        ("kimg: 8", "kimg: 8\n\x07", 8, "the character U+0007 is not allowed in YAML"),
        ("kimg: 8", "kimg: lots", 7, "`train.kimg` cannot be 'lots'"),
        ("kimg: 8", "config: stylegan3-t", 6, "the key `train.kimg` is missing"),
        ("kimg: 8", "kimg: 8\n  augment: [ada, foo]", 8, "cannot be 'foo': input should be 'ada'"),
        ("kimg: 8", "kimg: 8\n  start: [a, a]", 6, "start names the same value twice"),
        ("kimg: 8", "kimg: 8\n  kimg: 9", 8, "the key `kimg` stands here again"),
        ("kimg: 8", "kimg: [8", 8, "this is not valid YAML"),
        ("kimg: 8", "kimg: 8\nevaluate: {metrics: [fid]}", 8, "metrics must hold kernel (or kid)"),
        (
            "kimg: 8",
            "config: stylegan2\n  kimg: 8\nevaluate: {metrics: [kernel, eqr]}",
            9,
            "`evaluate`: eqr needs a generator that can be told to move its images",
        ),
        (
            "kimg: 8",
            "kimg: 8\nevaluate: {metrics: [kernel, eqt]}",
            8,
            "cannot be 'eqt': input",
        ),
        ("kimg: 8", "kimg: 8\ncredits:\n- {filse: a}", 9, "did you mean `files`?"),
        ("cats", "Cats!", 1, "use 1 to 48 of a-z, 0-9 and '-'"),
        ("cats", "&a cats\ntitle: *a", 1, "a YAML alias is not understood here"),
        ("folder: photos", "folder: a, hashtag: b", 2, "exactly one of folder, zip, urls, s3"),
        ("folder: photos", "folder: a, posts: 3", 2, "a folder is taken whole"),
        ("output_size: 32", "output_size: 33", 3, "output_size must be a power of two"),
        ("output_size: 32", "resolution: 200", 5, "the key `resolution` stands here again"),
        ("  output_size: 32\n", "  tile_size: 64\n", 3, "tile_size needs crop: tiles"),
        ("output_size: 32", "thresholds: {faces: on}", 5, "`filter.thresholds.faces` cannot be"),
        (GOOD, "- a\n", 1, "an experiment file holds keys"),
    ],
)
def test_each_fault_names_line_key_and_remedy(old: str, new: str, line: int, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_experiment(GOOD.replace(old, new), "x.yaml")
    assert caught.value.reason == "SPEC_INVALID"
    assert caught.value.message.startswith(f"x.yaml, line {line}: ")
    assert says in caught.value.message
    assert caught.value.metadata["line"] == str(line)


@pytest.mark.parametrize("text", ["", "# nothing\n", "x" * (1 << 21)])
def test_empty_and_huge_files(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^x\.yaml is "):
        parse_experiment(text, "x.yaml")


def test_nested_aliases_do_not_unfold() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)
    )
    with pytest.raises(InvalidArgument, match="alias"):
        parse_experiment(bomb, "x.yaml")


@pytest.mark.parametrize("value", ["2026-13-01", "0b_", "9" * 5000])
def test_what_only_looks_like_a_date_or_number(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^x\.yaml is not valid YAML: .*; quote it\.$"):
        parse_experiment(GOOD + f"title: {value}\n", "x.yaml")


def test_nesting_without_end_is_a_sentence_too() -> None:
    for text in ("a: " + "[" * 5000, "a: " + "[" * 5000 + "]" * 5000, "- " * 5000):
        with pytest.raises(InvalidArgument, match=r"^x\.yaml nests .* has four levels\.$"):
            parse_experiment(text, "x.yaml")


def test_unreadable_files(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, says in [
        (tmp_path / "none.yaml", "There is no experiment file"),
        (tmp_path, "cannot be read: Is a directory"),
        (binary, "it is not UTF-8 text"),
    ]:
        with pytest.raises(InvalidArgument, match=says) as caught:
            load_experiment(path)
        assert caught.value.reason == "SPEC_NOT_READABLE"


def test_thresholds_take_bounds_and_off() -> None:
    text = GOOD.replace("output_size: 32", "output_size: 32\n  thresholds: {faces: off, text: 2}")
    assert parse_experiment(text, "x").filter.thresholds == {"faces": False, "text": 2.0}


def test_what_the_report_prints_runs_again() -> None:
    spec = parse_experiment(GOOD + "  start: [photos-32, scratch]\n", "x.yaml")
    assert parse_experiment(to_yaml(spec), "again.yaml") == spec


@given(st.text(max_size=200))
def test_any_text_gets_one_sentence(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:  # no text that hypothesis finds is a whole one
        parse_experiment(text, "x.yaml")
    assert caught.value.reason == "SPEC_INVALID"
