"""Indexes of a collection: their names and parameters. What is built, and when, is the engine's policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from penstock.catalog import Catalog
from penstock.catalog.collections.descriptions import describe_soon
from penstock.collections.index_requests import CreateIndex, index_spec
from penstock.collections.parameter_tables import INDEX_PROPERTIES
from penstock.collections.parameters import check_names, check_parameters
from penstock.domain.collections import Collection, LoadState
from penstock.domain.index import IndexSpec
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Table
from penstock.errors import CollectionLoaded, IndexExists, IndexNotFound, InvalidParameter, Unsupported


class IndexState(StrEnum):
    """The state of an index, with Milvus's words."""

    FINISHED = "Finished"
    IN_PROGRESS = "InProgress"
    UNISSUED = "Unissued"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """An index, the number of rows, and how many of them wait for it to be built or extended.

    The other rows are in the index, or are searched by brute force as intended: where the engine builds none, or next
    to one until there are enough of them. None wait where the engine maintains its tables itself. ``is_building``:
    maintenance of the collection's table runs.
    """

    spec: IndexSpec
    rows: int
    pending_rows: int
    is_building: bool

    @property
    def indexed_rows(self) -> int:
        return self.rows - self.pending_rows

    @property
    def state(self) -> IndexState:
        """Finished once no rows are pending, so that clients stop polling: also where no index is built at all."""
        if not self.pending_rows:
            return IndexState.FINISHED
        return IndexState.IN_PROGRESS if self.is_building else IndexState.UNISSUED


class IndexService:
    """``build`` brings a collection's indexes up to date in the background, by the collection's id."""

    def __init__(self, catalog: Catalog, engines: EngineRegistry, build: Callable[[str], None]) -> None:
        self._catalog = catalog
        self._engines = engines
        self._build = build

    def list(self, collection: Collection) -> Sequence[IndexSpec]:
        """List the indexes in creation order."""
        return self._catalog.collections.indexes(collection.id)

    def get(self, collection: Collection, name: str) -> IndexSpec:
        """Raises IndexNotFound."""
        for index in self.list(collection):
            if index.name == name:
                return index
        raise IndexNotFound(f"index not found[indexName={name}]", index=name)

    def status(self, collection: Collection, name: str) -> IndexStatus:
        """Raises IndexNotFound."""
        spec = self.get(collection, name)
        table = Table.of(collection, self._catalog.row_expiry.of(collection))
        rows = self._engines.for_collection(collection).count(table)
        engine = self._engines.maintainable(collection)
        pending = 0
        if engine is not None and engine.index_is_due(table, spec):
            covered = min(rows, engine.indexed_rows(table, spec))
            # An index that is to have other parameters still covers all of its rows.
            pending = (rows - covered) or rows
        building = pending > 0 and self._catalog.maintenance.is_locked(collection.id)
        return IndexStatus(spec=spec, rows=rows, pending_rows=pending, is_building=building)

    def built_rows(self, collection: Collection, name: str) -> int | None:
        """Count the rows in the built index, of which there are none where every search is exact.

        None where the engine maintains its tables itself. Raises IndexNotFound.
        """
        spec = self.get(collection, name)
        engine = self._engines.maintainable(collection)
        if engine is None:
            return None
        return engine.built_rows(Table.of(collection, self._catalog.row_expiry.of(collection)), spec)

    def create(self, collection: Collection, request: CreateIndex) -> None:
        """Add an index, built in the background over existing rows; an identical existing one is no error.

        Raises:
            IndexExists: the name or the field has another index.
            Unsupported: the collection's engine can't search by the index's metric.
            FieldNotFound, Unsupported, InvalidParameter: from :func:`index_spec`.
        """
        spec = index_spec(request, collection.schema)
        engine = self._engines.for_collection(collection)
        if spec.metric is not None and spec.metric not in engine.capabilities.metrics:
            known = ", ".join(sorted(engine.capabilities.metrics))
            raise Unsupported(
                f"the engine {engine.name} of the collection {collection.name} can't search by {spec.metric}; "
                f"it searches by {known}",
                index=spec.name,
                metric=spec.metric.value,
            )
        for index in self.list(collection):
            if index == spec:
                return
            if index.name == spec.name:
                raise IndexExists("at most one distinct index is allowed per field", index=spec.name)
        self._catalog.collections.add_index(collection.id, spec)
        describe_soon(self._catalog.database, self._engines, collection)
        self._build(collection.id)

    def alter_properties(self, collection: Collection, name: str, properties: Mapping[str, Any]) -> None:
        """Set free-typed properties of an index, none of which changes how it is built.

        Raises:
            IndexNotFound, InvalidParameter.
            CollectionLoaded: the collection must be released first, as in Milvus.
        """
        _check_alter(collection, properties)
        check_parameters(INDEX_PROPERTIES, properties)
        present = {key: value for key, value in properties.items() if value is not None}
        self._alter(collection, name, lambda index: replace(index, params={**index.params, **present}))

    def drop_properties(self, collection: Collection, name: str, keys: Sequence[str]) -> None:
        """Remove properties of an index; missing ones are no error. Raises as :meth:`alter_properties`."""
        _check_alter(collection, keys)
        check_names(INDEX_PROPERTIES, keys)
        self._alter(
            collection,
            name,
            lambda index: replace(
                index, params={key: value for key, value in index.params.items() if key not in keys}
            ),
        )

    def _alter(self, collection: Collection, name: str, change: Callable[[IndexSpec], IndexSpec]) -> None:
        self._catalog.collections.alter_index(collection.id, name, change)
        describe_soon(self._catalog.database, self._engines, collection)

    def drop(self, collection: Collection, name: str) -> None:
        """Drop an index; a missing one is fine. Raises InvalidParameter for a loaded collection's vector index."""
        for index in self.list(collection):
            if index.name == name:
                vector = collection.schema[index.field_name].type.is_vector
                if vector and collection.load_state is LoadState.LOADED:
                    raise InvalidParameter(
                        f"vector index cannot be dropped on loaded collection: {collection.number}", index=name
                    )
                self._catalog.collections.drop_index(collection.id, name)
                describe_soon(self._catalog.database, self._engines, collection)
                self._build(collection.id)


def _check_alter(collection: Collection, changes: Mapping[str, Any] | Sequence[str]) -> None:
    if not changes:
        raise InvalidParameter("no properties or delete keys provided")
    if collection.load_state is LoadState.LOADED:
        raise CollectionLoaded(
            "can't alter index on loaded collection, please release the collection first: "
            f"collection already loaded[collection={collection.name}]",
            collection=collection.name,
        )
