"""Indexes of a collection. What is built, and when, is the engine's policy; these are the names and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.catalog import Catalog
from penstock.collections.collections import table_of
from penstock.domain.collections import Collection, LoadState
from penstock.domain.index import IndexSpec
from penstock.engines.base import Engine
from penstock.errors import IndexNotFound, InvalidParameter

__all__ = ["IndexService", "IndexStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """An index, the rows there are and those that it covers; the rest is searched exactly beside it."""

    spec: IndexSpec
    rows: int
    indexed_rows: int


class IndexService:
    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

    def list(self, collection: Collection) -> Sequence[IndexSpec]:
        """In the order of their making."""
        return self._catalog.collections.indexes(collection.id)

    def get(self, collection: Collection, name: str) -> IndexSpec:
        """Raises IndexNotFound."""
        for each in self.list(collection):
            if each.name == name:
                return each
        raise IndexNotFound(f"index not found[indexName={name}]", index=name)

    def status(self, collection: Collection, name: str) -> IndexStatus:
        """Raises IndexNotFound."""
        spec = self.get(collection, name)
        table = table_of(collection)
        rows = self._engine.count(table)
        return IndexStatus(spec=spec, rows=rows, indexed_rows=min(rows, self._engine.indexed_rows(table, spec)))

    def create(self, collection: Collection, spec: IndexSpec) -> None:
        """Note an index, and build it where rows are there already. Raises IndexExists, StoreError."""
        self._catalog.collections.add_index(collection.id, spec)
        if self._engine.count(table_of(collection)):
            version = self._engine.index(table_of(collection), self.list(collection))
            self._catalog.collections.raise_version(collection.id, version)

    def drop(self, collection: Collection, name: str) -> None:
        """Forget an index; a missing one is fine. Raises InvalidParameter for a loaded collection's vector index."""
        for each in self.list(collection):
            if each.name == name:
                vector = collection.schema[each.field_name].type.is_vector
                if vector and collection.load_state is LoadState.LOADED:
                    raise InvalidParameter(
                        f"vector index cannot be dropped on loaded collection: {collection.number}", index=name
                    )
                self._catalog.collections.drop_index(collection.id, name)
