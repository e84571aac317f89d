"""GeneratorService through a real server and its rendering process."""

from __future__ import annotations

import io
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from PIL import Image

from services.generator.service import register
from tagloom.client import Clients, Credentials, connect
from tagloom.errors import InvalidArgument, NotFound, TagloomError
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.settings import Settings
from tagloom.store import Store
from tagloom.v1 import generator_pb2

TIMEOUT_S = 600.0
"""generous: the rendering process imports torch and compiles kernels, maybe beside much else"""


@pytest.fixture(scope="module")
def server(network_store: Store) -> Iterator[BackgroundServer]:
    settings = Settings(
        store=network_store.url,
        address="127.0.0.1:0",
        metrics_address="127.0.0.1:0",
        grace_s=4.0,
        workers=1,
    )
    with BackgroundServer({"generator": register}, settings) as running:
        yield running


@pytest.fixture(scope="module")
def clients(server: BackgroundServer) -> Iterator[Clients]:
    with connect(server.address, Credentials()) as opened:
        yield opened


def images(clients: Clients, seeds: list[int], **fields: object) -> list[bytes]:
    request = generator_pb2.GenerateImagesRequest(
        network="networks/t",
        seeds=seeds,
        **fields,  # type: ignore[arg-type]
    )
    answers = list(clients.generator.GenerateImages(request, timeout=TIMEOUT_S))
    assert [answer.seed for answer in answers] == seeds
    return [answer.image for answer in answers]


