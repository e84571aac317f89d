"""The filter over real gRPC, with worker processes and a local store."""

from __future__ import annotations

import io
import math
import urllib.request
import uuid

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from PIL import Image

from services.filter.checks import CHECKS
from services.filter.service import register
from tagloom.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tagloom.paging import token_of
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.errors import from_rpc_error, from_status
from tagloom.rpc.settings import Settings
from tagloom.store import open_store
from tagloom.v1 import filter_pb2, filter_pb2_grpc

CROP = filter_pb2.Crop(mode=filter_pb2.Crop.MODE_TILES, tile_size=128, output_size=32)


@pytest.fixture(scope="module")
def server(tmp_path_factory, add_collection, small_photos):
    folder = str(tmp_path_factory.mktemp("served"))
    store = open_store(folder)
    add_collection(store, "photos", small_photos)
    add_collection(store, "grey", {"camera.png": small_photos["camera.png"]})
    settings = Settings(
        store=folder, address="127.0.0.1:0", metrics_address="127.0.0.1:0", workers=2, lease_s=5.0
    )
    with BackgroundServer({"filter": register}, settings) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel):
    return filter_pb2_grpc.FilterServiceStub(channel)


def request(dataset_id="squares", **fields) -> filter_pb2.CreateDatasetRequest:
    defaults = {
        "collection": "collections/photos",
        "resolution": 128,
        "crop": CROP,
        "held_out_ratio": 0.25,
        "seed": 7,
    }
    return filter_pb2.CreateDatasetRequest(dataset_id=dataset_id, **defaults | fields)


def finish(channel, operation, response=filter_pb2.Dataset):
    """The operation's response; raises its error."""
    operations = operations_pb2_grpc.OperationsStub(channel)
    for _ in range(12):
        wait = operations_pb2.WaitOperationRequest(
            name=operation.name, timeout=Duration(seconds=10)
        )
        operation = operations.WaitOperation(wait, timeout=30)
        if operation.done:
            break
    assert operation.done
    if operation.HasField("error"):
        raise from_status(operation.error)
    unpacked = response()
    assert operation.response.Unpack(unpacked)
    return unpacked


@pytest.fixture(scope="module")
def dataset(channel, stub):
    return finish(channel, stub.CreateDataset(request(), timeout=20))


def failure(call, *args) -> Exception:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, timeout=20)
    return from_rpc_error(caught.value)


def test_a_dataset_is_made_and_got(dataset, stub):
    assert dataset.name == "datasets/squares"
    assert (dataset.judged_count, dataset.kept_count, dataset.rejected_count) == (6, 2, 4)
    assert dataset.train_count > dataset.held_out_count > 0
    assert [threshold.check for threshold in dataset.thresholds] == list(CHECKS)
    assert dataset.profile == "default"
    assert dataset.crop == CROP
    got = stub.GetDataset(filter_pb2.GetDatasetRequest(name=dataset.name), timeout=20)
    assert got == dataset
    listed = stub.ListDatasets(filter_pb2.ListDatasetsRequest(), timeout=20)
    assert dataset in listed.datasets
    assert listed.next_page_token == ""


def test_a_part_is_scored_ahead(dataset, channel, stub):
    part = filter_pb2.ScoreImagesRequest(
        collection="collections/photos", shard=1, shard_count=2, request_id=str(uuid.uuid4())
    )
    operation = stub.ScoreImages(part, timeout=20)
    assert stub.ScoreImages(part, timeout=20).name == operation.name
    scored = finish(channel, operation, filter_pb2.ScoreImagesResponse)
    assert scored.image_count == 3
    assert scored.scanned_count == 0  # the dataset was there before
    gone = filter_pb2.ScoreImagesRequest(collection="collections/gone")
    assert isinstance(failure(stub.ScoreImages, gone), NotFound)
    wrong = filter_pb2.ScoreImagesRequest(collection="collections/photos", shard=3, shard_count=2)
    assert failure(stub.ScoreImages, wrong).reason == "SHARD_OUT_OF_RANGE"


