"""Messages as JSON, tables and facts."""

from __future__ import annotations

import time

import pytest

from pipelines.steps.events import Failed, Finished
from tagloom.cli.bars import Bars, remaining, show_event
from tagloom.cli.output import count, facts, plain, printable, table
from tagloom.v1 import filter_pb2, operation_pb2, scraper_pb2, trainer_pb2


def test_a_message_as_json_keeps_numbers_and_shortens_enums() -> None:
    item = scraper_pb2.Item(state=scraper_pb2.Item.STATE_REFUSED, size_bytes=1 << 40, tags=["a"])
    item.time.FromJsonString("2026-11-22T10:00:00Z")
    document = plain(item)
    assert document["state"] == "refused"
    assert document["size_bytes"] == 1 << 40
    assert document["tags"] == ["a"]
    assert document["time"] == "2026-11-22T10:00:00Z"
    assert document["owner"] == ""


def test_unset_optional_fields_and_oneof_members_are_left_out() -> None:
    options = plain(trainer_pb2.TrainingOptions(g_learning_rate=0.0, augment="AUGMENT_ADA"))
    assert options["g_learning_rate"] == 0.0
    assert "d_learning_rate" not in options
    assert options["augment"] == "ada"
    collection = plain(scraper_pb2.Collection(folder=scraper_pb2.FolderSource(path="/p")))
    assert collection["folder"] == {"path": "/p"}
    assert "hashtag" not in collection


def test_nested_messages_and_durations() -> None:
    metadata = operation_pb2.OperationMetadata()
    metadata.eta.FromMilliseconds(1500)
    assert plain(metadata)["eta"] == 1.5
    verdict = filter_pb2.Verdict(results=[filter_pb2.CheckResult(check="text")])
    assert plain(verdict)["results"][0]["check"] == "text"


def test_tables_align() -> None:
    assert table(("name", "n"), [("a", "10"), ("long", "9")], right=(1,)) == (
        "name   n\na     10\nlong   9"
    )


def test_facts_leave_out_what_is_empty_and_indent_what_is_nested() -> None:
    text = facts({"name": "a", "empty": "", "deep": {"x": 1.5}, "many": [{"y": True}]})
    assert text == "name  a\ndeep:\n  x  1.5\nmany:\n- y  yes"


def test_amounts_know_one_from_many() -> None:
    assert [count(n, "photo") for n in (0, 1, 2000)] == ["0 photos", "1 photo", "2,000 photos"]


def test_the_error_that_ends_a_command_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    def failed(label: str) -> Failed:
        message = f"The cell {label} broke."
        return Failed(step="train", label=label, error="DataLoss", reason="BROKEN", message=message)

    with Bars() as bars:
        show_event(bars, failed("a"))
        show_event(bars, failed("b"))
        show_event(bars, Finished(step="close", seconds=1, sentence="failed", reused=False))
    # The command ends with the first one's sentence; nobody else tells the others'.
    assert capsys.readouterr().err.splitlines() == [
        "train (a): failed",
        "train (b): failed: The cell b broke.",
        "close: failed (1 s)",
    ]


def test_what_strangers_wrote_is_a_line_that_moves_no_cursor() -> None:
    assert printable("a\nb\x1b[31m\x9b2J\u2028c\u202egpj.exe") == "a b [31m 2J c gpj.exe"
    assert printable("👩\u200d👩 हिन्दी [/red]") == "👩\u200d👩 हिन्दी [/red]"
    assert [printable("n" * 9, limit) for limit in (0, 9, 8)] == ["n" * 9, "n" * 9, "n" * 7 + "…"]


@pytest.mark.parametrize("name", ["[/z].jpg", "[red]b.jpg", "c\\", "[link=x]d\x1b[2J.jpg"])
def test_names_with_markup_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    with Bars() as bars:
        bars.show("scrape", "collect", 1, 2, None, name)
        bars.end("train [/bold]", name, ok=False)
        assert bars._progress is not None
        bars._progress.refresh()
    shown = capsys.readouterr().err
    assert f"collect: {printable(name)}" in shown
    assert "train [/bold]" in shown
    assert "✗" in shown
    assert "\x1b[2J" not in shown


def test_remaining_time() -> None:
    assert [remaining(s) for s in (0, 42.4, 725, 3725)] == ["0:00", "0:42", "12:05", "1:02:05"]


def test_a_wait_says_why_until_when_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    metadata = operation_pb2.OperationMetadata(phase="wait", done=1, total=4, last_message="Slow")
    metadata.wait.reason = "INSTAGRAM_RATE_LIMITED"
    metadata.wait.until.FromMilliseconds(round(1000 * (time.time() + 3599.9)))
    metadata.wait.posts_left, metadata.wait.images_left = 3, 1
    unknown = operation_pb2.OperationMetadata(phase="wait", total=4, last_message="It is in use")
    unknown.wait.reason = "ACCOUNT_IN_USE"
    for told, line in (
        (metadata, "scrape: wait  25 % 1:00:00 left Slow; 3 posts, about 1 image to come"),
        (unknown, "scrape: wait   0 % It is in use"),
    ):
        with Bars() as bars:
            bars.follow("scrape")(told)
        assert capsys.readouterr().err == f"{line}\n"


def test_the_end_of_an_operation_is_whole_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Posts that hashtags share make fewer than expected; a failure is the command's to tell."""
    with Bars() as bars:
        show = bars.follow("scrape")
        show(
            operation_pb2.OperationMetadata(phase="succeeded", done=4, total=7, last_message="So.")
        )
        show(operation_pb2.OperationMetadata(phase="failed", last_message="It is locked."))
    assert capsys.readouterr().err == "scrape: succeeded 100 % So.\n"
