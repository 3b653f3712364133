"""Searches by vectors of imported rows: which of them are hits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType
from penstock.engines.lance import LanceEngine
from penstock.imports.self_hits import search_by_own_vectors
from tests.support.doubles import NullContext
from tests.support.tables import every_type, import_rows, new_table, plain, plain_batch, typed_batch


@pytest.fixture
def engine(tmp_path: Path) -> LanceEngine:
    engine = LanceEngine(str(tmp_path / "store"))
    engine.check()
    return engine


@pytest.mark.parametrize(
    ("dense", "binary"), [(Metric.L2, Metric.HAMMING), (Metric.COSINE, Metric.JACCARD), (Metric.IP, Metric.HAMMING)]
)
def test_every_type_of_vector_is_searched_with_the_metric_of_its_index(
    engine: LanceEngine, dense: Metric, binary: Metric
) -> None:
    schema, rows = every_type(), typed_batch(60)
    specs = [
        IndexSpec(
            name=f"index of {field.name}",
            field_name=field.name,
            metric=binary if field.type is DataType.BINARY_VECTOR else dense,
        )
        for field in schema.vectors
        if field.type.is_dense_vector
    ]
    table, _ = import_rows(engine, new_table(engine, schema), rows)
    searches = search_by_own_vectors(engine, table, [rows], specs, NullContext())
    assert [search.field for search in searches] == [field.name for field in schema.vectors]
    assert {search.metric for search in searches} == {dense, binary, Metric.IP}
    assert all((search.searched, search.hits, search.problem) == (20, 20, None) for search in searches)
    empty = new_table(engine, schema)
    for search in search_by_own_vectors(engine, empty, [rows], specs, NullContext()):
        assert search.hits == 0
        assert (
            search.problem
            == f"field '{search.field}': 0 of 20 searches by a sampled vector find its row, or 10 as near"
        )


def rows_of(*vectors: list[float], first_id: int = 0) -> pa.RecordBatch:
    return plain_batch(np.array(vectors, np.float32), first_id, schema=plain(2))


@pytest.mark.parametrize(
    ("metric", "others", "hits"),
    [
        (Metric.IP, [[2, 0]] * 10, 1),  # ten longer vectors in the same direction
        (Metric.IP, [[2, 0]] * 9 + [[0.5, 0]], 0),  # of ten results one is farther, where the row itself should be
        (Metric.IP, [[2, 0]] * 9, 0),  # there is room for it
        (Metric.L2, [[1, 0]] * 10, 1),  # ten rows with the same vector
        (Metric.L2, [[2, 0]] * 10, 0),
        (Metric.COSINE, [[3, 0]] * 10, 1),
        (Metric.COSINE, [[3, 1]] * 10, 0),
    ],
)
def test_a_hit_has_the_row_or_only_rows_that_are_as_near(
    engine: LanceEngine, metric: Metric, others: list[list[float]], hits: int
) -> None:
    """The row itself is not in the table: what a search for it finds must be as near as it would be."""
    table, _ = import_rows(engine, new_table(engine, plain(2)), rows_of(*others))
    specs = [IndexSpec(name="v", field_name="vector", metric=metric)]
    (search,) = search_by_own_vectors(engine, table, [rows_of([1, 0], first_id=100)], specs, NullContext())
    assert (search.searched, search.hits) == (1, hits)


@pytest.mark.parametrize(("metric", "searched"), [(Metric.COSINE, 0), (Metric.IP, 1), (Metric.L2, 1)])
def test_a_zero_vector_has_no_cosine(engine: LanceEngine, metric: Metric, searched: int) -> None:
    table, _ = import_rows(engine, new_table(engine, plain(2)), rows_of([0, 0]))
    specs = [IndexSpec(name="v", field_name="vector", metric=metric)]
    (search,) = search_by_own_vectors(engine, table, [rows_of([0, 0])], specs, NullContext())
    assert (search.searched, search.hits, search.problem) == (searched, searched, None)