def test_verdicts_come_page_by_page(dataset, stub):
    verdicts, token = [], ""
    while True:
        page = stub.ListVerdicts(
            filter_pb2.ListVerdictsRequest(parent=dataset.name, page_size=4, page_token=token),
            timeout=20,
        )
        verdicts += page.verdicts
        if not (token := page.next_page_token):
            break
    assert [verdict.source for verdict in verdicts if verdict.kept] == ["flower.png", "coffee.png"]
    assert len(verdicts) == 6
    grey = next(verdict for verdict in verdicts if verdict.source == "camera.png")
    result = next(result for result in grey.results if result.check == "grayscale")
    assert not result.passed
    assert result.score < result.threshold
    assert result.minimum
    assert "grey" in result.detail
    squares = sum(verdict.tile_count for verdict in verdicts)
    assert squares == dataset.train_count + dataset.held_out_count


def test_a_verdict_is_drawn(dataset, stub):
    verdicts = stub.ListVerdicts(filter_pb2.ListVerdictsRequest(parent=dataset.name), timeout=20)
    for verdict in verdicts.verdicts:
        drawn = stub.RenderVerdict(
            filter_pb2.RenderVerdictRequest(name=dataset.name, sha256=verdict.sha256), timeout=60
        )
        assert Image.open(io.BytesIO(drawn.jpeg)).format == "JPEG"


def test_verdicts_come_with_the_borderline_ones_first(dataset, stub):
    def listed(**fields):
        asked = filter_pb2.ListVerdictsRequest(parent=dataset.name, **fields)
        return stub.ListVerdicts(asked, timeout=20)

    closest = list(listed(order_by="closeness").verdicts)
    assert [v.closeness for v in closest] == sorted(v.closeness for v in closest)
    assert {v.sha256 for v in closest} == {v.sha256 for v in listed().verdicts}
    for verdict in closest:
        assert all((result.margin >= 0) == result.passed for result in verdict.results)
    page = listed(order_by="closeness", page_size=4)
    rest = listed(order_by="closeness", page_size=4, page_token=page.next_page_token)
    assert [*page.verdicts, *rest.verdicts] == closest
    asked = filter_pb2.ListVerdictsRequest(parent=dataset.name, page_token=page.next_page_token)
    assert isinstance(failure(stub.ListVerdicts, asked), InvalidArgument)
    asked = filter_pb2.ListVerdictsRequest(parent=dataset.name, order_by="size")
    assert failure(stub.ListVerdicts, asked).reason == "ORDER_UNKNOWN"


def test_views_of_datasets_and_collections(dataset, stub):
    views = filter_pb2.RenderVerdictRequest
    (kept,) = [
        verdict
        for verdict in stub.ListVerdicts(
            filter_pb2.ListVerdictsRequest(parent=dataset.name), timeout=20
        ).verdicts
        if verdict.source == "flower.png"
    ]
    for name in (dataset.name, dataset.collection):
        for view in views.View.values():
            asked = views(name=name, sha256=kept.sha256, view=view, resolution=128)
            picture = Image.open(io.BytesIO(stub.RenderVerdict(asked, timeout=60).jpeg))
            assert max(picture.size) <= 320
    asked = views(name=dataset.name, sha256=kept.sha256)
    asked.view = 99
    assert failure(stub.RenderVerdict, asked).reason == "VIEW_UNKNOWN"
    asked = views(name="runs/r", sha256=kept.sha256)
    assert failure(stub.RenderVerdict, asked).reason == "INVALID_NAME"


def test_asking_twice_gives_the_same_operation(dataset, channel, stub):
    again = request(request_id=str(uuid.uuid4()))
    first, second = (stub.CreateDataset(again, timeout=20) for _ in range(2))
    assert first.name == second.name
    assert finish(channel, first) == dataset  # it was there: nothing is made anew
    assert isinstance(failure(stub.CreateDataset, request(seed=8)), AlreadyExists)


