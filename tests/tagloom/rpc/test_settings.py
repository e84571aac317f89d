"""Settings: from the environment, from flags, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagloom.errors import InvalidArgument
from tagloom.rpc.settings import Settings, is_loopback, split_address


def test_environment_and_flags_flags_win() -> None:
    environment = {"TAGLOOM_STORE": "s3://a", "TAGLOOM_WORKERS": "3", "TAGLOOM_INSECURE": "Yes"}
    settings = Settings.from_environment(environment, {"workers": 5, "store": None})
    assert (settings.store, settings.workers, settings.insecure) == ("s3://a", 5, True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TAGLOOM_WORKERS", "many"),
        ("TAGLOOM_WORKERS", "-1"),
        ("TAGLOOM_LEASE_S", "0"),
        ("TAGLOOM_LEASE_S", "nan"),
        ("TAGLOOM_INSECURE", "perhaps"),
        ("TAGLOOM_LOG_FORMAT", "xml"),
        ("TAGLOOM_LOG_LEVEL", "LOUD"),
    ],
)
def test_an_unreadable_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{variable} .*should be") as caught:
        Settings.from_environment({variable: value})
    assert caught.value.reason == "SETTING_INVALID"


@pytest.mark.parametrize("given", [{"tls_cert": "a"}, {"tls_key": "a"}, {"tls_client_ca": "a"}])
def test_half_a_tls_setting_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="--tls-cert and --tls-key"):
        Settings.from_environment({}, given)


def test_token_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    assert Settings(token_file=str(file)).secret_token() == "secret"
    file.write_text("\n")
    with pytest.raises(InvalidArgument, match="empty"):
        Settings(token_file=str(file)).secret_token()
    with pytest.raises(InvalidArgument, match="cannot be read"):
        Settings(token_file=str(tmp_path / "none")).secret_token()
    with pytest.raises(InvalidArgument, match="once"):
        Settings(token="a", token_file="b")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.8.0.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("example.org:1", False),
    ],
)
def test_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize("address", ["", "host", ":1", "host:", "host:-1", "host:65536", "host:²"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidArgument, match="host:port"):
        split_address(address)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        host, port = split_address(text)
    except InvalidArgument:
        return
    assert host
    assert 0 <= port <= 65535
