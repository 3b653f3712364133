"""An index that grows keeps few segments, is trained anew beside publishes, and finds what is there, once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pytest

from penstock.domain.index import IndexSpec, Metric
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.index import build, mapping, optimize, segment_commit
from penstock.engines.lance.index.segments import MAX_APPENDED, MAX_SEGMENTS
from penstock.engines.values import SearchRequest, Table
from penstock.errors import StorageConflict, TaskCancelled
from tests.engines.test_write_modes import UPSERT, publish
from tests.support.exact_search import ids
from tests.support.tables import import_rows, new_table, plain, plain_batch

DIM, ROWS = 16, 1_000
VECTOR = IndexSpec(name="v", field_name="vector", metric=Metric.L2)
NUMBER = IndexSpec(name="n", field_name="number", type="STL_SORT")


@pytest.fixture(autouse=True)
def small_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds from which on indexes are built and extended, so that a thousand rows are an import to index."""
    monkeypatch.setattr(mapping, "LEAST_VECTOR_BYTES", 1)
    monkeypatch.setattr(mapping, "PARTITION_ROWS", 128)
    monkeypatch.setattr(mapping, "LEAST_SCALAR_ROWS", 1)
    monkeypatch.setattr(build, "MAX_UNINDEXED_ROWS", 0)
    monkeypatch.setattr(optimize, "_POLL_SECONDS", 0.01)


@dataclass
class Growing:
    """A table that grows by imports of clustered rows, with ids from 0 on."""

    engine: LanceEngine
    home: Path
    table: Table
    rows: npt.NDArray[np.float32]
    specs: Sequence[IndexSpec] = field(default=(VECTOR,))

    @classmethod
    def of(cls, engine: LanceEngine, folder: Path) -> Growing:
        table = new_table(engine, plain(DIM))
        return cls(engine, folder / "store" / f"{table.id}.lance", table, np.empty((0, DIM), np.float32))

    def imported(self, rows: int = ROWS) -> None:
        rng = np.random.default_rng(len(self.rows))
        centres = np.random.default_rng(0).normal(size=(50, DIM)) * 3
        new = (centres[rng.integers(0, 50, rows)] + rng.normal(size=(rows, DIM))).astype(np.float32)
        batch = plain_batch(new, len(self.rows), schema=self.table.schema)
        self.table, _ = import_rows(self.engine, self.table, batch)
        self.rows = np.concatenate([self.rows, new])

    def indexed(self) -> None:
        self.table = replace(self.table, version=self.engine.index(self.table, self.specs))

    def optimized(self, committed: Callable[[int], None] = lambda version: None) -> None:
        self.table = replace(self.table, version=self.engine.optimize(self.table, self.specs, committed))

    @property
    def is_due(self) -> bool:
        return self.engine.due(self.table, self.specs).optimization

    def segments(self, column: str = "vector") -> list[Any]:
        indexes = {index.name: index for index in lance.dataset(str(self.home)).describe_indices()}
        return list(indexes[f"{column}.index"].segments)

    @property
    def units(self) -> list[int]:
        """How many segments each of the units of the vector index has."""
        return [len(unit) for unit in build.existing_indexes(lance.dataset(str(self.home)))["vector.index"].units]

    def folders(self) -> set[str]:
        return {path.name for path in (self.home / "_indices").iterdir()}

    def expect_all_found(self) -> None:
        """Every row is in one segment, and is found, once, among its true neighbours."""
        fragments = [id_ for segment in self.segments() for id_ in segment.fragment_ids]
        assert len(fragments) == len(set(fragments))
        assert self.engine.indexed_rows(self.table, self.specs[0]) == self.engine.count(self.table) == len(self.rows)
        places = np.random.default_rng(1).choice(len(self.rows), 40)
        request = SearchRequest(field_name="vector", queries=self.rows[places], metric=Metric.L2, limit=10)
        shares = []
        for place, hits in zip(places, self.engine.search(self.table, request), strict=True):
            nearest = np.argsort(((self.rows - self.rows[place]) ** 2).sum(axis=1))[:10]
            assert len(set(ids(hits))) == 10
            shares.append(len(set(nearest.tolist()) & set(ids(hits))) / 10)
        assert np.mean(shares) >= 0.95


@pytest.fixture
def growing(lance_on_a_disk: LanceEngine, tmp_path: Path) -> Growing:
    return Growing.of(lance_on_a_disk, tmp_path)


