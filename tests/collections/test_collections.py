"""Making and dropping collections, databases and indexes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.collections.index_requests import CreateIndex
from penstock.domain.collections import CollectionSettings, LoadState
from penstock.domain.index import IndexSpec, Metric
from penstock.engines.values import Table
from penstock.errors import (
    CollectionExists,
    CollectionNotFound,
    CollectionNotLoaded,
    DatabaseNotFound,
    IndexExists,
    IndexNotFound,
    InvalidParameter,
)
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER
from tests.support.tables import plain

INDEX = CreateIndex(index_name="v", field_name="vector", index_type="HNSW", metric="L2", params={"M": 16})
SPEC = IndexSpec(name="v", field_name="vector", type="HNSW", metric=Metric.L2, params={"M": 16})


def test_many_creators_at_once_make_one(cases: UseCases, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: cases.create(), range(16)))
    assert len({each.id for each in made}) == 1
    assert [folder.stem for folder in (tmp_path / "collections").iterdir()] == [made[0].id]


def test_a_database_that_is_dropped_meanwhile_leaves_no_table(
    cases: UseCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.databases.create(CLUSTER, "sales", {})
    create = cases.engine.create

    def create_and_drop(table: Table) -> int:
        version = create(table)
        cases.databases.drop(CLUSTER, "sales")
        return version

    monkeypatch.setattr(cases.engine, "create", create_and_drop)
    with pytest.raises(DatabaseNotFound):
        cases.collections.create(CLUSTER, "sales", "docs", plain(), CollectionSettings())
    assert list((tmp_path / "collections").iterdir()) == []


def test_another_shape_under_the_same_name(cases: UseCases) -> None:
    cases.create()
    with pytest.raises(CollectionExists, match="different parameters, collection: docs"):
        cases.create(schema=plain(32))


def test_a_name_is_free_again_after_a_drop(cases: UseCases) -> None:
    first = cases.put(cases.create(), rows=3)
    cases.collections.drop(CLUSTER, "default", "docs")
    assert cases.woken  # somebody removes the files
    with pytest.raises(CollectionNotFound):
        cases.collections.count(CLUSTER, "default", "docs")
    second = cases.create()
    assert second.id != first.id
    assert cases.collections.count(CLUSTER, "default", "docs") == 0


def test_load_wants_an_index_on_every_vector(cases: UseCases) -> None:
    docs = cases.create()
    with pytest.raises(IndexNotFound):
        cases.collections.load(CLUSTER, "default", "docs")
    with pytest.raises(CollectionNotLoaded):
        cases.collections.refresh_load(CLUSTER, "default", "docs")
    cases.indexes.create(docs, INDEX)
    cases.collections.load(CLUSTER, "default", "docs")
    cases.collections.refresh_load(CLUSTER, "default", "docs")
    assert cases.collections.get(CLUSTER, "default", "docs").load_state is LoadState.LOADED


def test_an_index_is_built_once_it_is_new_or_gone(cases: UseCases) -> None:
    docs = cases.put(cases.create(), rows=5)
    cases.indexes.create(docs, INDEX)
    cases.indexes.create(docs, INDEX)
    assert cases.built == [docs.id]
    status = cases.indexes.status(docs, "v")
    assert (status.spec, status.rows, status.indexed_rows) == (SPEC, 5, 5)
    for other in (replace(INDEX, params={}), replace(INDEX, metric="IP"), replace(INDEX, index_name="w")):
        with pytest.raises(IndexExists):
            cases.indexes.create(docs, other)
    cases.indexes.drop(docs, "v")
    cases.indexes.drop(docs, "v")
    assert cases.built == [docs.id, docs.id]


def test_the_default_database_stays(cases: UseCases) -> None:
    with pytest.raises(InvalidParameter, match="can not drop default database"):
        cases.databases.drop(CLUSTER, "default")
