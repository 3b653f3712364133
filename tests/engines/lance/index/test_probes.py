"""Searches probe as many partitions as a measured recall needs: few where vectors form clusters, more where not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pytest

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.index import build, mapping, present_rows, probes
from penstock.engines.values import SearchRequest, Table
from penstock.errors import TaskCancelled
from tests.support.exact_search import exact, ids, nearest
from tests.support.tables import fixed_lists, import_rows, new_table, plain, plain_batch

DIM, ROWS, LIMIT = 32, 8_000, 10
VECTOR = IndexSpec(name="v", field_name="vector", metric=Metric.L2)


@pytest.fixture(autouse=True)
def small_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds from which on 8,000 rows have an index of 62 partitions, which searches use."""
    monkeypatch.setattr(mapping, "LEAST_VECTOR_BYTES", 1)
    monkeypatch.setattr(present_rows, "LEAST_VECTOR_BYTES", 1)
    monkeypatch.setattr(mapping, "PARTITION_ROWS", 128)
    monkeypatch.setattr(build, "MAX_UNINDEXED_ROWS", 0)


def latent(rows: int, seed: int, dimensions: int = 16) -> npt.NDArray[np.float32]:
    """Points of a space of fewer dimensions, spread evenly, with noise."""
    axes = np.random.default_rng(0).normal(size=(dimensions, DIM))
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rows, dimensions)) @ axes + rng.normal(size=(rows, DIM)) * 0.1
    return points.astype(np.float32)


def clustered(rows: int, seed: int) -> npt.NDArray[np.float32]:
    """Points around a few centres that are far from each other."""
    centres = np.random.default_rng(0).normal(size=(50, DIM)) * 20
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(0, 50, rows)] + rng.normal(size=(rows, DIM))).astype(np.float32)


def imported(engine: LanceEngine, column: Any, **vector: Any) -> Table:
    table = new_table(engine, plain(vector.pop("dim", DIM), **vector))
    table, _ = import_rows(engine, table, plain_batch(column, schema=table.schema))
    return table


def indexed(engine: LanceEngine, table: Table, spec: IndexSpec = VECTOR) -> Table:
    return replace(table, version=engine.index(table, [spec]))


def opened(folder: Path, table: Table) -> lance.LanceDataset:
    return lance.dataset(str(folder / "store" / f"{table.id}.lance"))


def recorded(folder: Path, table: Table) -> int | None:
    """The number of the table's index, if it was measured for its partitions."""
    dataset = opened(folder, table)
    entry = json.loads(dataset.config().get("penstock.probes.vector.index", "{}"))
    index = build.existing_indexes(dataset)["vector.index"]
    partitions = build.partitions_of(dataset, index)
    is_current = entry.get("trained") == [index.kind, index.metric, partitions]
    return int(entry["probes"]) if is_current else None


def recall(engine: LanceEngine, table: Table, rows: npt.NDArray[Any], queries: Any, **params: Any) -> float:
    request = SearchRequest(field_name="vector", queries=queries, metric=Metric.L2, limit=LIMIT, params=params)
    shares = [
        len(set(ids(hits)) & set(nearest(exact(rows, query, Metric.L2), Metric.L2, LIMIT))) / LIMIT
        for query, hits in zip(queries, engine.search(table, request), strict=True)
    ]
    return float(np.mean(shares))


def test_as_many_partitions_are_probed_as_queries_need_that_are_not_stored(
    lance_on_a_disk: LanceEngine, tmp_path: Path
) -> None:
    rows, queries = latent(ROWS, 1), latent(100, 2)
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, rows))
    number = recorded(tmp_path, table)
    assert number is not None
    assert probes.LEAST_PROBES < number < 62
    measured = recall(lance_on_a_disk, table, rows, queries)
    assert measured >= 0.975
    assert recall(lance_on_a_disk, table, rows, queries, nprobe=probes.LEAST_PROBES) < measured


def test_few_partitions_are_probed_where_vectors_form_clusters(lance_on_a_disk: LanceEngine, tmp_path: Path) -> None:
    rows = clustered(ROWS, 1)
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, rows))
    number = recorded(tmp_path, table)
    assert number is not None
    assert number < ROWS // 128 // 3
    assert recall(lance_on_a_disk, table, rows, clustered(100, 2)) >= 0.975


