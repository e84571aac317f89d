"""Clusters for tests, and a loud word where this machine cannot have them.

`make test-cluster` runs these; `make test` does not: they build Kubernetes and images first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

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

from tools.image_layout import Layout

_MISSING = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs a Kubernetes cluster (make test-cluster)")
    config.stash[_MISSING] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
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


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Path:
    """Kubernetes' programs."""
    need(request, "none")
    return build_programs()


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
    return build_images()


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, programs: Path) -> Iterator[Cluster]:
    """A cluster with a real kubelet, on which Tagloom's images lie; one for all tests.

    TAGLOOM_CLUSTER_DIR names one that runs already, which is left as it is at the end.
    """
    if folder := os.environ.get("TAGLOOM_CLUSTER_DIR"):
        yield Cluster(Path(folder), programs, "kubelet")
        return
    store = load_images(programs, request.getfixturevalue("images"))
    with running("kubelet", programs, image_store=store, gpus=2) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def installed(node: Cluster) -> Installed:
    """Tagloom on that cluster, from the single-node overlay."""
    return install(node)
