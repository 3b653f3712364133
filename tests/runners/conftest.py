"""Runners to test: every one that there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.runners.base import Runner
from penstock.runners.local import LocalRunner
from penstock.runners.ray import RayRunner
from tests.support.ray_cluster import RayCluster


@pytest.fixture(scope="session")
def ray_runner(ray_nodes: RayCluster) -> Iterator[RayRunner]:
    """What doesn't stop within two seconds is ended by force."""
    remote = RayRunner(ray_nodes.address, grace=2.0)
    remote.warm()
    yield remote
    remote.close()


@pytest.fixture(scope="module")
def local_runner() -> Iterator[LocalRunner]:
    local = LocalRunner(2)
    local.warm()
    yield local
    local.close()


@pytest.fixture(params=["local", "ray"])
def runner(request: pytest.FixtureRequest) -> Runner:
    """Each runner with two slots, in turn."""
    found: Runner = request.getfixturevalue(f"{request.param}_runner")
    return found
