"""What a request gives, and that nothing around it changes a bit of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numba
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.generator import rendering, worker
from services.generator.appearance import (
    AS_IT_IS,
    Rendering,
    check_layers,
    check_rendering,
    layer_count,
)
from services.generator.points import (
    Mixed,
    Order,
    Point,
    closed_path,
    mixed_points,
    seed_points,
)
from services.generator.rendering import Renderer, RendererCache
from tagloom.artifacts import layout
from tagloom.errors import DataLoss, FailedPrecondition, InvalidArgument, TagloomError
from tagloom.networks.build import build_from_spec
from tagloom.networks.catalog import open_network
from tagloom.networks.spec import generator_spec_from_json
from tagloom.networks.weights import load_into
from tagloom.store import Store

NETWORKS = ["networks/t", "networks/two", "networks/classes"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two busy-waiting pools on two cores that others use too take many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(scope="module")
def renderers(network_store: Store) -> dict[str, Renderer]:
    return load_all(network_store, "float32")


@pytest.fixture(scope="module")
def fast_renderers(network_store: Store) -> dict[str, Renderer]:
    return load_all(network_store, "bfloat16")


def load_all(store: Store, precision: str) -> dict[str, Renderer]:
    return {
        name: rendering.load(store, open_network(store, name), "cpu", precision)
        for name in NETWORKS
    }


def order(seed: int, psi: float = 1.0, format: str = "npy") -> Order:
    return Order(Point((seed,), (1.0,)), psi, format)  # type: ignore[arg-type]


def one(results: list[bytes | TagloomError]) -> bytes:
    (result,) = results
    assert isinstance(result, bytes)
    return result


def array(data: bytes | TagloomError) -> npt.NDArray[np.float32]:
    assert isinstance(data, bytes)
    loaded: npt.NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    return loaded


@pytest.mark.parametrize("name", NETWORKS)
def test_the_image_of_a_seed_is_the_networks(
    network_store: Store, renderers: dict[str, Renderer], name: str
) -> None:
    """Against the definition: z of numpy.random.RandomState, the network called as it is."""
    entry = open_network(network_store, name)
    spec = generator_spec_from_json(entry.network.generator)
    generator = build_from_spec(spec).eval()
    load_into(generator, entry.load(network_store, ["G_ema"])["G_ema"])
    for seed, psi in ((0, 1.0), (5, 0.7), (2**32 - 1, 0.0), (3, -0.5)):
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, 16)).float()
        label = torch.eye(3)[[seed % 3]] if spec.c_dim else None
        with torch.inference_mode():
            expected = generator(z, label, truncation_psi=psi).numpy()
        image = array(one(renderers[name].render([order(seed, psi)])))
        assert image.shape == expected.shape == (1, 3, spec.resolution, spec.resolution)
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, expected, atol=2e-5)


RENDERINGS = {
    "networks/t": [
        AS_IT_IS,
        Rendering(translate=(0.25, -0.1), rotate=30),
        Rendering(truncation_cutoff=4),
    ],
    "networks/two": [AS_IT_IS, Rendering(noise_mode="none"), Rendering(noise_mode="random")],
    "networks/classes": [AS_IT_IS, Rendering(class_label=1), Rendering(class_label=2)],
}


@st.composite
def orders_of_a_network(draw: st.DrawFn) -> tuple[str, list[Order]]:
    """A network, and orders of any kind for it, in any order, with repetitions."""
    name = draw(st.sampled_from(NETWORKS))
    points = [*seed_points([0, 1]), *mixed_points([0], [2], [1, 2])]
    one_order = st.builds(
        Order,
        st.sampled_from(points),
        st.sampled_from([1.0, 0.7]),
        st.sampled_from(["png", "npy"]),
        st.sampled_from(RENDERINGS[name]),
    )
    return name, draw(st.lists(one_order, min_size=2, max_size=6))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=orders_of_a_network())
def test_an_image_is_the_same_to_the_bit_whatever_it_is_rendered_with(
    renderers: dict[str, Renderer], drawn: tuple[str, list[Order]]
) -> None:
    name, orders = drawn
    together = renderers[name].render(orders)
    alone = {item: one(renderers[name].render([item])) for item in set(orders)}
    assert together == [alone[item] for item in orders]


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_is_close_and_the_same_to_the_bit_whatever_it_is_rendered_with(
    renderers: dict[str, Renderer], fast_renderers: dict[str, Renderer], name: str
) -> None:
    orders = [order(seed) for seed in range(6)]
    exact = np.stack([array(data) for data in renderers[name].render(orders)])
    together = fast_renderers[name].render(orders)
    assert together == [one(fast_renderers[name].render([item])) for item in orders]
    error = np.abs(np.stack([array(data) for data in together]) - exact).max()
    assert 1e-5 < error / np.abs(exact).max() < 0.05


@pytest.mark.parametrize("name", ["networks/t", "networks/two"])
def test_raw_forwards_of_different_batch_shapes_agree(network_store: Store, name: str) -> None:
    """Unpadded, only the last bits of a seed's image depend on the others of its batch."""
    generator = open_network(network_store, name).load_generator(network_store)
    z = torch.from_numpy(np.random.RandomState(0).randn(5, 16)).float()
    with torch.inference_mode():
        together = generator(z, None)
        for rows in (slice(0, 1), slice(1, 3), slice(0, 4)):
            part = generator(z[rows], None)
            scale = float(together.abs().max())
            assert float((part - together[rows]).abs().max()) <= 1e-5 * scale