def test_segments_stay_few_while_rows_arrive(growing: Growing) -> None:
    growing.specs = [VECTOR, NUMBER]
    trainings = 0
    for _ in range(14):
        growing.imported()
        growing.indexed()
        if growing.is_due:
            growing.optimized()
            trainings += len(growing.segments()) == 1
        assert not growing.is_due
        assert len(growing.segments()) <= 1 + MAX_APPENDED
        assert len(growing.segments("number")) <= MAX_APPENDED
    assert trainings == 3  # at 2,000, 4,000 and 8,000 rows
    growing.expect_all_found()


def test_segments_stay_few_where_the_background_lags_behind(growing: Growing) -> None:
    for _ in range(8):
        growing.imported()
        growing.indexed()
        assert growing.is_due == (len(growing.rows) > ROWS)
        assert len(growing.segments()) <= 1 + MAX_APPENDED
    growing.expect_all_found()
    growing.optimized()
    assert len(growing.segments()) == 1
    growing.expect_all_found()


def test_an_extension_takes_the_memory_of_its_rows_and_a_training_that_of_all(growing: Growing) -> None:
    def memory() -> int:
        return growing.engine.due(growing.table, growing.specs).memory

    growing.imported()
    whole = memory()
    growing.indexed()
    assert memory() == 0
    growing.imported(100)
    assert 0 < memory() < whole
    growing.imported(2_000)
    assert memory() > whole


