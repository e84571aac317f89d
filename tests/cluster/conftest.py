"""Clusters for tests, and a loud word where this machine cannot have them.

`make test-cluster` runs these; `make test` does not: they build Kubernetes and images first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from installed import Installed, install
from live_cluster import (
    Cluster,
    Node,
    build_images,
    build_programs,
    lacking,
    load_images,
    running,
)
from quickstart import Quickstart, run_quickstart

from tools.image_layout import Layout

_MISSING = pytest.StashKey[dict[str, str]]()
_BUILDS = pytest.StashKey[dict[str, "Future[Any]"]]()
_TOOK = pytest.StashKey[dict[str, float]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs a Kubernetes cluster (make test-cluster)")
    config.stash[_MISSING], config.stash[_BUILDS], config.stash[_TOOK] = {}, {}, {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Begins to build what the chosen tests need, side by side: Go compiles, while images are
    mostly copied. A test waits for what it needs and no longer, and tells what failed."""
    wanted = {
        name
        for item in session.items
        if item.get_closest_marker("cluster")  # others have fixtures of the same names
        for name in getattr(item, "fixturenames", ())
    }
    if session.config.option.collectonly:
        return
    config, builds = session.config, session.config.stash[_BUILDS]
    pool = ThreadPoolExecutor(3)
    if wanted & {"programs"} and not lacking("none"):
        builds["programs"] = pool.submit(timed, config, "programs built", build_programs)
    if wanted & {"images", "node"} and not lacking("kubelet"):
        builds["images"] = pool.submit(timed, config, "images built", build_images)
    if "node" in wanted and {"programs", "images"} <= set(builds) and not _running_already():
        builds["image store"] = pool.submit(load_when_built, config)
    pool.shutdown(wait=False)


def load_when_built(config: pytest.Config) -> Path:
    """Has containerd unpack the images as soon as they are there."""
    builds = config.stash[_BUILDS]
    programs, layout = builds["programs"].result(), builds["images"].result()
    store: Path = timed(config, "images loaded", lambda: load_images(programs, layout))
    return store


def _running_already() -> str:
    """The folder of a kubelet's cluster to run the tests in."""
    return os.environ.get("TAGLOOM_CLUSTER_DIR", "")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for what, seconds in config.stash[_TOOK].items():
        terminalreporter.write_line(f"{what}: {seconds:.0f} s")
    for what, why in config.stash[_MISSING].items():
        terminalreporter.write_line(f"NOT RUN, {what}: {why}", red=True, bold=True)


def need(request: pytest.FixtureRequest, node: Node) -> None:
    """Skips loudly where there can be no such cluster; in CI that is a failure."""
    why = lacking(node)
    if why:
        what = "tests on a real kubelet" if node == "kubelet" else "tests on a control plane"
        request.config.stash[_MISSING][what] = why
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)


def timed(config: pytest.Config, what: str, work: Callable[[], Any]) -> Any:
    """Does it; how long that took is told at the end."""
    begin = time.monotonic()
    try:
        return work()
    finally:
        config.stash[_TOOK][what] = time.monotonic() - begin


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Path:
    """Kubernetes' programs, and others that the tests run."""
    need(request, "none")
    found: Path = request.config.stash[_BUILDS]["programs"].result()
    return found


@pytest.fixture(scope="module")
def control_plane(programs: Path) -> Iterator[Cluster]:
    """API server, scheduler and controllers with simulated nodes, one with 8 GPUs; new for each
    module."""
    with running("kwok", programs) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest) -> Layout:
    """Every image of Tagloom's, built."""
    need(request, "kubelet")
    found: Layout = request.config.stash[_BUILDS]["images"].result()
    return found


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, programs: Path) -> Iterator[Cluster]:
    """A cluster with a real kubelet, on which Tagloom's images lie; one for all tests.

    TAGLOOM_CLUSTER_DIR names one that runs already, which is left as it is at the end.
    """
    need(request, "kubelet")
    if folder := _running_already():
        yield Cluster(Path(folder), programs, "kubelet")
        return
    store = request.config.stash[_BUILDS]["image store"].result()
    with running("kubelet", programs, image_store=store, gpus=2) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest, node: Cluster) -> Installed:
    """Tagloom on that cluster, from the single-node overlay."""
    found: Installed = timed(request.config, "installed", lambda: install(node))
    return found


@pytest.fixture(scope="session")
def quickstart(
    request: pytest.FixtureRequest,
    installed: Installed,
    tmp_path_factory: pytest.TempPathFactory,
) -> Quickstart:
    """The quickstart experiment, done there."""
    folder = tmp_path_factory.mktemp("quickstart")
    found: Quickstart = timed(
        request.config, "quickstart done", lambda: run_quickstart(installed, folder)
    )
    return found