def test_a_number_is_measured_once_and_anew_when_the_index_is_trained(
    lance_on_a_disk: LanceEngine, tmp_path: Path
) -> None:
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, clustered(ROWS // 2, 1)))
    assert indexed(lance_on_a_disk, table).version == table.version
    assert not lance_on_a_disk.due(table, [VECTOR]).optimization
    before, entries = recorded(tmp_path, table), opened(tmp_path, table).config()
    rows = latent(ROWS, 1)
    table, _ = import_rows(lance_on_a_disk, table, plain_batch(rows, ROWS, schema=table.schema))
    table = indexed(lance_on_a_disk, table)
    assert opened(tmp_path, table).config() == entries, "a job waits for its rows to be added, and for nothing else"
    assert lance_on_a_disk.due(table, [VECTOR]).optimization
    versions: list[int] = []
    table = replace(table, version=lance_on_a_disk.optimize(table, [VECTOR], versions.append))
    assert versions[-1] == table.version
    after = recorded(tmp_path, table)
    assert before is not None
    assert after is not None
    assert after > before
    assert not lance_on_a_disk.due(table, [VECTOR]).optimization


def test_an_index_without_a_number_is_searched_and_measured_in_the_background(
    lance_on_a_disk: LanceEngine, tmp_path: Path
) -> None:
    """As one built by an older release, or by a process that was killed before it measured."""
    rows = latent(ROWS, 1)
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, rows))
    number = recorded(tmp_path, table)
    opened(tmp_path, table).delete_config_keys(["penstock.probes.vector.index"])
    assert recall(lance_on_a_disk, table, rows, latent(100, 2)) > 0.9
    assert lance_on_a_disk.due(table, [VECTOR]).optimization
    table = replace(table, version=lance_on_a_disk.optimize(table, [VECTOR]))
    assert recorded(tmp_path, table) == number
    assert not lance_on_a_disk.due(table, [VECTOR]).optimization


def test_two_hosts_that_measure_the_same_index_record_one_number(
    lance_on_a_disk: LanceEngine, tmp_path: Path
) -> None:
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, latent(ROWS, 1)))
    number = recorded(tmp_path, table)
    opened(tmp_path, table).delete_config_keys(["penstock.probes.vector.index"])
    searches = 0

    def another_host_measures(version: int) -> None:
        nonlocal searches
        searches += 1
        if searches == 5:
            table_there = replace(table, version=version)
            assert lance_on_a_disk.optimize(table_there, [VECTOR]) == version + 1

    version = lance_on_a_disk.optimize(table, [VECTOR], another_host_measures)
    assert searches > 5
    assert version == opened(tmp_path, table).version
    assert recorded(tmp_path, table) == number


def test_a_measurement_ends_when_its_task_is_cancelled(lance_on_a_disk: LanceEngine, tmp_path: Path) -> None:
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, latent(ROWS, 1)))
    opened(tmp_path, table).delete_config_keys(["penstock.probes.vector.index"])
    searches: list[int] = []

    def cancel(version: int) -> None:
        searches.append(version)
        if len(searches) == 5:
            raise TaskCancelled("the server stops")

    with pytest.raises(TaskCancelled):
        lance_on_a_disk.optimize(table, [VECTOR], cancel)
    assert recorded(tmp_path, table) is None


def test_equal_vectors_are_as_near_as_each_other(lance_on_a_disk: LanceEngine, tmp_path: Path) -> None:
    """Any of them answers the query, so that more partitions would find nothing nearer."""
    rows = np.repeat(clustered(40, 1), ROWS // 40, axis=0)
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, rows))
    assert recorded(tmp_path, table) == probes.LEAST_PROBES


@pytest.mark.parametrize(
    ("vector", "metric"),
    [
        ({"type": DataType.BINARY_VECTOR, "dim": 64}, Metric.HAMMING),
        ({"nullable": True}, Metric.COSINE),
        ({"type": DataType.FLOAT16_VECTOR}, Metric.IP),
        ({"type": DataType.INT8_VECTOR}, Metric.L2),
        ({}, Metric.COSINE),
    ],
)
def test_every_kind_of_vectors_is_measured(
    lance_on_a_disk: LanceEngine, tmp_path: Path, vector: dict[str, Any], metric: Metric
) -> None:
    """With nulls, and with zeros, which have no direction."""
    rows = latent(ROWS, 1)
    column: Any = rows
    match vector.get("type"):
        case DataType.BINARY_VECTOR:
            column = np.packbits(latent(ROWS, 1).repeat(2, axis=1) > 0, axis=1)
        case DataType.FLOAT16_VECTOR:
            column = rows.astype(np.float16)
        case DataType.INT8_VECTOR:
            column = (rows * 10).clip(-128, 127).astype(np.int8)
        case _ if vector:
            column = fixed_lists(rows, [number % 3 == 0 for number in range(ROWS)])
        case _:
            rows[: ROWS // 4] = 0
    spec = replace(VECTOR, metric=metric)
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, column, **vector), spec)
    number = recorded(tmp_path, table)
    assert number is not None
    assert probes.LEAST_PROBES <= number <= 62


def test_a_rule_of_thumb_stands_in_where_nearly_all_vectors_are_null(
    lance_on_a_disk: LanceEngine, tmp_path: Path
) -> None:
    column = fixed_lists(latent(4 * ROWS, 1), [number % 10 != 0 for number in range(4 * ROWS)])
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, column, nullable=True))
    assert recorded(tmp_path, table) == 4 * ROWS // 10 // 128 // 3
    assert not lance_on_a_disk.due(table, [VECTOR]).optimization


def test_graphs_and_few_partitions_need_no_number(lance_on_a_disk: LanceEngine, tmp_path: Path) -> None:
    table = indexed(lance_on_a_disk, imported(lance_on_a_disk, clustered(1_000, 1)))
    assert recorded(tmp_path, table) is None
    assert not lance_on_a_disk.due(table, [VECTOR]).optimization
    graph = replace(VECTOR, type="HNSW_SQ")
    table = indexed(lance_on_a_disk, table, graph)
    assert recorded(tmp_path, table) is None
    assert not lance_on_a_disk.due(table, [graph]).optimization
