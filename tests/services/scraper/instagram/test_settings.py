from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instagram_server import COOKIES, SESSION

from services.scraper.instagram.settings import InstagramSettings, Session
from tagloom.errors import InvalidArgument

SECRETS = [COOKIES["sessionid"], COOKIES["csrftoken"]]


def test_defaults() -> None:
    assert InstagramSettings.from_environment({}) == InstagramSettings()
    assert InstagramSettings().session is None


def test_all_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    file.write_text(json.dumps(SESSION))
    settings = InstagramSettings.from_environment(
        {
            "TAGLOOM_INSTAGRAM_URL": "http://gateway:8080/",
            "TAGLOOM_INSTAGRAM_PAUSE_S": "2.5",
            "TAGLOOM_INSTAGRAM_ATTEMPTS": "2",
            "TAGLOOM_INSTAGRAM_SESSION": str(file),
        }
    )
    assert settings == InstagramSettings(
        url="http://gateway:8080", pause_s=2.5, attempts=2, session=Session("tester", COOKIES)
    )


def test_the_session_may_be_the_variable_itself() -> None:
    settings = InstagramSettings.from_environment(
        {"TAGLOOM_INSTAGRAM_SESSION": json.dumps(SESSION)}
    )
    assert settings.session == Session("tester", COOKIES)


def test_no_secret_is_shown() -> None:
    settings = InstagramSettings(session=Session("tester", COOKIES))
    for text in (repr(settings), str(settings), f"{settings.session}"):
        assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"username": "a"}',
        '{"username": "", "cookies": {"sessionid": "SECRET", "csrftoken": "SECRET"}}',
        '{"username": "a", "cookies": {"sessionid": "SECRET", "csrftoken": ""}}',
        '{"username": "a", "cookies": {"sessionid": "SECRET", "csrftoken": 3}}',
        '{"username": "a", "cookies": ["SECRET"]}',
        '{"username": "a", "cookies": {"sessionid": "SECRET"}',
        # What no header can carry: sending it would end in an error that quotes it.
        '{"username": "a", "cookies": {"sessionid": "SECRET\\n", "csrftoken": "c"}}',
        '{"username": "a", "cookies": {"sessionid": "SECRET\\r\\nX: y", "csrftoken": "c"}}',
        '{"username": "a", "cookies": {"sessionid": "SECRET; a=b", "csrftoken": "c"}}',
        '{"username": "a", "cookies": {"sessionid": "SECRET\\u20ac", "csrftoken": "c"}}',
        '{"username": "a", "cookies": {"sessionid": "c", "csrftoken": "c", "SECRET\\n": "c"}}',
        '{"SECRET":' * 100_000,
    ],
)
def test_a_bad_session_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "session.json"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match="is no Instagram session") as caught:
        InstagramSettings.from_environment({"TAGLOOM_INSTAGRAM_SESSION": str(file)})
    error: BaseException | None = caught.value
    while error is not None:  # the whole chain of causes would be logged
        assert "SECRET" not in f"{error!r}{error.args}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_file_that_begins_with_a_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    file.write_text(json.dumps(SESSION), encoding="utf-8-sig")
    settings = InstagramSettings.from_environment({"TAGLOOM_INSTAGRAM_SESSION": str(file)})
    assert settings.session is not None
    assert settings.session.cookies == COOKIES


@given(st.binary())
def test_a_pickled_session_is_no_session(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        Session.parse((pickle.dumps(COOKIES) + data).decode("latin-1"), "The file")


def test_an_unreadable_session_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InvalidArgument, match="cannot be read") as caught:
            InstagramSettings.from_environment({"TAGLOOM_INSTAGRAM_SESSION": str(path)})
        assert caught.value.reason == "INSTAGRAM_SESSION_INVALID"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("URL", "gateway:8080"),
        ("URL", "http://user:password@gateway"),
        ("PAUSE_S", "-1"),
        ("PAUSE_S", "nan"),
        ("PAUSE_S", "inf"),
        ("MAX_WAIT_S", "an hour"),
        ("ATTEMPTS", "0"),
        ("ATTEMPTS", "2.5"),
    ],
)
def test_bad_settings_name_their_variable(name: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"TAGLOOM_INSTAGRAM_{name} ") as caught:
        InstagramSettings.from_environment({f"TAGLOOM_INSTAGRAM_{name}": text})
    assert caught.value.reason == "SETTING_INVALID"
