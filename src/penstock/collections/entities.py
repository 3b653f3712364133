"""Reading rows: query, get by primary key, count, and search."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from penstock.catalog import Catalog
from penstock.collections.entity_requests import (
    GetRequest,
    QueryRequest,
    VectorSearchRequest,
    check_number_of_keys,
)
from penstock.collections.partitions import PartitionService
from penstock.collections.query_vectors import check_number_of_queries
from penstock.collections.result_memory import MAX_ANSWER_BYTES, MemoryReservation, ResultMemory
from penstock.collections.search_params import SearchParams
from penstock.domain.collections import Collection, LoadState
from penstock.domain.index import Metric, default_metric
from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.engines.base import Engine, QueryHits, SearchRequest, Table
from penstock.errors import CollectionNotLoaded, FieldNotFound, InvalidParameter, Unsupported
from penstock.filters import Filter, parse
from penstock.filters.ast import Column, In

__all__ = ["EntityService", "OutputFields", "QueryResult", "SearchResult"]

_VALUE_BYTES = 64
"""Bytes of a value as a Python object; of vectors without their elements."""

_AGGREGATE = re.compile(r"\s*(count|sum|avg|min|max)\s*\(", re.IGNORECASE)
_PATH = re.compile(r"""(?P<field>\$?\w+)\[((?P<quote>["'])(?P<key>[^"']*)(?P=quote)|.*)\]\Z""", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFields:
    """Which columns to read, and which keys of ``$meta`` to show of them.

    ``meta_keys`` None shows every key; an empty sequence shows none (then ``$meta`` is not read).
    """

    columns: Sequence[str]
    meta_keys: Sequence[str] | None = ()

    @property
    def with_meta(self) -> bool:
        return self.meta_keys is None or bool(self.meta_keys)

    @property
    def with_dynamic(self) -> Sequence[str]:
        """The columns to read, with ``$meta`` if any of it is to be shown."""
        return (*self.columns, META_FIELD) if self.with_meta else self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """Rows in canonical types, and the fields to show. Keep ``held`` as long as any of the rows."""

    collection: Collection
    fields: OutputFields
    table: pa.Table
    held: MemoryReservation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The nearest rows to each query vector; ``held`` as in :class:`QueryResult`."""

    fields: OutputFields
    hits: Sequence[QueryHits]
    held: MemoryReservation | None


class EntityService:
    def __init__(self, catalog: Catalog, engine: Engine, partitions: PartitionService) -> None:
        self._catalog = catalog
        self._engine = engine
        self._partitions = partitions
        self._room = ResultMemory()

    def query(self, collection: Collection, request: QueryRequest, *, org_id: str = "") -> QueryResult:
        """Query matching rows, ordered by primary key, for a caller of the org.

        Raises:
            CollectionNotLoaded: the collection was released.
            QuotaExceeded: the memory for answers is full for the moment.
            InvalidFilter, InvalidParameter, PartitionNotFound, FieldNotFound.
        """
        _check_loaded(collection)
        where = parse(request.filter, collection.schema, request.filter_params)
        if request.limit is None and not request.filter.strip():
            raise InvalidParameter("empty expression should be used with limit")
        request.check_window()
        fields = self.output_fields(collection, request.output_fields)
        numbers = self._partitions.numbers(collection, request.partitions)
        table = self._table(collection)
        reservation = self._take(
            collection, org_id, fields, request.limit, lambda: self._engine.count(table, where, numbers)
        )
        return self._rows(collection, where, fields, numbers, reservation, request.limit, request.offset)

    def get(self, collection: Collection, request: GetRequest, *, org_id: str = "") -> QueryResult:
        """Get rows by primary key, ordered by it; keys without a row are skipped. Raises as :meth:`query`."""
        check_number_of_keys(len(request.keys))
        _check_loaded(collection)
        primary = collection.schema.primary
        where = In(Column(primary.name, primary.type), tuple(dict.fromkeys(request.keys)))
        fields = self.output_fields(collection, request.output_fields)
        numbers = self._partitions.numbers(collection, request.partitions)
        reservation = self._take(collection, org_id, fields, len(where.values), lambda: len(where.values))
        return self._rows(collection, where, fields, numbers, reservation)

    def _rows(
        self,
        collection: Collection,
        where: Filter | None,
        fields: OutputFields,
        partitions: Sequence[int] | None,
        reservation: MemoryReservation | None,
        limit: int | None = None,
        offset: int = 0,
    ) -> QueryResult:
        rows = self._engine.query(
            self._table(collection),
            filter=where,
            partitions=partitions,
            columns=fields.with_dynamic,
            limit=limit,
            offset=offset,
        )
        return QueryResult(collection=collection, fields=fields, table=rows, held=reservation)

    def count(self, collection: Collection, request: QueryRequest) -> int:
        """Count the matching rows, whatever the limit. Raises as :meth:`query`."""
        _check_loaded(collection)
        where = parse(request.filter, collection.schema, request.filter_params)
        numbers = self._partitions.numbers(collection, request.partitions)
        return self._engine.count(self._table(collection), where, numbers)

    def search(self, collection: Collection, request: VectorSearchRequest, *, org_id: str = "") -> SearchResult:
        """Search the nearest rows to each query vector, nearest first, for a caller of the org.

        Raises:
            QuotaExceeded: the memory for answers is full for the moment.
            CollectionNotLoaded, InvalidFilter, InvalidParameter, PartitionNotFound, FieldNotFound.
        """
        request.check_window()
        check_number_of_queries(len(request.queries))
        _check_loaded(collection)
        target = self.search_field(collection, request.field_name)
        metric = self._metric(collection, target, request.params.metric)
        _check_range(metric, request.params)
        where = parse(request.filter, collection.schema, request.filter_params)
        fields = self.output_fields(collection, request.output_fields)
        table, numbers = self._table(collection), self._partitions.numbers(collection, request.partitions)
        searches = len(request.queries)
        reservation = self._take(
            collection,
            org_id,
            fields,
            searches * request.limit,
            lambda: searches * min(request.limit, self._engine.count(table, where, numbers)),
        )
        hits = self._engine.search(
            table,
            SearchRequest(
                field_name=target.name,
                queries=request.queries,
                metric=metric,
                limit=request.limit,
                offset=request.offset,
                filter=where,
                partitions=numbers,
                columns=fields.with_dynamic,
                radius=request.params.radius,
                range_filter=_range_filter(metric, request.params.range_filter),
                params=request.params.tuning,
            ),
        )
        return SearchResult(fields=fields, hits=hits, held=reservation)

    def _table(self, collection: Collection) -> Table:
        """The collection's table, with the rows that are not expired now."""
        return Table.of(collection, self._catalog.row_expiry.of(collection))

    def _take(
        self,
        collection: Collection,
        org_id: str,
        fields: OutputFields,
        most: int | None,
        count: Callable[[], int],
    ) -> MemoryReservation | None:
        """Reserve memory for ``most`` rows; if that is unknown or too much, for as many as ``count`` returns."""
        width = sum(_value_bytes(collection.schema[name]) for name in fields.columns)
        rows = most if most is not None and most * width <= MAX_ANSWER_BYTES else count()
        if most is not None:
            rows = min(rows, most)
        if rows * width > MAX_ANSWER_BYTES:
            raise InvalidParameter(
                f"{rows} rows would take about {rows * width >> 20} MiB, more than the {MAX_ANSWER_BYTES >> 20} MiB "
                "of one answer. Ask with limit and offset, or for fewer outputFields",
                rows=rows,
            )
        return self._room.take(org_id, rows * width)

    def search_field(self, collection: Collection, name: str | None) -> Field:
        """Return the vector field to search, the named or the only one. Raises InvalidParameter, FieldNotFound."""
        vectors = collection.schema.vectors
        if not name:
            if len(vectors) > 1:
                # Milvus stops at the second one, and writes it so.
                raise InvalidParameter(
                    "search without annsField, but already found multiple vector fields: "
                    f"[{vectors[0].name}, {vectors[1].name},,,]",
                    fields=[vector.name for vector in vectors],
                )
            return vectors[0]
        for vector in vectors:
            if vector.name == name:
                return vector
        struct = collection.schema.get(name.partition("[")[0])
        if struct is not None and struct.type is DataType.ARRAY_OF_STRUCT:
            raise Unsupported(
                f"searching the vectors of struct arrays is not supported by this server: {name}", field=name
            )
        raise FieldNotFound(f"cannot find a vector field: field not found[field={name}]", field=name)

    def _metric(self, collection: Collection, target: Field, requested: str) -> Metric:
        """Return the index's metric; a requested one must be the same."""
        own = next(
            (
                index.metric
                for index in self._catalog.collections.indexes(collection.id)
                if index.field_name == target.name and index.metric
            ),
            None,
        )
        if not requested:
            return own or default_metric(target.type)
        if own is not None and requested.upper() != own.value:
            raise InvalidParameter(
                f"metric type not match: invalid [expected={own.value}][actual={requested}]",
                expected=own.value,
                actual=requested,
            )
        try:
            return Metric(requested.upper())
        except ValueError:
            raise InvalidParameter(f"metric type {requested} is not supported", metric=requested) from None

    def output_fields(self, collection: Collection, names: Sequence[str]) -> OutputFields:
        """Resolve ``outputFields`` for this collection. The primary key is always among the columns.

        Raises:
            FieldNotFound: a name is no field, and the collection keeps no dynamic ones.
            InvalidParameter: a path into a JSON field, or an aggregate.
        """
        schema = collection.schema
        fields = {field.name: field for field in schema}
        columns = [schema.primary.name]
        keys: list[str] | None = []
        for name in dict.fromkeys(names):
            if name == "*":
                columns.extend(fields)
                keys = None if schema.dynamic else keys
            elif name in fields:
                columns.append(name)
            elif (struct := fields.get(name.partition("[")[0])) and struct.type is DataType.ARRAY_OF_STRUCT:
                raise Unsupported(
                    f"{name} in outputFields is not supported by this server; ask for {struct.name}", field=name
                )
            elif _AGGREGATE.match(name):
                raise Unsupported(f"{name} in outputFields is not supported by this server", field=name)
            elif (path := _PATH.match(name)) and (path["quote"] is None or path["field"] != META_FIELD):
                raise InvalidParameter(f"not support getting subkeys of json field yet: {name}", field=name)
            elif schema.dynamic:
                if name == META_FIELD:
                    keys = None
                elif keys is not None:
                    keys.append(path["key"] if path else name)
            else:
                raise FieldNotFound(f"field {name} not exist", field=name)
        return OutputFields(
            columns=tuple(dict.fromkeys(columns)), meta_keys=None if keys is None else tuple(dict.fromkeys(keys))
        )


def _check_loaded(collection: Collection) -> None:
    if collection.load_state is LoadState.RELEASED:
        raise CollectionNotLoaded(
            f"collection not loaded[collection={collection.number}]. It was released: load it again first",
            collection=collection.name,
        )


def _value_bytes(field: Field) -> int:
    """Estimate the bytes of a value. Of structs one is counted: their number is unknown before they are read."""
    vector = 4 * field.width if field.type.is_dense_vector else 0
    return _VALUE_BYTES + vector + sum(map(_value_bytes, field.fields))


def _check_range(metric: Metric, params: SearchParams) -> None:
    if params.radius is None or params.range_filter is None:
        return
    low, high = params.range_filter, params.radius
    word = "less"
    if metric.higher_is_nearer:
        low, high, word = high, low, "more"
    if low > high:
        raise InvalidParameter(
            f"metric type '{metric}', range_filter({params.range_filter}) must be {word} "
            f"than radius({params.radius})",
            radius=params.radius,
            range_filter=params.range_filter,
        )


def _range_filter(metric: Metric, bound: float | None) -> float | None:
    """Drop a bound of 1 or more for COSINE, which only rounding exceeds: rows equal to the query must stay."""
    return None if metric is Metric.COSINE and bound is not None and bound >= 1 else bound