def while_training(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Run ``action`` within each training, after the segment is written and before it is committed."""
    built = optimize._build_segment

    def slowly(*args: Any) -> Any:
        segment = built(*args)
        action()
        return segment

    monkeypatch.setattr(optimize, "_build_segment", slowly)


def test_imports_are_indexed_while_an_index_is_trained(growing: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    """No job waits for a training: its rows are added to the old index, and the new one takes its place beside."""
    for _ in range(2):
        growing.imported()
        growing.indexed()
    versions: list[int] = []
    most = 0

    def import_and_wait() -> None:
        nonlocal most
        for _ in range(5):
            growing.imported()
            while growing.engine.due(growing.table, growing.specs).index:
                pass
            most = max(most, len(growing.segments()))

    while_training(monkeypatch, import_and_wait)
    growing.optimized(versions.append)
    assert most <= MAX_SEGMENTS
    assert versions == sorted(versions)
    assert len(set(versions)) > 5
    # What came meanwhile, 5,000 rows as one segment of the old partitions, stands before the 2,000 trained ones.
    stats = lance.dataset(str(growing.home)).stats.index_stats("vector.index")["segments"]
    assert [segment["num_partitions"] for segment in stats] == [1000 // 128, 2000 // 128]
    growing.expect_all_found()


def test_rows_that_arrived_before_a_training_began_are_not_kept_waiting(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a job that published while the task of the training waited for a worker."""
    for _ in range(2):
        growing.imported()
        growing.indexed()
    growing.imported()
    waited = threading.Event()

    def wait_for_rows() -> None:
        for _ in range(1_000):
            if not growing.engine.due(growing.table, growing.specs).index:
                waited.set()
                return
            time.sleep(0.01)

    while_training(monkeypatch, wait_for_rows)
    growing.optimized()
    assert waited.is_set()
    assert growing.units == [1, 1]
    growing.expect_all_found()


def test_what_was_imported_meanwhile_never_stands_in_the_way(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments with old partitions are not merged with new ones, and go with the next training."""
    for _ in range(2):
        growing.imported()
        growing.indexed()
    with monkeypatch.context() as patch:
        while_training(patch, growing.imported)
        growing.optimized()
    growing.indexed()
    for _ in range(3):
        growing.imported(300)
        growing.indexed()
        growing.engine.optimize(growing.table, growing.specs)
        growing.expect_all_found()
    growing.imported(3_000)
    growing.indexed()
    growing.optimized()
    assert len(growing.segments()) == 1
    growing.expect_all_found()


def test_rows_replaced_while_an_index_is_trained_stay_replaced(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        growing.imported()
        growing.indexed()
    moved = growing.rows[:ROWS] + np.float32(0.5)

    def upsert() -> None:
        growing.table, _ = publish(
            growing.engine, growing.table, 77, UPSERT, plain_batch(moved, 0, schema=growing.table.schema)
        )
        growing.rows = np.concatenate([moved, growing.rows[ROWS:]])

    while_training(monkeypatch, upsert)
    growing.optimized()
    growing.indexed()
    growing.expect_all_found()


def test_a_training_gives_way_to_another_change_of_its_index(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process may make that took over after a stall. Nothing is left behind, and the next one succeeds."""
    for _ in range(2):
        growing.imported()
        growing.indexed()

    def rebuild() -> None:
        growing.engine.index(growing.table, [replace(VECTOR, metric=Metric.IP)])

    with monkeypatch.context() as patch:
        while_training(patch, rebuild)
        with pytest.raises(StorageConflict, match="trained again later"):
            growing.optimized()
    assert growing.engine.orphans(growing.table, [], -60.0) is None
    growing.indexed()
    assert not growing.is_due
    growing.expect_all_found()


def test_a_training_that_is_cancelled_changes_nothing(growing: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        growing.imported()
        growing.indexed()
    before, folders = [segment.uuid for segment in growing.segments()], growing.folders()

    trains = threading.Event()

    def cancel(version: int) -> None:
        if trains.is_set():
            raise TaskCancelled("the server is stopping")

    def wait() -> None:
        trains.set()
        time.sleep(0.1)

    while_training(monkeypatch, wait)
    with pytest.raises(TaskCancelled):
        growing.optimized(cancel)
    assert [segment.uuid for segment in growing.segments()] == before
    assert growing.folders() == folders
    growing.expect_all_found()


@pytest.mark.parametrize("kind", ["IVF_FLAT", "IVF_PQ", "IVF_RABITQ", "HNSW_SQ"])
def test_indexes_of_every_kind_grow(growing: Growing, kind: str) -> None:
    growing.specs = [replace(VECTOR, type=kind, params={"m": 8})]
    for _ in range(6):
        growing.imported()
        growing.indexed()
        if growing.is_due:
            growing.optimized()
        assert len(growing.segments()) <= 1 + MAX_APPENDED
    assert growing.engine.indexed_rows(growing.table, growing.specs[0]) == len(growing.rows)
    request = SearchRequest(field_name="vector", queries=growing.rows[[3, 4_500]], metric=Metric.L2, limit=50)
    found = [ids(hits) for hits in growing.engine.search(growing.table, request)]
    assert 3 in found[0]
    assert 4_500 in found[1]


def optimize_and_die(root: str, table: Table, place: str) -> None:
    """In a process of its own: train an index, and die at the call of a function."""
    mapping.LEAST_VECTOR_BYTES, mapping.PARTITION_ROWS, build.MAX_UNINDEXED_ROWS = 1, 128, 0

    def die(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(optimize if place == "put_in_place" else segment_commit, place, die)
    LanceEngine(root).optimize(table, [VECTOR])


@pytest.mark.parametrize("place", ["put_in_place", "durable_indexes"])
def test_a_process_that_is_killed_leaves_a_whole_index(growing: Growing, place: str) -> None:
    """Before the commit there are orphan files and the training is due again; after it the probes are measured."""
    for _ in range(2):
        growing.imported()
        growing.indexed()
    arguments = (str(growing.home.parent), growing.table, place)
    process = multiprocessing.get_context("spawn").Process(target=optimize_and_die, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert growing.is_due
    assert len(growing.segments()) == (2 if place == "put_in_place" else 1)
    growing.expect_all_found()
    orphans = growing.engine.orphans(growing.table, [], -60.0)
    assert (orphans is not None) == (place == "put_in_place")
    growing.optimized()
    assert not growing.is_due
    assert len(growing.segments()) == 1
    growing.expect_all_found()


def test_an_index_is_trained_anew_in_an_object_store(lance_on_s3: LanceEngine, tmp_path: Path) -> None:
    growing = Growing.of(lance_on_s3, tmp_path)
    for _ in range(2):
        growing.imported()
        growing.indexed()
    assert growing.is_due
    growing.optimized()
    assert not growing.is_due
    assert growing.engine.built_rows(growing.table, VECTOR) == len(growing.rows)
    request = SearchRequest(field_name="vector", queries=growing.rows[[3, 1_500]], metric=Metric.L2, limit=1)
    assert [ids(hits) for hits in growing.engine.search(growing.table, request)] == [[3], [1_500]]


def test_an_import_of_more_rows_than_all_before_is_trained_for(growing: Growing) -> None:
    """Its rows are appended to the index, and are more than the partitions are made for."""
    growing.imported()
    growing.indexed()
    growing.imported(4 * ROWS)
    growing.indexed()
    assert growing.is_due
    growing.optimized()
    assert len(growing.segments()) == 1
    stats = lance.dataset(str(growing.home)).stats.index_stats("vector.index")["segments"]
    assert [segment["num_partitions"] for segment in stats] == [5 * ROWS // 128]
    assert not growing.is_due
    growing.expect_all_found()
