"""Reading rows: query, get by primary key, count, and search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from penstock.catalog import Catalog
from penstock.collections.collections import table_of
from penstock.collections.partitions import PartitionService
from penstock.domain.collections import Collection, LoadState
from penstock.domain.index import Metric, default_metric
from penstock.domain.schema import META_FIELD, Field
from penstock.engines.base import Engine, Hits, SearchRequest
from penstock.errors import CollectionNotLoaded, FieldNotFound, InvalidParameter
from penstock.filters import Filter, parse

__all__ = ["EntityService", "OutputFields", "Rows", "SearchQuery"]

MAX_WINDOW = 16384
"""The most rows that limit and offset may reach, as in Milvus."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows in canonical types, and what of them to show."""

    collection: Collection
    fields: OutputFields
    table: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A search as a user states it. ``queries`` is decoded for the field by the caller."""

    field_name: str | None
    queries: Any
    limit: int
    offset: int = 0
    filter: str = ""
    filter_params: Mapping[str, Any] = field(default_factory=dict)
    partitions: Sequence[str] = ()
    output_fields: Sequence[str] = ()
    metric: str = ""
    radius: float | None = None
    range_filter: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


class EntityService:
    def __init__(self, catalog: Catalog, engine: Engine, partitions: PartitionService) -> None:
        self._catalog = catalog
        self._engine = engine
        self._partitions = partitions

    def query(
        self,
        collection: Collection,
        *,
        filter: str = "",
        filter_params: Mapping[str, Any] | None = None,
        output_fields: Sequence[str] = ("*",),
        partitions: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> Rows:
        """Rows that match, ordered by primary key.

        Raises:
            CollectionNotLoaded: the collection was released.
            InvalidFilter, InvalidParameter, PartitionNotFound, FieldNotFound.
        """
        _check_loaded(collection)
        where = _parse(collection, filter, filter_params)
        if limit is None and not filter.strip():
            raise InvalidParameter("empty expression should be used with limit")
        _check_window(limit, offset)
        fields = self.output_fields(collection, output_fields)
        table = self._engine.query(
            table_of(collection),
            filter=where,
            partitions=self._partitions.numbers(collection, partitions),
            columns=[*fields.columns, META_FIELD] if fields.with_meta else fields.columns,
            limit=limit,
            offset=offset,
        )
        return Rows(collection=collection, fields=fields, table=table)

    def count(
        self,
        collection: Collection,
        *,
        filter: str = "",
        filter_params: Mapping[str, Any] | None = None,
        partitions: Sequence[str] = (),
    ) -> int:
        """How many rows match. Raises as :meth:`query`."""
        _check_loaded(collection)
        where = _parse(collection, filter, filter_params)
        return self._engine.count(table_of(collection), where, self._partitions.numbers(collection, partitions))

    def search(self, collection: Collection, query: SearchQuery) -> tuple[OutputFields, list[Hits]]:
        """The nearest rows to each query vector, nearest first.

        Raises:
            CollectionNotLoaded, InvalidFilter, InvalidParameter, PartitionNotFound, FieldNotFound.
        """
        _check_loaded(collection)
        target = self.search_field(collection, query.field_name)
        where = _parse(collection, query.filter, query.filter_params)
        fields = self.output_fields(collection, query.output_fields, default=())
        hits = self._engine.search(
            table_of(collection),
            SearchRequest(
                field_name=target.name,
                queries=query.queries,
                metric=self._metric(collection, target, query.metric),
                limit=query.limit,
                offset=query.offset,
                filter=where,
                partitions=self._partitions.numbers(collection, query.partitions),
                columns=[*fields.columns, META_FIELD] if fields.with_meta else fields.columns,
                radius=query.radius,
                range_filter=query.range_filter,
                params=query.params,
            ),
        )
        return fields, hits

    def search_field(self, collection: Collection, name: str | None) -> Field:
        """The vector field to search: the one named, or the only one. Raises InvalidParameter, FieldNotFound."""
        vectors = collection.schema.vectors
        if not name:
            if len(vectors) > 1:
                names = ", ".join(each.name for each in vectors)
                raise InvalidParameter(
                    f"search without annsField, but already found multiple vector fields: [{names}]",
                    fields=[each.name for each in vectors],
                )
            return vectors[0]
        for each in vectors:
            if each.name == name:
                return each
        raise FieldNotFound(f"cannot find a vector field: field not found[field={name}]", field=name)

    def _metric(self, collection: Collection, target: Field, asked: str) -> Metric:
        """The index's metric; one asked for must be the same."""
        own = next(
            (
                each.metric
                for each in self._catalog.collections.indexes(collection.id)
                if each.field_name == target.name and each.metric
            ),
            None,
        )
        if not asked:
            return own or default_metric(target.type)
        if own is not None and asked.upper() != own.value:
            raise InvalidParameter(
                f"metric type not match: invalid [expected={own.value}][actual={asked}]",
                expected=own.value,
                actual=asked,
            )
        try:
            return Metric(asked.upper())
        except ValueError:
            raise InvalidParameter(f"metric type {asked} is not supported", metric=asked) from None

    def output_fields(
        self, collection: Collection, names: Sequence[str], default: Sequence[str] = ("*",)
    ) -> OutputFields:
        """What ``outputFields`` means for this collection. The primary key is always among the columns.

        Raises:
            FieldNotFound: a name is no field, and the collection keeps no dynamic ones.
        """
        schema = collection.schema
        columns = [schema.primary.name]
        keys: list[str] | None = []
        for name in names or default:
            if name == "*":
                columns.extend(schema.names)
                keys = None if schema.dynamic else keys
            elif schema.get(name):
                columns.append(name)
            elif schema.dynamic:
                if name == META_FIELD:
                    keys = None
                elif keys is not None:
                    keys.append(_meta_key(name))
            else:
                raise FieldNotFound(f"field {name} not exist", field=name)
        return OutputFields(columns=list(dict.fromkeys(columns)), meta_keys=keys)


def _meta_key(name: str) -> str:
    """``k`` of ``k``, ``$meta["k"]`` and ``$meta['k']``."""
    for quote in "\"'":
        start, end = f"{META_FIELD}[{quote}", f"{quote}]"
        if name.startswith(start) and name.endswith(end):
            return name[len(start) : -len(end)]
    return name


def _parse(collection: Collection, text: str, params: Mapping[str, Any] | None) -> Filter | None:
    return parse(text, collection.schema, params or {})


def _check_loaded(collection: Collection) -> None:
    if collection.load_state is LoadState.RELEASED:
        raise CollectionNotLoaded(
            f"collection not loaded[collection={collection.number}]. It was released: load it again first",
            collection=collection.name,
        )


def _check_window(limit: int | None, offset: int) -> None:
    window = (limit or 0) + offset
    if window > MAX_WINDOW:
        raise InvalidParameter(
            f"invalid max query result window, (offset+limit) should be in range [1, {MAX_WINDOW}], but got {window}",
            window=window,
        )
