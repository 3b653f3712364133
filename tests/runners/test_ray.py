"""What only the Ray runner does, on a real cluster of several nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from penstock.errors import InvalidParameter, TaskCancelled, WorkerLost
from penstock.runners.base import TaskContext
from penstock.runners.ray import RayRunner
from tests.runners.tasks import double, pid_of, wait_for_file
from tests.support.ray_cluster import RayCluster

LIMIT = 60


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.02)


def test_a_task_that_does_not_listen_is_ended_by_force(ray_runner: RayRunner, tmp_path: Path) -> None:
    handle = ray_runner.submit(wait_for_file, tmp_path / "never")
    until((tmp_path / "never.began").exists)
    handle.cancel()
    with pytest.raises(TaskCancelled):
        handle.future.result(LIMIT)


def test_a_task_that_waits_for_a_slot_is_cancelled_at_once(ray_runner: RayRunner, tmp_path: Path) -> None:
    running = [ray_runner.submit(wait_for_file, tmp_path / f"go-{index}") for index in range(2)]
    until(lambda: len(list(tmp_path.glob("*.began"))) == 2)
    waiting = ray_runner.submit(wait_for_file, tmp_path / "waiting")
    waiting.cancel()
    with pytest.raises(TaskCancelled):
        waiting.future.result(LIMIT)
    assert not (tmp_path / "waiting.began").exists()
    for index in range(2):
        (tmp_path / f"go-{index}").touch()
    assert len({each.future.result(LIMIT) for each in running}) == 2


@pytest.mark.slow
def test_a_node_that_comes_brings_slots_and_one_that_is_lost_costs_its_task_only(
    ray_nodes: RayCluster, ray_runner: RayRunner, tmp_path: Path
) -> None:
    number = ray_nodes.add_node()
    until(lambda: ray_runner.slots == 3)
    handles = [ray_runner.submit(wait_for_file, tmp_path / f"go-{index}") for index in range(3)]
    until(lambda: len(list(tmp_path.glob("*.began"))) == 3)
    ray_nodes.kill_node(number)
    until(lambda: any(handle.future.done() for handle in handles))
    until(lambda: ray_runner.slots == 2)
    for index in range(3):
        (tmp_path / f"go-{index}").touch()
    errors = [handle.future.exception(LIMIT) for handle in handles]
    assert [type(error) for error in errors if error is not None] == [WorkerLost]
    assert ray_runner.submit(double, 4).future.result(LIMIT) == 8


@dataclass(frozen=True)
class Entrusted:
    """Credentials, as tasks carry them."""

    secret: str


def keep(entrusted: Entrusted, context: TaskContext) -> int:
    return len(entrusted.secret)


def lose(entrusted: Entrusted, context: TaskContext) -> None:
    raise OSError("the store said no")


def test_what_tasks_carry_is_nowhere_in_what_ray_writes_down(ray_nodes: RayCluster, ray_runner: RayRunner) -> None:
    secret = "do-not-tell-6c1f"
    assert ray_runner.submit(keep, Entrusted(secret)).future.result(LIMIT) == len(secret)
    with pytest.raises(OSError, match="said no"):
        ray_runner.submit(lose, Entrusted(secret)).future.result(LIMIT)
    assert [path for path, text in ray_nodes.logs().items() if secret in text] == []


@pytest.mark.slow
def test_a_lost_driver_costs_what_it_had_in_hand_and_the_next_task_joins_again(
    ray_nodes: RayCluster, tmp_path: Path
) -> None:
    remote = RayRunner(ray_nodes.address)
    remote.warm()
    handle = remote.submit(wait_for_file, tmp_path / "never")
    until((tmp_path / "never.began").exists)
    driver = next(child for child in psutil.Process().children() if child.pid == remote.driver_pid)
    driver.kill()
    with pytest.raises(WorkerLost, match="is unavailable"):
        handle.future.result(LIMIT)
    assert remote.submit(double, 4).future.result(LIMIT) == 8
    assert remote.restarts == 1
    remote.close()


@pytest.mark.slow
def test_closing_leaves_the_cluster_and_its_workers_end(ray_nodes: RayCluster) -> None:
    remote = RayRunner(ray_nodes.address)
    worker = psutil.Process(remote.submit(pid_of, None).future.result(LIMIT))
    remote.close()
    until(lambda: not worker.is_running())
    with pytest.raises(TaskCancelled):
        remote.submit(double, 1)


def test_a_cluster_that_is_not_there_is_one_error_at_the_start_and_later_a_lost_task() -> None:
    remote = RayRunner("127.0.0.1:1")
    with pytest.raises(InvalidParameter, match=r"Ray cluster at 127\.0\.0\.1:1"):
        remote.warm()
    with pytest.raises(WorkerLost, match="is unavailable"):
        remote.submit(double, 1).future.result(LIMIT)
    remote.close()


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ""])
def test_other_addresses_are_refused_with_what_to_give_instead(address: str) -> None:
    with pytest.raises(InvalidParameter, match="HOST:PORT"):
        RayRunner(address)


@pytest.mark.slow
def test_a_host_with_another_version_is_named_at_the_start(ray_nodes: RayCluster, tmp_path: Path) -> None:
    installed = tmp_path / "penstock-9.9.9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: penstock\nVersion: 9.9.9\n")
    number = ray_nodes.add_node(python_path=tmp_path)
    remote = RayRunner(ray_nodes.address)
    try:
        with pytest.raises(InvalidParameter, match=r"the host \S+ has penstock 9\.9\.9, .* this server penstock 0"):
            remote.warm()
    finally:
        remote.close()
        ray_nodes.kill_node(number)
