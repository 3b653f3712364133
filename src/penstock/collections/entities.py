"""Reading rows: query, get by primary key, and count. Search is in :mod:`penstock.collections.searches`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from penstock.catalog import Catalog
from penstock.collections.entity_requests import (
    GetRequest,
    QueryRequest,
    check_number_of_keys,
)
from penstock.collections.partitions import PartitionService
from penstock.collections.result_memory import MAX_ANSWER_BYTES, MemoryReservation, ResultMemory, release_on_error
from penstock.domain.collections import Collection, LoadState
from penstock.domain.schema import META_FIELD, DataType, Field
from penstock.engines.registry import EngineRegistry
from penstock.engines.result_limit import result_too_large
from penstock.engines.values import Table
from penstock.errors import CollectionNotLoaded, FieldNotFound, InvalidParameter, Unsupported, shorten, shorten_name
from penstock.filters import Filter, parse
from penstock.filters.ast import Column, In

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
    """Rows in canonical types, and the fields to show. The caller releases ``held`` when it has sent the rows."""

    collection: Collection
    fields: OutputFields
    table: pa.Table
    held: MemoryReservation | None


class EntityService:
    def __init__(self, catalog: Catalog, engines: EngineRegistry, partitions: PartitionService) -> None:
        self._catalog = catalog
        self._engines = engines
        self._partitions = partitions
        self._room = ResultMemory()

    def query(self, collection: Collection, request: QueryRequest, *, org_id: str = "") -> QueryResult:
        """Query matching rows, ordered by primary key, for a caller of the org.

        Raises:
            CollectionNotLoaded: the collection was released.
            QuotaExceeded: the memory for answers is full for the moment.
            InvalidFilter, InvalidParameter, PartitionNotFound, FieldNotFound.
        """
        check_loaded(collection)
        where = parse(request.filter, collection.schema, request.filter_params)
        if request.limit is None and not request.filter.strip():
            raise InvalidParameter("empty expression should be used with limit")
        request.check_window()
        fields = self.output_fields(collection, request.output_fields)
        numbers = self._partitions.numbers(collection, request.partitions)
        engine, table = self._engines.for_collection(collection), self.table(collection)
        reservation = self.reserve(
            collection, org_id, fields, request.limit, lambda: engine.count(table, where, numbers)
        )
        if not request.whole_keys or request.limit is None:
            return self._rows(collection, where, fields, numbers, reservation, org_id, request.limit, request.offset)
        result = self._rows(
            collection, where, fields, numbers, reservation, org_id, request.limit + 1, request.offset
        )
        with release_on_error(result.held):
            return replace(result, table=_whole_keys(result.table, collection.schema.primary.name, request.limit))

    def get(self, collection: Collection, request: GetRequest, *, org_id: str = "") -> QueryResult:
        """Get rows by primary key, ordered by it; keys without a row are skipped. Raises as :meth:`query`."""
        check_number_of_keys(len(request.keys))
        check_loaded(collection)
        primary = collection.schema.primary
        where = In(Column(primary.name, primary.type), tuple(dict.fromkeys(request.keys)))
        fields = self.output_fields(collection, request.output_fields)
        numbers = self._partitions.numbers(collection, request.partitions)
        reservation = self.reserve(collection, org_id, fields, len(where.values), lambda: len(where.values))
        return self._rows(collection, where, fields, numbers, reservation, org_id)

    def _rows(
        self,
        collection: Collection,
        where: Filter | None,
        fields: OutputFields,
        partitions: Sequence[int] | None,
        reservation: MemoryReservation | None,
        org_id: str,
        limit: int | None = None,
        offset: int = 0,
    ) -> QueryResult:
        with release_on_error(reservation):
            rows = self._engines.for_collection(collection).query(
                self.table(collection),
                filter=where,
                partitions=partitions,
                columns=fields.with_dynamic,
                limit=limit,
                offset=offset,
                max_bytes=MAX_ANSWER_BYTES,
            )
        held = self.reserve_read(org_id, reservation, [rows])
        return QueryResult(collection=collection, fields=fields, table=rows, held=held)

    def count(self, collection: Collection, request: QueryRequest) -> int:
        """Count the matching rows, whatever the limit. Raises as :meth:`query`."""
        check_loaded(collection)
        where = parse(request.filter, collection.schema, request.filter_params)
        numbers = self._partitions.numbers(collection, request.partitions)
        return self._engines.for_collection(collection).count(self.table(collection), where, numbers)

    @property
    def max_bytes(self) -> int:
        """The most bytes of rows that one result may have."""
        return MAX_ANSWER_BYTES

    def table(self, collection: Collection) -> Table:
        """The collection's table, with the rows that are not expired now."""
        return Table.of(collection, self._catalog.row_expiry.of(collection))

    def reserve(
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
            raise result_too_large(rows, rows * width, MAX_ANSWER_BYTES)
        return self._room.take(org_id, rows * width)

    def reserve_read(
        self, org_id: str, reservation: MemoryReservation | None, tables: Sequence[pa.Table]
    ) -> MemoryReservation | None:
        """The reservation for rows that are read, in place of the one before that, whose size was an estimate.

        Texts, JSON and dynamic values may be a thousand times as long as estimated.

        Raises:
            InvalidParameter: they are more than fit into one result.
            QuotaExceeded: as :meth:`ResultMemory.take`.
        """
        size = sum(table.nbytes for table in tables)
        if reservation is not None and size <= reservation.size:
            return reservation
        if reservation is not None:
            reservation.release()
        if size > MAX_ANSWER_BYTES:
            raise result_too_large(sum(map(len, tables)), size, MAX_ANSWER_BYTES)
        return self._room.take(org_id, size)

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
                columns.extend(field.name for field in schema if not field.function_output)
                keys = None if schema.dynamic else keys
            elif name in fields and fields[name].function_output:
                raise InvalidParameter(f"not allowed to retrieve raw data of field {name}", field=name)
            elif name in fields:
                columns.append(name)
            elif (struct := fields.get(name.partition("[")[0])) and struct.type is DataType.ARRAY_OF_STRUCT:
                raise Unsupported(
                    f"{shorten_name(name)} in outputFields is not supported by this server; use {struct.name}",
                    field=name,
                )
            elif _AGGREGATE.match(name):
                raise Unsupported(f"{shorten_name(name)} in outputFields is not supported by this server", field=name)
            elif (path := _PATH.match(name)) and (path["quote"] is None or path["field"] != META_FIELD):
                raise InvalidParameter(
                    f"not support getting subkeys of json field yet: {shorten_name(name)}", field=name
                )
            elif schema.dynamic:
                if name == META_FIELD:
                    keys = None
                elif keys is not None:
                    keys.append(path["key"] if path else name)
            else:
                raise FieldNotFound(f"field {shorten_name(name)} not exist", field=name)
        return OutputFields(
            columns=tuple(dict.fromkeys(columns)), meta_keys=None if keys is None else tuple(dict.fromkeys(keys))
        )


def _whole_keys(rows: pa.Table, primary: str, limit: int) -> pa.Table:
    """At most ``limit`` of one row more, in order of their keys, without those whose key has further rows.

    Raises:
        InvalidParameter: there would be none.
    """
    if len(rows) <= limit:
        return rows
    keys = rows[primary].to_pylist()
    end = limit
    while end and keys[end - 1] == keys[limit]:
        end -= 1
    if not end:
        raise InvalidParameter(
            f"at least {limit + 1} rows have the primary key {shorten(repr(keys[0]))}, and an iterator reads them on "
            "one page; take a larger batch_size, or another offset",
            key="batch_size",
        )
    return rows.slice(0, end)


def check_loaded(collection: Collection) -> None:
    """Raise CollectionNotLoaded if the collection was released."""
    if collection.load_state is LoadState.RELEASED:
        raise CollectionNotLoaded(
            f"collection not loaded[collection={collection.number}]. It was released: load it first",
            collection=collection.name,
        )


def _value_bytes(field: Field) -> int:
    """Estimate the bytes of a value. Of structs one is counted: their number is unknown before they are read."""
    vector = 4 * field.width if field.type.is_dense_vector else 0
    return _VALUE_BYTES + vector + sum(map(_value_bytes, field.fields))
