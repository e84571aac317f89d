"""A session is made by logging in to the local Instagram, or from a browser's cookies."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from instagram_server import CODE, COOKIES, PASSWORD, SESSION, Answer, InstagramServer
from instagram_world import Profile, make_posts

from services.scraper.collect import CollectRequest, collect
from services.scraper.instagram.settings import InstagramSettings
from tagloom.artifacts.collection import HashtagSource
from tagloom.cli.app import main
from tagloom.store import Store


def login(out: Path, *arguments: str, typed: str = "") -> Result:
    command = ["scrape", "login", "--username", "tester", "--out", str(out), *arguments]
    return CliRunner().invoke(main, command, input=typed, env={"TAGLOOM_TARGET": None})


@pytest.mark.parametrize("second_factor", [False, True])
def test_the_session_is_one_that_scraping_takes(
    store: Store,
    instagram: InstagramServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    second_factor: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    instagram.second_factor = second_factor
    out = tmp_path / "session.json"
    result = login(out, typed=f"{PASSWORD}\n{CODE}\n" if second_factor else f"{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text()) == SESSION
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if "session" in p.name] == ["session.json"]
    assert instagram.kinds == ["start", "login", *["second factor"] * second_factor]
    for secret in (PASSWORD, COOKIES["sessionid"]):
        assert secret not in result.output
        assert secret not in caplog.text

    monkeypatch.setenv("TAGLOOM_INSTAGRAM_SESSION", str(out))
    instagram.world.add_hashtag("betta", make_posts(Profile("catlady", "1001"), 3))
    assert collect(store, CollectRequest("x", HashtagSource(hashtag="betta"))).stored == 3


@pytest.mark.parametrize(
    ("typed", "answer", "reason"),
    [
        ("wrong\n", None, "INSTAGRAM_PASSWORD_WRONG"),
        (f"{PASSWORD}\n000000\n", "factor", "INSTAGRAM_CODE_WRONG"),
        ("x\n", Answer.failure(400, "checkpoint_required"), "INSTAGRAM_CHALLENGE"),
        ("x\n", Answer.json({"checkpoint_url": "/challenge/1/"}), "INSTAGRAM_CHALLENGE"),
        ("x\n", Answer.json({"status": "fail", "message": "no"}), "INSTAGRAM_LOGIN_REFUSED"),
        ("x\n", Answer(200, b"<html>"), "INSTAGRAM_LOGIN_REFUSED"),
        ("x\n", Answer.failure(429, "slow down"), "INSTAGRAM_RATE_LIMITED"),
    ],
)
def test_refusals_are_told_apart_and_not_tried_again(
    instagram: InstagramServer, tmp_path: Path, typed: str, answer: object, reason: str
) -> None:
    instagram.second_factor = answer == "factor"
    if isinstance(answer, Answer):
        instagram.fail("login", answer)
    result = login(tmp_path / "session.json", typed=typed)
    assert result.exit_code == 1
    assert reason in result.output
    assert instagram.counts["login"] == 1
    assert not (tmp_path / "session.json").exists()
    assert typed.splitlines()[0] not in result.output or typed == "x\n"


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    """A browser's cookies, the local Instagram's among them."""
    path = tmp_path / "cookies.txt"
    write_jar(path, COOKIES)
    return path


def write_jar(path: Path, cookies: Mapping[str, str]) -> None:
    lines = ["# Netscape HTTP Cookie File", ".example.org\tTRUE\t/\tTRUE\t0\tsessionid\tother"]
    lines += [
        f"{'#HttpOnly_' * (name == 'sessionid')}.instagram.com\tTRUE\t/\tTRUE\t0\t{name}\t{value}"
        for name, value in {**cookies, "datr": "tracking"}.items()
    ]
    path.write_text("\n".join(lines) + "\n")


def test_a_browsers_cookies(
    instagram: InstagramServer, tmp_path: Path, jar: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    out = tmp_path / "session.json"
    result = login(out, "--cookies", str(jar))
    assert result.exit_code == 0, result.output
    assert "Instagram takes it." in result.output
    assert instagram.kinds == ["session"]  # asked once
    assert json.loads(out.read_text()) == SESSION
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    settings = InstagramSettings.from_environment({"TAGLOOM_INSTAGRAM_SESSION": str(out)})
    assert settings.session is not None
    assert login(out, "--cookies", str(jar)).exit_code == 1  # it is there already
    assert login(out, "--cookies", str(jar), "--overwrite").exit_code == 0
    for bad in ("", "# Netscape HTTP Cookie File\n", "secret-line-without-tabs\n"):
        jar.write_text(bad)
        result = login(tmp_path / "other.json", "--cookies", str(jar))
        assert result.exit_code == 1
        assert "COOKIES_INVALID" in result.output
        assert "secret-line" not in result.output
    assert instagram.counts == {"session": 2}
    for secret in (COOKIES["sessionid"], COOKIES["csrftoken"]):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "INSTAGRAM_SESSION_REJECTED"),
        (Answer.json({"data": {"user": None}, "status": "ok"}), "INSTAGRAM_SESSION_REJECTED"),
        (Answer.failure(401, "login_required"), "INSTAGRAM_SESSION_REJECTED"),
        (
            Answer(302, b"", {"Location": "https://www.instagram.com/accounts/login/"}),
            "INSTAGRAM_SESSION_REJECTED",
        ),
        (Answer.failure(400, "checkpoint_required"), "INSTAGRAM_CHALLENGE"),
        (Answer(403, b"<html>no"), "INSTAGRAM_FORBIDDEN"),
        (Answer.json({"data": {"user": {"username": "other"}}}), "COOKIES_INVALID"),
    ],
)
def test_a_session_that_instagram_refuses_is_not_written(
    instagram: InstagramServer,
    tmp_path: Path,
    jar: Path,
    caplog: pytest.LogCaptureFixture,
    answer: Answer | None,
    reason: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    if answer is None:
        write_jar(jar, {**COOKIES, "sessionid": "77%3Aold-secret%3A1"})
    else:
        instagram.fail("session", answer)
    result = login(tmp_path / "session.json", "--cookies", str(jar))
    assert result.exit_code == 1
    assert reason in result.output
    assert result.output.count("\n") == 1
    assert instagram.kinds == ["session"]  # never again at once
    assert [path.name for path in tmp_path.iterdir()] == ["cookies.txt"]
    for secret in (COOKIES["sessionid"], COOKIES["csrftoken"], "old-secret"):
        assert secret not in result.output + caplog.text


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [
        (Answer.failure(429, "slow down"), "wants a pause"),
        (Answer(500, b""), "no answer that tells"),
        (Answer(404, b"<html>"), "no answer that tells"),
        (Answer(200, b"<html>"), "no answer that tells"),
        (Answer.json({"data": {}}), "no answer that tells"),
        (Answer(200, b"{}", cut=True), "no answer that tells"),
    ],
)
def test_where_instagram_says_neither_that_is_said(
    instagram: InstagramServer, tmp_path: Path, jar: Path, answer: Answer, doubt: str
) -> None:
    instagram.fail("session", answer)
    out = tmp_path / "session.json"
    result = login(out, "--cookies", str(jar), "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["tried"] is False
    assert doubt in told["doubt"]
    assert json.loads(out.read_text()) == SESSION
    assert instagram.kinds == ["session"]


def test_nobody_is_asked_where_that_is_wanted(
    instagram: InstagramServer, tmp_path: Path, jar: Path
) -> None:
    result = login(tmp_path / "session.json", "--cookies", str(jar), "--untried")
    assert result.exit_code == 0, result.output
    assert "Whether Instagram takes it is not known: nobody asked Instagram." in result.output
    assert instagram.requests == []
    assert login(tmp_path / "b.json", "--untried").exit_code == 2


def test_where_it_cannot_be_kept_nobody_logs_in(instagram: InstagramServer, tmp_path: Path) -> None:
    """Instagram counts logins: one whose session is lost must be repeated."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for out, option in (("file/session.json", ""), ("folder", "--overwrite")):
        result = login(tmp_path / out, *filter(None, [option]), typed=f"{PASSWORD}\n")
        assert result.exit_code == 1
        assert result.output.count("\n") == 1, result.output
        assert "cannot be written" in result.output
    assert instagram.requests == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"

    new = tmp_path / "new" / "session.json"
    assert login(new, typed="wrong\n").exit_code == 1
    assert list(new.parent.iterdir()) == []  # no draft stays
    assert login(new, typed=f"{PASSWORD}\n").exit_code == 0
    assert [path.name for path in new.parent.iterdir()] == ["session.json"]


@pytest.mark.parametrize("name", ["", " ", "@"])
def test_nobodys_session_is_not_made(tmp_path: Path, name: str) -> None:
    result = login(tmp_path / "session.json", "--username", name, "--cookies", "cookies.txt")
    assert result.exit_code == 2
    assert "--username is empty" in result.output
    assert list(tmp_path.iterdir()) == []