def test_thresholds_of_the_request_count_and_metrics_tell(dataset, server, channel, stub):
    loose = [filter_pb2.Threshold(check="grayscale", enabled=False)]
    made = finish(channel, stub.CreateDataset(request("loose", thresholds=loose), timeout=20))
    assert made.kept_count == dataset.kept_count + 1
    url = f"http://127.0.0.1:{server.server.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        lines = dict(line.rsplit(" ", 1) for line in page.read().decode().splitlines())
    assert float(lines["tagloom_filter_scanned_images_total"]) == 6  # once for both datasets
    assert float(lines['tagloom_filter_images_total{check="",verdict="kept"}']) == 5
    assert float(lines['tagloom_filter_images_total{check="format",verdict="rejected"}']) == 4
    assert float(lines['tagloom_filter_check_seconds_total{check="text"}']) > 0


def test_two_operations_on_one_dataset_do_not_mix(channel, stub):
    first = stub.CreateDataset(request("contested", seed=1), timeout=20)
    try:
        second = stub.CreateDataset(request("contested", seed=2), timeout=20)
    except grpc.RpcError as error:
        refusal = from_rpc_error(error)
    else:
        with pytest.raises(AlreadyExists) as caught:
            finish(channel, second)
        refusal = caught.value
    assert isinstance(refusal, AlreadyExists)
    assert refusal.reason in ("DATASET_IN_PROGRESS", "RESOURCE_EXISTS")
    made = finish(channel, first)
    got = stub.GetDataset(filter_pb2.GetDatasetRequest(name=made.name), timeout=20)
    assert got == made


def test_nothing_left_is_an_error_of_the_operation(channel, stub):
    operation = stub.CreateDataset(request("none", collection="collections/grey"), timeout=20)
    with pytest.raises(FailedPrecondition) as caught:
        finish(channel, operation)
    assert caught.value.reason == "NO_IMAGES_LEFT"
    assert caught.value.metadata["failed_grayscale"] == "1"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dataset_id": "No Such Name"}, "dataset_id"),
        ({"resolution": -1}, "resolution"),
        ({"crop": filter_pb2.Crop(mode=9)}, "crop.mode"),
        ({"crop": filter_pb2.Crop(output_size=-32)}, "crop.output_size"),
        ({"crop": filter_pb2.Crop(output_size=33)}, "crop.output_size"),
        (
            {"crop": filter_pb2.Crop(mode=filter_pb2.Crop.MODE_TILES, tile_size=2**31 - 1)},
            "crop.tile_size",
        ),
        ({"held_out_ratio": 0.9}, "held_out_ratio"),
        ({"thresholds": [filter_pb2.Threshold(check="smiles", enabled=True)]}, "thresholds"),
        ({"thresholds": [filter_pb2.Threshold(check="text", value=math.nan)]}, "thresholds"),
    ],
)
def test_mistakes_are_refused_at_once(fields, field, stub):
    error = failure(stub.CreateDataset, request(**{"dataset_id": "wrong"} | fields))
    assert isinstance(error, InvalidArgument)
    assert error.metadata["field"] == field


def test_what_is_not_there_is_not_found(stub):
    missing = request("new", collection="collections/missing")
    assert isinstance(failure(stub.CreateDataset, missing), NotFound)
    name = "datasets/missing"
    for call, message in (
        (stub.GetDataset, filter_pb2.GetDatasetRequest(name=name)),
        (stub.ListVerdicts, filter_pb2.ListVerdictsRequest(parent=name)),
        (stub.RenderVerdict, filter_pb2.RenderVerdictRequest(name=name, sha256="0" * 64)),
        (stub.DeleteDataset, filter_pb2.DeleteDatasetRequest(name=name)),
    ):
        assert isinstance(failure(call, message), NotFound)
    wrong_name = failure(stub.GetDataset, filter_pb2.GetDatasetRequest(name="cats"))
    assert isinstance(wrong_name, InvalidArgument)


@pytest.mark.parametrize(
    ("size", "token", "field"),
    [(-1, "", "page_size"), (1, "x1", "page_token"), (1, "999999", "page_token")],
)
def test_pages_have_sizes_and_tokens(size, token, field, dataset, stub):
    verdicts = filter_pb2.ListVerdictsRequest(parent=dataset.name, page_size=size, page_token=token)
    assert failure(stub.ListVerdicts, verdicts).metadata["field"] == field
    datasets = filter_pb2.ListDatasetsRequest(page_size=size, page_token=token)
    assert failure(stub.ListDatasets, datasets).metadata["field"] == field


