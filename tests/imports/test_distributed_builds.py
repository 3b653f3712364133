"""Several hosts build a large index: each task in a process of its own, of this machine or of a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.engines.lance.index import distributed
from penstock.errors import StorageError
from penstock.imports.distributed_builds import hosts_of
from penstock.runners.base import Runner, TaskContext, TaskHandle
from penstock.runners.local import LocalRunner
from penstock.runners.ray import RayRunner
from tests.runners.tasks import kill_self
from tests.support.growing_collections import GrowingCollection
from tests.support.ray_cluster import ray_cluster
from tests.support.worlds import World, a_world, job_settings

DIM, ROWS = 512, 8_750
"""Of each import: 17 MB, so that two are enough for an index."""

PARTITIONS, PARTITIONS_OF_FOUR = 17, 34
"""Of an index that is trained on two imports, and on four."""


class Hosts:
    """Another runner, as one of hosts with a processor each; keeps what was submitted, and may lose it."""

    def __init__(self, inner: Runner) -> None:
        self.inner = inner
        self.slots_per_task = 1
        self.submitted: list[str] = []
        self.lost: set[str] = set()
        """The functions whose next task is lost with its worker."""
        self.failing: set[str] = set()
        """Those of which a task fails once another one has ended."""
        self.held: set[str] = set()
        """Those whose next task begins when the file ``released`` is there."""
        self.released = Path()
        self._last: dict[str, TaskHandle[Any]] = {}

    @property
    def slots(self) -> int:
        return self.inner.slots

    def submit(self, function: Callable[[Any, TaskContext], Any], argument: Any) -> TaskHandle[Any]:
        name = function.__name__
        self.submitted.append(name)
        if name in self.lost:
            self.lost.remove(name)
            return self.inner.submit(kill_self, None)
        if name in self.failing and name in self._last:
            self.failing.remove(name)
            self._last[name].future.result()
            return self.inner.submit(fail, None)
        if name in self.held:
            self.held.remove(name)
            return self.inner.submit(run_held, Held(function, argument, self.released))
        handle = self._last[name] = self.inner.submit(function, argument)
        return handle

    def close(self) -> None:
        self.inner.close()


@dataclass(frozen=True)
class Held:
    """A task that waits for a file."""

    function: Callable[[Any, TaskContext], Any]
    argument: Any
    released: Path


def run_held(held: Held, context: TaskContext) -> Any:
    while not held.released.exists():
        time.sleep(0.02)
    return held.function(held.argument, context)


def load(_: object, context: TaskContext) -> None:
    """Load what this module imports: a new worker of Ray takes seconds for it, which jobs would wait for."""
    time.sleep(1)


def fail(_: object, context: TaskContext) -> None:
    raise StorageError("the store is not what it was")


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def workers(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Two processes of this machine, or two nodes of a cluster."""
    if request.param == "local":
        local = LocalRunner(2)
        local.warm()
        yield local
        local.close()
        return
    with ray_cluster(2) as cluster:
        remote = RayRunner(cluster.address, grace=2.0)
        remote.warm()
        assert hosts_of(remote) == 2
        for loading in [remote.submit(load, None) for _ in range(2)]:
            loading.future.result()
        yield remote
        remote.close()


@pytest.fixture
def hosts(workers: Runner, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.setattr(distributed, "LEAST_GROUP_BYTES", 1 << 20)
    return Hosts(workers)


@pytest.fixture
def world(tmp_path: Path, hosts: Hosts) -> Iterator[World]:
    settings = job_settings(retry_pause=0.01, maintenance_retry_pause=0.01)
    with a_world(tmp_path, hosts, settings) as made:
        yield made


class LargeCollection(GrowingCollection):
    """A collection of which two imports are enough for an index by several hosts."""

    def __init__(self, world: World) -> None:
        super().__init__(world, dim=DIM, rows=ROWS)

    def has_orphans(self) -> bool:
        """Whether there are trained partitions, or segments, that no version has."""
        return self.world.engine.orphans(self.table, [], -60.0) is not None


def test_hosts_index_a_group_of_rows_each_and_train_it_anew_together(world: World, hosts: Hosts) -> None:
    """The first build is waited for; the training, at twice the rows, is not. Both survive lost workers."""
    large = LargeCollection(world)
    large.imported()
    hosts.lost = {"train_partitions", "build_group"}
    large.imported()
    assert hosts.submitted.count("train_partitions") == 2
    assert hosts.submitted.count("build_group") == 3
    assert large.partitions == [PARTITIONS] * 2
    large.expect_all_found()
    assert not large.has_orphans()

    hosts.submitted.clear()
    hosts.lost = {"build_group"}
    for _ in range(2):
        large.imported()
    large.until_optimized()
    assert hosts.submitted.count("build_group") == 3
    assert large.partitions == [PARTITIONS_OF_FOUR] * 2
    large.expect_all_found()
    assert not large.has_orphans()


def test_no_job_waits_for_a_training_by_several_hosts(world: World, hosts: Hosts, tmp_path: Path) -> None:
    """Its rows are added to the old index, by a task beside those of the groups, and the old partitions."""
    large = LargeCollection(world)
    for _ in range(3):
        large.imported()
    hosts.held, hosts.released = {"build_group"}, tmp_path / "released"
    large.imported()
    large.world.until(lambda: not hosts.held)
    large.imported()
    assert large.is_training
    large.expect_all_found()
    assert large.has_orphans()
    hosts.released.touch()
    large.until_optimized()
    assert large.partitions == [PARTITIONS, *[PARTITIONS_OF_FOUR] * 2]
    large.expect_all_found()
    assert not large.has_orphans()


def test_a_build_whose_commit_is_lost_is_tried_again(world: World, hosts: Hosts) -> None:
    """It may have succeeded, so its files are left to the cleanup of orphan files."""
    large = LargeCollection(world)
    large.imported()
    hosts.lost = {"commit_groups"}
    large.imported()
    world.until(lambda: hosts.submitted.count("commit_groups") == 2)
    world.until(lambda: world.engine.built_rows(large.table, world.indexes.get(large.docs, "vector")) == 2 * ROWS)
    large.expect_all_found()
    assert large.has_orphans()


def test_a_build_that_fails_leaves_nothing(world: World, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group fails for good; another one, which had ended, is deleted."""
    large = LargeCollection(world)
    large.imported()
    hosts.failing = {"build_group"}
    large.imported()
    world.until(lambda: hosts.submitted.count("commit_groups") == 1)
    world.until(lambda: world.engine.built_rows(large.table, world.indexes.get(large.docs, "vector")) == 2 * ROWS)
    assert hosts.submitted.count("train_partitions") == 2
    large.expect_all_found()
    assert not large.has_orphans()


def test_one_host_builds_by_one_task(tmp_path: Path, hosts: Hosts) -> None:
    hosts.slots_per_task = 2
    with a_world(tmp_path, hosts) as world:
        large = LargeCollection(world)
        large.imported()
        large.imported()
        assert hosts.submitted.count("build_indexes") == 1
        assert "build_group" not in hosts.submitted
        assert large.partitions == [PARTITIONS]
        large.expect_all_found()
    assert not large.has_orphans()
