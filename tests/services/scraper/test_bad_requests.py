"""Every method of ScraperService, asked for what cannot be: a code, a reason and one sentence."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as operations_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scraper.service import register
from tagloom.paging import token_of
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings
from tagloom.v1 import scraper_pb2, scraper_pb2_grpc

HUGE = "x" * 300_000
NAMES = (
    *("", "x", "/", "collections/", "collections/a/b", "collections/../x", "collections/-"),
    *("collections/\0", "collections/ü", "collections/a\n", "datasets/a", "collections/none"),
    *("operations/scraper.x", HUGE),
)
TOKENS = (
    *("x", "%%%", "é", "\0", HUGE, token_of("datasets", "a"), token_of("collections/b/items", 1)),
    *(token_of("collections/a/items", offset) for offset in (3, -1, 10**30)),
)


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory, jpeg: bytes) -> Iterator[grpc.Channel]:
    """To a server that has the collection `a`, of one photo."""
    folder = tmp_path_factory.mktemp("bad_requests")
    (folder / "photos").mkdir()
    (folder / "photos" / "a.jpg").write_bytes(jpeg)
    wanted = Settings(
        store=str(folder / "store"), address="127.0.0.1:0", metrics_address="", workers=1
    )
    with (
        pytest.MonkeyPatch.context() as environment,
        BackgroundServer({"scraper": register}, wanted) as running,
        grpc.insecure_channel(running.address) as opened,
    ):
        for name in ("MINIO_ENDPOINT", "TAGLOOM_URLS_ALLOW", "TAGLOOM_INSTAGRAM_SESSION"):
            environment.delenv(name, raising=False)
        environment.setenv("TAGLOOM_INSTAGRAM_URL", "http://127.0.0.1:9")
        request = create(folder=scraper_pb2.FolderSource(path=str(folder / "photos")))
        request.collection_id = "a"
        assert finish(opened, stub(opened).CreateCollection(request)) is None
        yield opened


def create(**fields: Any) -> scraper_pb2.CreateCollectionRequest:
    return scraper_pb2.CreateCollectionRequest(**{"collection_id": "c", **fields})


def stub(channel: grpc.Channel) -> Any:
    return scraper_pb2_grpc.ScraperServiceStub(channel)  # type: ignore[no-untyped-call]


def finish(channel: grpc.Channel, operation: operations_pb2.Operation) -> status_pb2.Status | None:
    """How the operation failed, if it did."""
    stub = operations_pb2_grpc.OperationsStub(channel)  # type: ignore[no-untyped-call]
    wait = operations_pb2.WaitOperationRequest(name=operation.name)
    done = stub.WaitOperation(wait, timeout=60)
    assert done.done
    return done.error if done.HasField("error") else None


def outcome(channel: grpc.Channel, method: str, request: Any) -> status_pb2.Status | None:
    """The status that the call, or the operation that it started, ended with; None: well."""
    try:
        answer = getattr(stub(channel), method)(request, timeout=30)
    except grpc.RpcError as error:
        return told(error)
    if isinstance(answer, operations_pb2.Operation):
        return finish(channel, answer)
    return None


def told(error: grpc.RpcError) -> status_pb2.Status:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, error
    return status


def refused(channel: grpc.Channel, method: str, request: Any) -> tuple[str, str]:
    """The code and the reason; whatever it is, it is told in one sentence."""
    status = outcome(channel, method, request)
    assert status is not None, request
    code = next(code.name for code in grpc.StatusCode if code.value[0] == status.code)
    assert code not in ("UNKNOWN", "INTERNAL", "UNIMPLEMENTED"), status
    (info,) = [d for d in status.details if d.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    detail = error_details_pb2.ErrorInfo()
    assert info.Unpack(detail)
    assert detail.domain == "tagloom"
    assert len(status.message.encode()) <= 1024
    assert "\n" not in status.message
    assert status.message.endswith(".")
    return code, detail.reason


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:20]))
def test_names(channel: grpc.Channel, name: str) -> None:
    absent = name == "collections/none"
    wanted = ("NOT_FOUND", "RESOURCE_NOT_FOUND") if absent else ("INVALID_ARGUMENT", "INVALID_NAME")
    for method, request in (
        ("GetCollection", scraper_pb2.GetCollectionRequest(name=name)),
        ("DeleteCollection", scraper_pb2.DeleteCollectionRequest(name=name)),
        ("ListItems", scraper_pb2.ListItemsRequest(parent=name)),
        ("RefreshCollection", scraper_pb2.RefreshCollectionRequest(name=name)),
    ):
        assert refused(channel, method, request) == wanted
    image = scraper_pb2.ForgetItemsRequest(sha256=name)
    assert refused(channel, "ForgetItems", image)[1] == "INVALID_SHA256"
    post = scraper_pb2.ForgetItemsRequest(post=name)
    if name != "x":  # which is one, of a post that nobody has
        assert refused(channel, "ForgetItems", post)[1] == "INVALID_POST"
        wrong = create(collection_id=name, folder=scraper_pb2.FolderSource(path="/"))
        assert refused(channel, "CreateCollection", wrong)[1] == "INVALID_ID"


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: repr(token[:20]))
def test_page_tokens(channel: grpc.Channel, token: str) -> None:
    for method, request in (
        ("ListCollections", scraper_pb2.ListCollectionsRequest(page_token=token)),
        ("ListItems", scraper_pb2.ListItemsRequest(parent="collections/a", page_token=token)),
    ):
        assert refused(channel, method, request) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, "INVALID_ARGUMENT", "SOURCE_MISSING"),
        ({"folder": {}}, "INVALID_ARGUMENT", "FOLDER_INVALID"),
        ({"folder": {"path": HUGE}}, "INVALID_ARGUMENT", "FOLDER_INVALID"),
        ({"folder": {"path": f"/{HUGE}"}}, "NOT_FOUND", "FOLDER_NOT_FOUND"),
        ({"folder": {"path": "/a\0b"}}, "INVALID_ARGUMENT", "FOLDER_INVALID"),
        ({"zip": {"path": f"/{HUGE}"}}, "NOT_FOUND", "FILE_NOT_FOUND"),
        ({"zip": {"path": "/proc/version"}}, "INVALID_ARGUMENT", "ZIP_INVALID"),
        ({"zip": {"path": "/dev/zero"}}, "INVALID_ARGUMENT", "NOT_A_FILE"),
        ({"urls": {"path": "/dev/zero"}}, "INVALID_ARGUMENT", "NOT_A_FILE"),
        ({"urls": {"path": "/proc/self/mem"}}, "INVALID_ARGUMENT", "URL_LIST_INVALID"),
        ({"urls": {"urls": ["", "#"]}}, "FAILED_PRECONDITION", "URL_LIST_EMPTY"),
        ({"urls": {"urls": [HUGE]}}, "INVALID_ARGUMENT", "URL_LIST_INVALID"),
        (
            {"urls": {"urls": ["http://[::1", "http://\0/", "http://x:99999/", f"//{'a' * 999}"]}},
            "FAILED_PRECONDITION",
            "NO_PHOTOS",
        ),
        ({"s3": {"url": f"s3://{HUGE}"}}, "INVALID_ARGUMENT", "S3_URL_INVALID"),
        ({"s3": {"url": "s3://bucket/x"}}, "FAILED_PRECONDITION", "STORE_NOT_CONFIGURED"),
        ({"hashtag": {"hashtag": HUGE}}, "INVALID_ARGUMENT", "HASHTAG_INVALID"),
        (
            {"hashtag": {"hashtag": "a", "max_posts": 2**62}},
            "INVALID_ARGUMENT",
            "MAX_POSTS_INVALID",
        ),
        ({"profile": {"profile": "../x"}}, "INVALID_ARGUMENT", "PROFILE_INVALID"),
        (
            {"folder": {"path": "/"}, "frames_per_video": 2**31 - 1},
            "INVALID_ARGUMENT",
            "FRAMES_INVALID",
        ),
        ({"folder": {"path": "/"}, "request_id": "x"}, "INVALID_ARGUMENT", "REQUEST_ID_INVALID"),
        ({"folder": {"path": "/"}, "request_id": HUGE}, "INVALID_ARGUMENT", "REQUEST_ID_INVALID"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sources(channel: grpc.Channel, fields: dict[str, Any], code: str, reason: str) -> None:
    assert refused(channel, "CreateCollection", create(**fields)) == (code, reason)
    listed = stub(channel).ListCollections(scraper_pb2.ListCollectionsRequest())
    assert [made.name for made in listed.collections] == ["collections/a"]


def test_a_request_id_is_for_one_request(channel: grpc.Channel) -> None:
    once = str(uuid.uuid4())
    request = scraper_pb2.ForgetItemsRequest(post="Cabcdefgh12", request_id=once)
    made = [stub(channel).ForgetItems(request).name for _ in range(2)]
    assert made[0] == made[1]
    for method, other in (
        ("ForgetItems", scraper_pb2.ForgetItemsRequest(post="Cabcdefgh13", request_id=once)),
        (
            "RefreshCollection",
            scraper_pb2.RefreshCollectionRequest(name="collections/a", request_id=once),
        ),
        ("CreateCollection", create(folder={"path": "/"}, request_id=once)),
    ):
        assert refused(channel, method, other) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


METHODS = tuple(
    method.full_name.replace(".ScraperService.", ".ScraperService/")
    for method in scraper_pb2.DESCRIPTOR.services_by_name["ScraperService"].methods
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(method=st.sampled_from(METHODS), data=st.binary(max_size=40))
def test_bytes_that_are_no_message(channel: grpc.Channel, method: str, data: bytes) -> None:
    """Whatever they are: refused, or understood as a message (without what makes anything)."""
    assert len(METHODS) == 7
    call: Any = channel.unary_unary(f"/{method}")
    try:
        call(data, timeout=30)
    except grpc.RpcError as error:
        failed = told(error)
    else:
        return
    assert failed.code not in (code_pb2.UNKNOWN, code_pb2.INTERNAL), failed


def test_text_that_is_no_utf_8(channel: grpc.Channel) -> None:
    call: Any = channel.unary_unary(f"/{METHODS[0]}")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\x0a\x01\xff", timeout=30)
    status = told(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    detail = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(detail)
    assert detail.reason == "REQUEST_MALFORMED"
