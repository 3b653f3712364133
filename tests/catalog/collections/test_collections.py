"""Databases, collections, partitions and indexes in the catalog."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.catalog import Catalog
from penstock.domain.collections import LoadState
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.schema import DataType, Field
from penstock.errors import (
    ClusterNotFound,
    CollectionExists,
    CollectionNotFound,
    DatabaseExists,
    DatabaseNotEmpty,
    DatabaseNotFound,
    IndexExists,
    PartitionNotFound,
)
from tests.support.catalogs import CLUSTER, SCHEMA, stored_collection, tenant

KEYED = replace(
    SCHEMA, fields=(*SCHEMA.fields, Field(name="tenant", type=DataType.VARCHAR, max_length=64, partition_key=True))
)


def test_a_collection_comes_back_as_it_went_in(catalog: Catalog) -> None:
    made = stored_collection(catalog)
    assert made.schema == SCHEMA
    assert catalog.collections.by_id(made.id) == made
    assert made.load_state is LoadState.NEVER


def test_names_that_are_not_there_are_told_apart(catalog: Catalog) -> None:
    default = catalog.databases.get(CLUSTER, "default")
    with pytest.raises(ClusterNotFound):
        catalog.clusters.get("in01-other")
    with pytest.raises(DatabaseNotFound, match=r"database not found\[database=sales\]"):
        catalog.databases.get(CLUSTER, "sales")
    with pytest.raises(CollectionNotFound, match=r"collection not found\[database=default\]\[collection=docs\]"):
        catalog.collections.get(default, "docs")


def test_a_name_is_taken_once_and_free_after_a_drop(catalog: Catalog) -> None:
    first = stored_collection(catalog)
    with pytest.raises(CollectionExists):
        stored_collection(catalog)
    catalog.collections.drop(first.id)
    second = stored_collection(catalog)
    assert second.id != first.id
    assert [collection.id for collection in catalog.collections.dropped()] == [first.id]
    catalog.collections.forget(first.id)
    assert catalog.collections.dropped() == []
    assert catalog.collections.by_id(second.id) == second


def test_the_collections_of_all_clusters_and_of_one(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.databases.create(CLUSTER, "sales", {})
    sold = stored_collection(catalog, database="sales")
    others = tenant(catalog, "acme", "in01-acme")
    catalog.collections.drop(stored_collection(catalog, "dropped").id)
    assert catalog.collections.all() == [others, docs, sold]
    assert catalog.collections.all(CLUSTER) == [docs, sold]


def test_databases_are_unique_and_dropped_only_when_empty(catalog: Catalog) -> None:
    catalog.databases.create(CLUSTER, "sales", {"timezone": "UTC"})
    with pytest.raises(DatabaseExists):
        catalog.databases.create(CLUSTER, "sales", {})
    stored_collection(catalog)
    with pytest.raises(DatabaseNotEmpty, match="must drop all collections"):
        catalog.databases.drop(CLUSTER, "default")
    catalog.databases.drop(CLUSTER, "sales")
    assert [each.name for each in catalog.databases.list(CLUSTER)] == ["default"]


def test_a_dropped_collection_gets_no_partitions_and_indexes(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    index = IndexSpec(name="vector", field_name="vector", metric=Metric.L2)
    catalog.collections.drop(docs.id)
    for is_forgotten in (False, True):
        if is_forgotten:
            catalog.collections.forget(docs.id)
        with pytest.raises(CollectionNotFound, match="was dropped"):
            catalog.collections.create_partition(docs.id, "new")
        with pytest.raises(CollectionNotFound, match="was dropped"):
            catalog.collections.add_index(docs.id, index)


def test_what_was_dropped_in_a_database_is_still_known_when_that_is_dropped_too(catalog: Catalog) -> None:
    """Its files are to be removed yet, from the store that is its cluster's."""
    catalog.databases.create(CLUSTER, "sales", {})
    docs = stored_collection(catalog, database="sales")
    catalog.collections.drop(docs.id)
    catalog.databases.drop(CLUSTER, "sales")
    [dropped] = catalog.collections.dropped()
    assert dropped == catalog.collections.by_id_with_dropped(docs.id)
    assert (dropped.id, dropped.engine, dropped.store) == (docs.id, docs.engine, "")
    assert catalog.collections.by_id(docs.id) is None
    assert catalog.collections.list(catalog.databases.get(CLUSTER, "default")) == []
    catalog.collections.forget(docs.id)
    assert catalog.collections.by_id_with_dropped(docs.id) is None
    assert catalog.collections.all_ids() == []


def test_partitions_get_numbers_that_are_never_used_again(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    first = catalog.collections.create_partition(docs.id, "p1")
    assert catalog.collections.create_partition(docs.id, "p1") == first
    assert catalog.collections.drop_partition(docs.id, "p1", catalog.collections.jobs_of_partition(docs.id, "p1"))
    with pytest.raises(PartitionNotFound):
        catalog.collections.partition(docs.id, "p1")
    again = catalog.collections.create_partition(docs.id, "p1")
    assert again.number > first.number
    assert [partition.name for partition in catalog.collections.partitions(docs.id)] == ["_default", "p1"]


def test_a_partition_key_brings_sixteen_partitions(catalog: Catalog) -> None:
    keyed = stored_collection(catalog, "keyed", KEYED)
    names = [partition.name for partition in catalog.collections.partitions(keyed.id)]
    assert names[0] == "_default_0"
    assert len(names) == 16


def test_an_index_may_be_added_twice_but_not_changed(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    spec = IndexSpec(name="vector", field_name="vector", metric=Metric.L2)
    catalog.collections.add_index(docs.id, spec)
    catalog.collections.add_index(docs.id, spec)
    with pytest.raises(IndexExists, match="at most one distinct index"):
        catalog.collections.add_index(docs.id, replace(spec, metric=Metric.IP))
    with pytest.raises(IndexExists, match="creating multiple indexes on same field"):
        catalog.collections.add_index(docs.id, replace(spec, name="other"))
    assert catalog.collections.indexes(docs.id) == [spec]
    catalog.collections.drop_index(docs.id, "vector")
    assert catalog.collections.indexes(docs.id) == []


def test_versions_only_rise(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.collections.raise_version(docs.id, 7)
    catalog.collections.raise_version(docs.id, 3)
    found = catalog.collections.by_id(docs.id)
    assert found is not None
    assert found.version == 7