def test_a_token_beyond_the_end_is_refused(dataset, stub):
    token = token_of(f"{dataset.name}/verdicts", 999_999)
    verdicts = filter_pb2.ListVerdictsRequest(parent=dataset.name, page_token=token)
    assert failure(stub.ListVerdicts, verdicts).reason == "PAGE_TOKEN_INVALID"


def test_a_dataset_is_deleted(channel, stub):
    made = finish(channel, stub.CreateDataset(request("gone"), timeout=20))
    stub.DeleteDataset(filter_pb2.DeleteDatasetRequest(name=made.name), timeout=20)
    error = failure(stub.GetDataset, filter_pb2.GetDatasetRequest(name=made.name))
    assert isinstance(error, NotFound)


def test_marks_become_a_profile_that_makes_a_dataset(dataset, channel, stub):
    said = {"flower.png": True, "coffee.png": True, "camera.png": False, "tiny.png": False}
    asked = filter_pb2.TuneProfileRequest(
        collection=dataset.collection,
        marks=[filter_pb2.Mark(image=name, keep=keep) for name, keep in said.items()],
        resolution=128,
        request_id=str(uuid.uuid4()),
    )
    first, again = (stub.TuneProfile(asked, timeout=20) for _ in range(2))
    assert first.name == again.name
    proposal = finish(channel, first, filter_pb2.TuneProfileResponse)
    assert (proposal.keep_count, proposal.reject_count) == (2, 2)
    assert proposal.fitted.f1.value == 1
    assert {check.check for check in proposal.checks} >= {"sharpness", "grayscale", "resolution"}
    assert any("mark at least 20" in sentence for sentence in proposal.advice)
    made = finish(
        channel,
        stub.CreateDataset(request("tuned", thresholds=proposal.thresholds), timeout=20),
    )
    assert made.kept_count == proposal.kept_after_count == 2


def test_marks_that_cannot_be_used(dataset, channel, stub):
    def tuned(*marks, collection=dataset.collection, **fields):
        asked = filter_pb2.TuneProfileRequest(collection=collection, marks=marks, **fields)
        return stub.TuneProfile(asked, timeout=20)

    one = filter_pb2.Mark(image="flower.png", keep=True)
    with pytest.raises(FailedPrecondition, match=r"The only mark of a photo .* keep"):
        finish(channel, tuned(one), filter_pb2.TuneProfileResponse)
    with pytest.raises(grpc.RpcError) as caught:
        tuned(one, precision=2)
    assert from_rpc_error(caught.value).metadata["field"] == "precision"
    with pytest.raises(grpc.RpcError) as caught:
        tuned(one, collection="collections/none")
    assert isinstance(from_rpc_error(caught.value), NotFound)


def test_the_same_command_again_joins_the_work(tmp_path, add_collection, small_photos):
    """As after Ctrl-C: the work is in the store, and each command has a request id of its own."""

    def asked(**fields):
        return request("joined", request_id=str(uuid.uuid4()), **fields)

    folder = str(tmp_path)
    add_collection(open_store(folder), "photos", small_photos)
    resting = Settings(store=folder, address="127.0.0.1:0", workers=1, run_operations=False)
    first, again, other = asked(), asked(), asked(seed=9)
    with (
        BackgroundServer({"filter": register}, resting) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = filter_pb2_grpc.FilterServiceStub(channel)
        name = stub.CreateDataset(first, timeout=20).name
        assert stub.CreateDataset(again, timeout=20).name == name
        assert failure(stub.CreateDataset, other).reason == "DATASET_IN_PROGRESS"
        cancel = operations_pb2.CancelOperationRequest(name=name)
        operations_pb2_grpc.OperationsStub(channel).CancelOperation(cancel, timeout=20)
        third = stub.CreateDataset(asked(), timeout=20)
        assert third.name != name, "what was told to stop is not waited for"
        # Its own id still stands for what it was answered with.
        assert stub.CreateDataset(again, timeout=20).name == name