def test_every_way_to_render_is_the_networks_own(
    network_store: Store, renderers: dict[str, Renderer]
) -> None:
    """Against the definition: the network called with the same settings."""

    def network(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
        generator = open_network(network_store, name).load_generator(network_store)
        return generator, torch.from_numpy(np.random.RandomState(4).randn(1, 16)).float()

    def made(
        name: str, how: Rendering, psi: float = 1.0, mixed: Mixed | None = None
    ) -> torch.Tensor:
        item = Order(Point((4,), (1.0,), mixed), psi, "npy", how)
        return torch.from_numpy(array(one(renderers[name].render([item]))))

    def check(image: torch.Tensor, expected: torch.Tensor) -> None:
        assert float((image - expected).abs().max()) < 2e-5

    with torch.inference_mode():
        generator, z = network("networks/t")
        cut = generator(z, None, truncation_psi=0.5, truncation_cutoff=3)
        check(made("networks/t", Rendering(truncation_cutoff=3), 0.5), cut)
        other = torch.from_numpy(np.random.RandomState(9).randn(1, 16)).float()
        ws = generator.get_submodule("mapping")(z, None)
        ws[:, [0, 5]] = generator.get_submodule("mapping")(other, None)[:, [0, 5]]
        expected = generator.get_submodule("synthesis")(ws)
        check(made("networks/t", AS_IT_IS, mixed=Mixed(9, (0, 5))), expected)
        # Four pixels to the right; a quarter turn anticlockwise: what was on the right is on top.
        upright = made("networks/t", AS_IT_IS)
        moved = made("networks/t", Rendering(translate=(0.25, 0)))
        near, far = (moved[..., 6:-2] - upright[..., 2:-6]), moved - upright
        assert float(near.abs().mean()) < 0.1 * float(far.abs().mean())
        turned = made("networks/t", Rendering(rotate=90))
        near, far = (turned - upright.rot90(turns, (2, 3)) for turns in (1, -1))
        assert float(near.abs().mean()) < float(far.abs().mean())

        generator, z = network("networks/two")
        silent = generator(z, None, noise_mode="none")
        check(made("networks/two", Rendering(noise_mode="none")), silent)
        generator, z = network("networks/classes")
        second = generator(z, torch.eye(3)[[2]])
        check(made("networks/classes", Rendering(class_label=2)), second)


def test_what_a_network_cannot_do_is_refused(network_store: Store) -> None:
    specs = {name: open_network(network_store, name).generator_spec for name in NETWORKS}
    for name, generator_spec in specs.items():
        entry = open_network(network_store, name)
        network = entry.load_generator(network_store)
        assert layer_count(generator_spec) == network.num_ws
    wrong = {
        "networks/t": [Rendering(noise_mode="none"), Rendering(class_label=0),
                       Rendering(rotate=float("nan")), Rendering(truncation_cutoff=99)],
        "networks/two": [Rendering(rotate=5), Rendering(translate=(0.1, 0.0))],
        "networks/classes": [Rendering(class_label=3)],
    }  # fmt: skip
    for name, renderings in wrong.items():
        for how in renderings:
            with pytest.raises(InvalidArgument) as caught:
                check_rendering(how, specs[name], name)
            assert caught.value.reason == "RENDERING_INVALID"
        for how in RENDERINGS[name]:
            check_rendering(how, specs[name], name)
    with pytest.raises(InvalidArgument, match="Layer 16 cannot be mixed"):
        check_layers([0, 16], specs["networks/t"], "networks/t")
    for others, layers in (([], [1]), ([1], []), (range(200), [1])):
        with pytest.raises(InvalidArgument):
            mixed_points(range(100), others, layers)


def test_mixed_orders_do_not_touch_each_other(renderers: dict[str, Renderer]) -> None:
    mixed = [order(1), order(1, 0.5), order(1, format="png"), *map_path([1, 2, 3], 4)]
    together = renderers["networks/t"].render(mixed)
    assert together == [one(renderers["networks/t"].render([item])) for item in mixed]
    assert len(set(map(bytes, filter(None, together)))) == len(together)  # type: ignore[arg-type]


def map_path(seeds: list[int], frames: int) -> list[Order]:
    return [Order(point, 1.0, "npy") for point in closed_path(seeds, frames)][1:4]


def test_a_second_load_gives_the_same_bits(
    network_store: Store, renderers: dict[str, Renderer]
) -> None:
    entry = open_network(network_store, "networks/t")
    again = rendering.load(network_store, entry, "cpu")
    orders = [order(seed) for seed in range(4)]
    assert again.render(orders) == renderers["networks/t"].render(orders)


def test_png_is_the_rounded_array(renderers: dict[str, Renderer]) -> None:
    for name in NETWORKS:
        image = array(one(renderers[name].render([order(3)])))
        png = one(renderers[name].render([order(3, format="png")]))
        with Image.open(io.BytesIO(png)) as opened:
            assert opened.format == "PNG"
            pixels = np.asarray(opened)
        scaled = image[0].transpose(1, 2, 0).astype(np.float64) * 127.5 + 128
        assert pixels.shape == scaled.shape
        assert np.abs(pixels - np.clip(np.floor(scaled), 0, 255)).max() <= 1
        assert pixels.std() > 1  # a picture, not one colour


def test_frames_at_the_seeds_are_the_seeds_images(renderers: dict[str, Renderer]) -> None:
    seeds, frames = [4, 9, 2], 3
    path = [Order(point, 0.7, "png") for point in closed_path(seeds, frames)]
    made = renderers["networks/t"].render(path)
    assert made[::frames] == renderers["networks/t"].render(
        [Order(point, 0.7, "png") for point in seed_points(seeds)]
    )
    images = [array(data) for data in renderers["networks/t"].render(
        [Order(point, 0.7, "npy") for point in closed_path(seeds, 8)]
    )]  # fmt: skip
    steps = [
        float(np.abs(a - b).mean()) for a, b in zip(images, [*images[1:], images[0]], strict=True)
    ]
    assert min(steps) > 0
    assert max(steps) < 6 * np.median(steps)  # nowhere a jump, not at the seam either


def test_truncation_to_zero_is_one_image_for_all(renderers: dict[str, Renderer]) -> None:
    orders = [order(seed, 0.0) for seed in (1, 2)]
    first, second = renderers["networks/t"].render(orders)
    assert first == second


def test_a_diverged_network_spoils_its_own_images_only(
    store: Store, publish_network: Callable[..., None]
) -> None:
    publish_network(store, "bad", "stylegan2", resolution=16, broken=True)
    renderer = rendering.load(store, open_network(store, "networks/bad"), "cpu")
    (error,) = renderer.render([order(5)])
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "GENERATOR_DIVERGED"
    assert "seed 5" in error.message


def test_damaged_weights_are_not_rendered(
    store: Store, publish_network: Callable[..., None]
) -> None:
    publish_network(store, "n", "stylegan2", resolution=16)
    key = layout.network_weights("n")
    data = bytearray(store.get(key))
    data[-5] ^= 1
    store.put(key, bytes(data))
    with pytest.raises(DataLoss):
        worker.render(store.url, open_network(store, "networks/n"), [order(0)])


def test_networks_used_last_stay_loaded(renderers: dict[str, Renderer]) -> None:
    a, b, c = (renderers[name] for name in NETWORKS)
    loads: list[str] = []

    def loading(name: str, renderer: Renderer) -> Callable[[], Renderer]:
        def load() -> Renderer:
            loads.append(name)
            return renderer

        return load

    cache = RendererCache(most_bytes=a.bytes + max(b.bytes, c.bytes))
    for name, renderer in (("a", a), ("b", b), ("a", a), ("c", c), ("a", a), ("b", b)):
        assert cache.get(name, loading(name, renderer)) is renderer
    assert loads == ["a", "b", "c", "b"]  # c pushed b out, not a, and was pushed out by b
    tiny = RendererCache(most_bytes=0)
    assert tiny.get("a", loading("a", a)) is a  # the one asked for always fits
    assert tiny.bytes == a.bytes


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGLOOM_GENERATOR_DEVICE", "tpu")
    with pytest.raises(InvalidArgument, match="TAGLOOM_GENERATOR_DEVICE"):
        rendering.device_type()
    monkeypatch.setenv("TAGLOOM_GENERATOR_DEVICE", "cpu")
    assert rendering.device_type() == "cpu"
    monkeypatch.setenv("TAGLOOM_GENERATOR_CACHE_MIB", "-1")
    with pytest.raises(InvalidArgument, match="TAGLOOM_GENERATOR_CACHE_MIB"):
        worker.cache_bytes()
    monkeypatch.setenv("TAGLOOM_GENERATOR_CACHE_MIB", "10")
    assert worker.cache_bytes() == 10 * 2**20
    monkeypatch.setenv("TAGLOOM_GENERATOR_PRECISION", "float16")
    with pytest.raises(InvalidArgument, match="TAGLOOM_GENERATOR_PRECISION is 'float16'"):
        worker.precision()
    monkeypatch.delenv("TAGLOOM_GENERATOR_PRECISION")
    assert worker.precision() == "float32"
