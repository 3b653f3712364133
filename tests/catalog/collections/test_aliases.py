"""Aliases in the catalog: names that lead to collections, and are never names of collections themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.catalog import Catalog
from penstock.domain.collections import Alias
from penstock.errors import (
    AliasExists,
    AliasNameConflict,
    AliasNotFound,
    CollectionExists,
    CollectionNotFound,
    InvalidParameter,
)
from tests.support.catalogs import CLUSTER, stored_collection


def test_an_alias_leads_to_its_collection(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    default = catalog.databases.get(CLUSTER, "default")
    assert catalog.collections.find(default, "current") is None
    for _ in range(2):
        catalog.aliases.create(docs, "current")
    assert catalog.collections.find(default, "current") == docs
    assert catalog.aliases.get(default, "current") == Alias(name="current", database="default", collection="docs")
    assert catalog.aliases.names_of(docs.id) == ["current"]


def test_an_alias_is_altered_to_another_collection(catalog: Catalog) -> None:
    old, new = stored_collection(catalog, "v1"), stored_collection(catalog, "v2")
    default = catalog.databases.get(CLUSTER, "default")
    with pytest.raises(AliasNotFound, match=r"alias not found\[database=default\]\[alias=current\]"):
        catalog.aliases.alter(new, "current")
    catalog.aliases.create(old, "current")
    with pytest.raises(AliasExists, match="current is alias to another collection: v1"):
        catalog.aliases.create(new, "current")
    assert catalog.aliases.alter(new, "current") == old.id
    assert catalog.collections.get(default, "current") == new
    assert catalog.aliases.drop(default, "current") == new.id
    with pytest.raises(AliasNotFound):
        catalog.aliases.drop(default, "current")


def test_aliases_and_collections_of_a_database_share_their_names(catalog: Catalog) -> None:
    docs, notes = stored_collection(catalog), stored_collection(catalog, "notes")
    with pytest.raises(AliasNameConflict):
        catalog.aliases.create(docs, "notes")
    with pytest.raises(AliasNameConflict):
        catalog.aliases.alter(docs, "notes")
    catalog.aliases.create(docs, "current")
    with pytest.raises(AliasNameConflict):
        stored_collection(catalog, "current")
    catalog.databases.create(CLUSTER, "sales", {})
    assert stored_collection(catalog, "current", database="sales").name == "current"
    catalog.collections.drop(notes.id)
    catalog.aliases.create(docs, "notes")  # the name of a dropped collection is free


def test_a_collection_with_aliases_is_not_dropped(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    for name in ("b", "a"):
        catalog.aliases.create(docs, name)
    with pytest.raises(InvalidParameter, match=r"drop the collection \[docs\] because .* aliases \[a, b\]"):
        catalog.collections.drop(docs.id)
    for name in ("b", "a"):
        catalog.aliases.drop(catalog.databases.get(CLUSTER, "default"), name)
    catalog.collections.drop(docs.id)
    with pytest.raises(CollectionNotFound):
        catalog.aliases.create(docs, "a")


def test_of_an_alias_and_a_collection_made_at_once_one_gets_the_name(servers: list[Catalog]) -> None:
    first, second, third = servers
    first.clusters.ensure(CLUSTER, "local")
    docs = stored_collection(first)

    def outcomes(name: str) -> list[str]:
        def alias() -> str:
            try:
                second.aliases.create(docs, name)
            except AliasNameConflict:
                return "refused"
            return "alias"

        def collection() -> str:
            try:
                stored_collection(third, name)
            except (AliasNameConflict, CollectionExists):
                return "refused"
            return "collection"

        with ThreadPoolExecutor(2) as pool:
            return sorted(future.result() for future in [pool.submit(alias), pool.submit(collection)])

    for number in range(20):
        assert outcomes(f"name_{number}") in (["alias", "refused"], ["collection", "refused"])