def test_seeds_to_pictures(clients: Clients) -> None:
    pngs = images(clients, [0, 1, 2**32 - 1, 1])
    assert pngs[1] == pngs[3]
    assert len(set(pngs)) == 3
    for png in pngs:
        with Image.open(io.BytesIO(png)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("PNG", (16, 16), "RGB")
    arrays = images(clients, [0, 1], format=generator_pb2.IMAGE_FORMAT_NPY, truncation_psi=0.5)
    for data in arrays:
        array = np.load(io.BytesIO(data), allow_pickle=False)
        assert (array.shape, array.dtype) == ((1, 3, 16, 16), np.float32)
    assert images(clients, [0]) != images(clients, [0], truncation_psi=0.5)
    assert images(clients, [0]) == images(clients, [0], truncation_psi=1.0)


def test_mixed_styles_come_row_by_row(clients: Clients) -> None:
    request = generator_pb2.GenerateImagesRequest(
        network="networks/t",
        seeds=[0, 1],
        mixing={"seeds": [2, 0], "layers": range(16)},  # type: ignore[arg-type]
    )
    answers = list(clients.generator.GenerateImages(request, timeout=TIMEOUT_S))
    assert [(a.seed, a.mixed_seed) for a in answers] == [(0, 2), (0, 0), (1, 2), (1, 0)]
    # In all layers: the image of the other seed.
    assert [a.image for a in answers] == images(clients, [2, 0, 2, 0])


def test_concurrent_requests_get_the_images_that_they_get_alone(
    clients: Clients, server: BackgroundServer
) -> None:
    alone = {seed: images(clients, [seed])[0] for seed in range(6)}
    start = threading.Barrier(6)

    def ask(number: int) -> list[bytes]:
        start.wait(timeout=30)
        return images(clients, [(number + step) % 6 for step in range(5)])

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    for number, answer in enumerate(answers):
        assert answer == [alone[(number + step) % 6] for step in range(5)]
    # They did share batches: the six requests of one alone could not.
    assert server.server is not None
    address = f"http://127.0.0.1:{server.server.metrics_port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as metrics:
        lines = dict(line.rsplit(" ", 1) for line in metrics.read().decode().splitlines())
    rendered = float(lines["tagloom_generator_images_total"])
    assert rendered >= 36
    assert rendered > float(lines["tagloom_generator_batch_images_count"])
    assert float(lines["tagloom_generator_image_seconds_count"]) == rendered
    assert float(lines["tagloom_generator_waiting_images"]) == 0


def test_a_path(clients: Clients) -> None:
    request = generator_pb2.InterpolateImagesRequest(network="networks/t", seeds=[3, 1, 7])
    frames = list(clients.generator.InterpolateImages(request, timeout=TIMEOUT_S))
    assert [frame.frame for frame in frames] == list(range(24))
    assert [frames[n].image for n in (0, 8, 16)] == images(clients, [3, 1, 7])
    assert len({frame.image for frame in frames}) == 24


def test_wrong_requests(clients: Clients) -> None:
    generate, path = generator_pb2.GenerateImagesRequest, generator_pb2.InterpolateImagesRequest
    t = "networks/t"
    wrong: list[tuple[Callable[[], object], type[TagloomError], str]] = [
        (lambda: generate(network=t), InvalidArgument, "SEEDS_MISSING"),
        (lambda: generate(network=t, seeds=range(10_001)), InvalidArgument, "SEEDS_TOO_MANY"),
        (
            lambda: generate(network=t, seeds=[1], truncation_psi=2.5),
            InvalidArgument,
            "TRUNCATION_INVALID",
        ),
        (
            lambda: generate(network=t, seeds=[1], truncation_psi=float("nan")),
            InvalidArgument,
            "TRUNCATION_INVALID",
        ),
        (lambda: generate(network=t, seeds=[1], format=9), InvalidArgument, "FORMAT_UNKNOWN"),
        (lambda: generate(network="t", seeds=[1]), InvalidArgument, "INVALID_NAME"),
        (lambda: generate(network="networks/tt", seeds=[1]), NotFound, "NETWORK_NOT_FOUND"),
        (
            lambda: generate(network="runs/r/snapshots/000001.000", seeds=[1]),
            NotFound,
            "RESOURCE_NOT_FOUND",
        ),
        (
            lambda: generate(network=t, seeds=[1], rendering={"class_label": 0}),
            InvalidArgument,
            "RENDERING_INVALID",
        ),
        (
            lambda: generate(network=t, seeds=[1], rendering={"noise_mode": 7}),
            InvalidArgument,
            "RENDERING_INVALID",
        ),
        (
            lambda: generate(network=t, seeds=[1], mixing={"seeds": [1], "layers": [-1]}),
            InvalidArgument,
            "LAYERS_INVALID",
        ),
        (
            lambda: path(network="networks/two", seeds=[1, 2], rendering={"rotate_degrees": 1}),
            InvalidArgument,
            "RENDERING_INVALID",
        ),
        (lambda: path(network=t, seeds=[1]), InvalidArgument, "SEEDS_TOO_FEW"),
        (lambda: path(network=t, seeds=range(101)), InvalidArgument, "SEEDS_TOO_MANY"),
        (
            lambda: path(network=t, seeds=[1, 2], frames_per_seed=241),
            InvalidArgument,
            "FRAMES_INVALID",
        ),
    ]
    for make, error, reason in wrong:
        request = make()
        method = (
            clients.generator.GenerateImages
            if isinstance(request, generate)
            else clients.generator.InterpolateImages
        )
        with pytest.raises(error) as caught:
            list(method(request, timeout=TIMEOUT_S))  # type: ignore[arg-type]
        assert caught.value.reason == reason
    with pytest.raises(NotFound, match=r"networks/classes, .*networks/t, networks/two"):
        list(clients.generator.GenerateImages(generate(network="networks/x", seeds=[1])))


def test_networks(clients: Clients) -> None:
    network = clients.generator.GetNetwork(generator_pb2.GetNetworkRequest(name="networks/t"))
    assert (network.architecture, network.resolution) == ("stylegan3-t", 16)
    assert not network.has_discriminator
    names, token = [], ""
    while True:
        request = generator_pb2.ListNetworksRequest(page_size=1, page_token=token)
        page = clients.generator.ListNetworks(request)
        names += [network.name for network in page.networks]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(names)
    assert {"networks/classes", "networks/t", "networks/two"} <= set(names)
    for wrong, reason in (
        (generator_pb2.ListNetworksRequest(page_token="../"), "PAGE_TOKEN_INVALID"),
        (generator_pb2.ListNetworksRequest(page_size=-1), "PAGE_SIZE_INVALID"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            clients.generator.ListNetworks(wrong)
        assert caught.value.reason == reason


def test_a_client_that_goes_away_stops_its_order(clients: Clients) -> None:
    request = generator_pb2.GenerateImagesRequest(network="networks/t", seeds=range(10_000))
    answers = clients.generator.GenerateImages(request, timeout=TIMEOUT_S)
    assert next(answers).seed == 0
    answers.cancel()
    assert len(images(clients, [1])) == 1  # long before ten thousand are done


@pytest.mark.long  # a second process imports torch and compiles
def test_a_killed_rendering_process_costs_nothing(clients: Clients) -> None:
    seeds = list(range(12))
    expected = images(clients, seeds)
    request = generator_pb2.GenerateImagesRequest(network="networks/t", seeds=seeds)
    answers = clients.generator.GenerateImages(request, timeout=TIMEOUT_S)
    first = next(answers)
    (process,) = (
        child
        for child in psutil.Process().children(recursive=True)
        if any("worker_process" in part for part in child.cmdline())
    )
    process.kill()
    assert [first.image, *(answer.image for answer in answers)] == expected  # to the bit
