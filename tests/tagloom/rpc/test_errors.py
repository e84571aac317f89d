"""Errors across the wire: nothing is lost, nothing is told that should not be."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from tagloom import errors
from tagloom.errors import FailedPrecondition, InvalidArgument, NotFound, TagloomError, Unavailable
from tagloom.rpc.errors import (
    DOMAIN,
    deadline_status,
    from_rpc_error,
    from_status,
    internal_error,
    status_code,
    to_status,
)
from tagloom.store.interface import InvalidKey, ObjectNotFound, PreconditionFailed

CLASSES = [getattr(errors, name) for name in errors.__all__]
REASONS = st.from_regex(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", fullmatch=True)


def details(status: status_pb2.Status, kind: Any) -> list[Any]:
    found = []
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            found.append(message)
    return found


@given(
    cls=st.sampled_from(CLASSES),
    message=st.text(min_size=1, max_size=80),
    reason=REASONS,
    metadata=st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True), st.text()),
)
def test_every_error_comes_back_as_it_was(
    cls: type[TagloomError], message: str, reason: str, metadata: dict[str, str]
) -> None:
    error = cls(message, reason=reason)
    error.metadata = metadata
    back = from_status(status_pb2.Status.FromString(to_status(error).SerializeToString()))
    assert (type(back), back.message, back.reason) == (cls, message, reason)
    if sum(len(key) + len(value.encode()) for key, value in metadata.items()) < 900:
        assert back.metadata == metadata


@given(
    message=st.text(st.characters(exclude_categories=()), min_size=1, max_size=20_000),
    metadata=st.dictionaries(
        st.text(st.characters(exclude_categories=()), max_size=200),
        st.text(st.characters(exclude_categories=()), max_size=5000),
        max_size=8,
    ),
)
def test_texts_of_any_size_and_kind_fit_into_metadata(
    message: str, metadata: dict[str, str]
) -> None:
    error = InvalidArgument(message, reason="TEST_REASON")
    error.metadata = {**metadata, "field": message}
    status = to_status(error)
    encoded = len(status.SerializeToString()) * 4 / 3 + len(status.message.encode()) * 3
    assert encoded < 8192


@pytest.mark.parametrize("cls", CLASSES)
def test_codes_are_canonical_and_classes_come_back(cls: type[TagloomError]) -> None:
    expected = {"Conflict": "ABORTED", "TagloomError": "INTERNAL"}.get(cls.__name__)
    name = expected or "".join(f"_{c}" if c.isupper() else c for c in cls.__name__)[1:].upper()
    assert status_code(cls("No.", reason="TEST_REASON")).name == name


def test_subclasses_travel_as_their_nearest_class() -> None:
    for cls, parent in [
        (ObjectNotFound, errors.NotFound),
        (PreconditionFailed, errors.Conflict),
        (InvalidKey, errors.InvalidArgument),
    ]:
        assert type(from_status(to_status(cls("No.", reason="TEST_REASON")))) is parent


def test_every_status_carries_one_error_info_of_our_domain() -> None:
    (info,) = details(
        to_status(Unavailable("Later.", reason="TEST_REASON")), error_details_pb2.ErrorInfo
    )
    assert (info.domain, info.reason) == (DOMAIN, "TEST_REASON")
    (info,) = details(deadline_status(3), error_details_pb2.ErrorInfo)
    assert (info.domain, info.reason) == (DOMAIN, "DEADLINE_EXCEEDED")


def test_a_message_that_is_cut_keeps_what_to_do() -> None:
    for sign in ("x", "ü", "🐟"):
        message = f"There is no folder /{sign * 5000}; check the path."
        cut = to_status(NotFound(message, reason="TEST_REASON")).message
        assert len(cut.encode()) <= 1024
        assert cut.startswith(f"There is no folder /{sign}")
        assert cut.endswith(f"{sign}; check the path.")
        assert f"{sign}…{sign}" in cut


def test_field_becomes_bad_request() -> None:
    status = to_status(InvalidArgument("Too small.", reason="TEST_REASON", field="resolution"))
    (bad,) = details(status, error_details_pb2.BadRequest)
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("resolution", "Too small.")
    ]


def test_retry_after_becomes_retry_info() -> None:
    status = to_status(Unavailable("Wait.", reason="TEST_REASON", retry_after_s=90.5))
    (retry,) = details(status, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 90_500


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "1e300", ""])
def test_unreadable_delays_are_left_out(value: str) -> None:
    status = to_status(Unavailable("Wait.", reason="TEST_REASON", retry_after_s=value))
    assert details(status, error_details_pb2.RetryInfo) == []


def test_statuses_of_others_become_the_nearest_class() -> None:
    status = status_pb2.Status(code=code_pb2.UNIMPLEMENTED, message="Method not found!")
    assert isinstance(from_status(status), FailedPrecondition)
    assert from_status(status).reason == "UNIMPLEMENTED"
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="not ours", domain="else"))
    assert from_status(status).metadata["original_reason"] == "not ours"
    assert from_status(status_pb2.Status(code=77)).message.endswith("without saying more.")


def test_an_unexpected_error_tells_an_incident_and_logs_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        error = internal_error(RuntimeError("password 1234"), doing="testing")
    assert "1234" not in error.message
    assert "1234" not in str(error.metadata)
    assert error.metadata["incident"] in caplog.text
    assert "password 1234" in caplog.text


class _Failure(grpc.RpcError, grpc.Call):
    """An RpcError as gRPC makes them, with a code and without our details."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        self._code, self._text = code, text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def trailing_metadata(self) -> Any:
        return ()

    initial_metadata = is_active = time_remaining = cancel = add_callback = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("code", "cls", "reason", "words"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable, "SERVER_UNREACHABLE", "check the address"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable, "DEADLINE_EXCEEDED", "more time"),
        (grpc.StatusCode.UNIMPLEMENTED, FailedPrecondition, "UNIMPLEMENTED", "right service"),
        (grpc.StatusCode.UNKNOWN, TagloomError, "UNKNOWN", "odd"),
        (grpc.StatusCode.CANCELLED, Unavailable, "CALL_BROKEN_OFF", "try again"),
    ],
)
def test_what_grpc_itself_says_becomes_a_sentence(
    code: grpc.StatusCode, cls: type[TagloomError], reason: str, words: str
) -> None:
    error = from_rpc_error(_Failure(code, "odd"), target="far:1")
    assert type(error) is cls
    assert error.reason == reason
    assert words in error.message
