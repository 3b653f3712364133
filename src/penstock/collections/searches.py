"""Vector search: the rows nearest to query vectors, or to the vectors of stored rows; grouped by a field or not.

A hybrid search fuses the rankings of several searches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.catalog import Catalog
from penstock.collections.entities import EntityService, OutputFields, check_loaded
from penstock.collections.entity_requests import GetRequest, HybridSearchRequest, VectorSearchRequest
from penstock.collections.partitions import PartitionService
from penstock.collections.query_vectors import QueryVectors, analyzed, check_number_of_queries, stored_vectors
from penstock.collections.rank_fusion import Ranking, fuse, take
from penstock.collections.result_memory import MemoryReservation, release_on_error
from penstock.collections.search_groups import Grouping, best_groups, first_groups, group_field
from penstock.collections.search_params import SearchParams, rounded
from penstock.domain.collections import Collection
from penstock.domain.deadline import check_deadline
from penstock.domain.index import Bm25Params, Metric, default_metric
from penstock.domain.schema import DataType, Field
from penstock.engines.base import Engine
from penstock.engines.registry import EngineRegistry
from penstock.engines.result_limit import ResultLimit
from penstock.engines.values import QueryHits, SearchRequest, Table
from penstock.errors import FieldNotFound, InvalidParameter, Unsupported, shorten, shorten_name
from penstock.filters import Filter, parse
from penstock.filters.ast import And, Column, In

_FIRST_CANDIDATES = 128
_MORE_CANDIDATES = 4
"""A grouping search whose groups aren't complete reads so many times as many rows."""
_MAX_CANDIDATES = 65_536
"""Rows of one query that a grouping search looks at: with fewer groups among them, the result has fewer."""
_MAX_CANDIDATES_OF_ALL_QUERIES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The nearest rows to each query vector. The caller releases ``held`` when it has sent them.

    The rows have the columns of ``fields``, and that of the field that they are grouped by.
    """

    fields: OutputFields
    hits: Sequence[QueryHits]
    held: MemoryReservation | None


class SearchService:
    def __init__(
        self, catalog: Catalog, engines: EngineRegistry, partitions: PartitionService, entities: EntityService
    ) -> None:
        self._catalog = catalog
        self._engines = engines
        self._partitions = partitions
        self._entities = entities

    def search(self, collection: Collection, request: VectorSearchRequest, *, org_id: str = "") -> SearchResult:
        """Search the nearest rows to each query vector, nearest first, for a caller of the org.

        Raises:
            QuotaExceeded: the memory for answers is full for the moment.
            CollectionNotLoaded, InvalidFilter, InvalidParameter, PartitionNotFound, FieldNotFound.
        """
        engine_request = self.engine_request(collection, request, org_id)
        fields = self._entities.output_fields(collection, request.output_fields)
        grouping = request.params.grouping
        queries, size = len(engine_request.queries), 1 if grouping is None else grouping.size
        engine, table = self._engines.for_collection(collection), self._entities.table(collection)
        reservation = self._entities.reserve(
            collection,
            org_id,
            fields,
            queries * request.limit * size,
            lambda: (
                queries
                * min(request.limit * size, engine.count(table, engine_request.filter, engine_request.partitions))
            ),
        )
        with release_on_error(reservation):
            hits = self._hits(collection, replace(engine_request, columns=fields.with_dynamic), grouping)
            hits = [QueryHits(rows=hit.rows, scores=request.params.rounded(hit.scores)) for hit in hits]
        held = self._entities.reserve_read(org_id, reservation, [hit.rows for hit in hits])
        return SearchResult(fields=fields, hits=hits, held=held)

    def hybrid_search(
        self, collection: Collection, request: HybridSearchRequest, *, org_id: str = ""
    ) -> SearchResult:
        """Search several times, and fuse the rankings of each query vector, best rows first.

        Raises as :meth:`search`.
        """
        request.check()
        check_loaded(collection)
        fields = self._entities.output_fields(collection, request.output_fields)
        primary, grouping = collection.schema.primary.name, request.grouping
        narrow = [primary]
        if grouping is not None:
            group_field(collection.schema, grouping)
            narrow = list(dict.fromkeys((primary, grouping.field_name)))
        engine_requests = [
            replace(
                self.engine_request(
                    collection, replace(search, offset=0, params=replace(search.params, grouping=grouping)), org_id
                ),
                columns=narrow,
            )
            for search in request.searches
        ]
        with self._candidate_memory(collection, engine_requests, grouping, org_id) or nullcontext():
            hits_of_searches = []
            for engine_request in engine_requests:
                check_deadline()
                hits_of_searches.append(self._hits(collection, engine_request, grouping))
            metrics = [engine_request.metric for engine_request in engine_requests]
            hits = [
                _fused(collection, request, metrics, hits_of_query)
                for hits_of_query in zip(*hits_of_searches, strict=True)
            ]
        rows = sum(len(hit.scores) for hit in hits)
        reservation = self._entities.reserve(collection, org_id, fields, rows, lambda: rows)
        with release_on_error(reservation):
            columns = list(dict.fromkeys((*fields.with_dynamic, *narrow)))
            first, *others = (engine_request.filter for engine_request in engine_requests)
            common = first if all(other == first for other in others) else None
            hits = list(self.with_columns(collection, hits, columns, _union(engine_requests), common))
            hits = [QueryHits(rows=hit.rows, scores=rounded(hit.scores, request.round_decimal)) for hit in hits]
        held = self._entities.reserve_read(org_id, reservation, [hit.rows for hit in hits])
        return SearchResult(fields=fields, hits=hits, held=held)

    def _candidate_memory(
        self,
        collection: Collection,
        engine_requests: Sequence[SearchRequest],
        grouping: Grouping | None,
        org_id: str,
    ) -> MemoryReservation | None:
        """Reserve memory for what the searches of a hybrid search find together."""
        engine, table = self._engines.for_collection(collection), self._entities.table(collection)
        size = 1 if grouping is None else grouping.size
        return self._entities.reserve(
            collection,
            org_id,
            OutputFields(columns=engine_requests[0].columns),
            sum(len(search.queries) * search.limit * size for search in engine_requests),
            lambda: sum(
                len(search.queries) * min(search.limit * size, engine.count(table, search.filter, search.partitions))
                for search in engine_requests
            ),
        )

    def engine_request(self, collection: Collection, request: VectorSearchRequest, org_id: str) -> SearchRequest:
        """Check a search and take it apart for the engine; the columns are still missing.

        Raises:
            DeadlineExceeded: as of the others of a hybrid search, each may take a second to parse its filter.
        """
        check_deadline()
        request.check_window()
        check_number_of_queries(request.number_of_queries)
        check_loaded(collection)
        target = self.search_field(collection, request.field_name)
        params = request.params
        metric = self.metric(collection, target, params.metric)
        _check_range(metric, params)
        where = parse(request.filter, collection.schema, request.filter_params)
        if params.grouping is not None:
            group_field(collection.schema, params.grouping)
            _check_grouping(params)
        numbers = self._partitions.numbers(collection, request.partitions)
        if request.keys:
            queries = self._stored(collection, target, request, org_id)
        else:
            queries = analyzed(request.queries, target, collection.schema)
        return SearchRequest(
            field_name=target.name,
            queries=queries,
            metric=metric,
            limit=request.limit,
            offset=request.offset,
            filter=where,
            partitions=numbers,
            radius=params.radius,
            range_filter=_range_filter(metric, params.range_filter),
            exact=request.exact,
            max_bytes=self._entities.max_bytes,
            bm25=self._bm25(collection, target),
            params=params.tuning,
        )

    def _hits(
        self, collection: Collection, engine_request: SearchRequest, grouping: Grouping | None
    ) -> Sequence[QueryHits]:
        engine, table = self._engines.for_collection(collection), self._entities.table(collection)
        if grouping is None:
            return engine.search(table, engine_request)
        return self._grouped(collection, engine, table, engine_request, grouping)

    def _stored(
        self, collection: Collection, target: Field, request: VectorSearchRequest, org_id: str
    ) -> QueryVectors:
        """The stored vectors of the requested keys, in their order."""
        result = self._entities.get(
            collection, GetRequest(keys=request.keys, output_fields=[target.name]), org_id=org_id
        )
        try:
            keys = pa.array(request.keys, result.table[collection.schema.primary.name].type)
            positions = pc.index_in(keys, value_set=result.table[collection.schema.primary.name].combine_chunks())
            if positions.null_count:
                missing = shorten(keys.filter(pc.is_null(positions)).to_pylist(), 200)
                raise InvalidParameter(
                    f"some of the provided primary key IDs do not exist: missing IDs = {missing}", key="ids"
                )
            vectors = result.table[target.name].combine_chunks().take(positions)
            if vectors.null_count:
                empty = shorten(keys.filter(pc.is_null(vectors)).to_pylist(), 200)
                raise InvalidParameter(
                    f"some of the provided primary key IDs have a null vector in field {target.name}: {empty}",
                    key="ids",
                )
            return stored_vectors(vectors, target)
        finally:
            if result.held is not None:
                result.held.release()

    def _grouped(
        self, collection: Collection, engine: Engine, table: Table, engine_request: SearchRequest, grouping: Grouping
    ) -> Sequence[QueryHits]:
        """The hits of each query in whole groups, of which ``engine_request`` has limit and offset.

        Nearest rows are read, more and more, until the groups among them are complete.
        """
        primary = collection.schema.primary.name
        groups = engine_request.limit + engine_request.offset
        candidate_limit = max(
            min(_MAX_CANDIDATES, _MAX_CANDIDATES_OF_ALL_QUERIES // len(engine_request.queries)),
            groups * grouping.size,
        )
        candidates = min(max(groups * grouping.size * _MORE_CANDIDATES, _FIRST_CANDIDATES), candidate_limit)
        narrow = list(dict.fromkeys((primary, grouping.field_name)))
        while True:
            nearest = engine.search(table, replace(engine_request, limit=candidates, offset=0, columns=narrow))
            chosen = [first_groups(hit.rows[grouping.field_name].to_pylist(), groups, grouping) for hit in nearest]
            exhausted = [len(hit.scores) < candidates for hit in nearest]
            if candidates == candidate_limit or all(
                groups.complete or end for groups, end in zip(chosen, exhausted, strict=True)
            ):
                break
            candidates = min(candidates * _MORE_CANDIDATES, candidate_limit)
        hits = []
        for hit, groups_of_hit in zip(nearest, chosen, strict=True):
            positions = pa.array(chain(*groups_of_hit.positions[engine_request.offset :]), pa.int64())
            hits.append(QueryHits(rows=hit.rows.take(positions), scores=hit.scores[positions.to_numpy()]))
        return self.with_columns(
            collection,
            hits,
            list(dict.fromkeys((*engine_request.columns, grouping.field_name))),
            engine_request.partitions,
            engine_request.filter,
        )

    def with_columns(
        self,
        collection: Collection,
        hits: Sequence[QueryHits],
        columns: Sequence[str],
        partitions: Sequence[int] | None = None,
        filter: Filter | None = None,
    ) -> Sequence[QueryHits]:
        """The hits with these columns of their rows; rows deleted meanwhile are missing.

        They are read by primary key among the rows that the search looked at, and where a key has several rows by the
        other columns of the hits.
        """
        if not hits or set(columns) <= set(hits[0].rows.column_names):
            return [replace(hit, rows=hit.rows.select(columns)) for hit in hits]
        primary, known = collection.schema.primary, hits[0].rows.column_names
        keys = pc.unique(pa.concat_tables([hit.rows.select([primary.name]) for hit in hits])[primary.name])
        values: list[Any] = keys.to_pylist()
        keys_filter = In(Column(primary.name, primary.type), tuple(values))
        stored = self._engines.for_collection(collection).query(
            self._entities.table(collection),
            filter=keys_filter if filter is None else And((filter, keys_filter)),
            partitions=partitions,
            columns=list(dict.fromkeys((*columns, *known))),
            max_bytes=self._entities.max_bytes,
        )
        limit = ResultLimit(self._entities.max_bytes)
        position_of: dict[Any, int] = {}
        for position, identity in enumerate(_identities(stored, known)):
            position_of.setdefault(identity, position)
        complete = []
        for hit in hits:
            positions = [position_of.get(identity) for identity in _identities(hit.rows, known)]
            present = np.array([position is not None for position in positions], np.bool_)
            rows = stored.take(pa.array([position for position in positions if position is not None], pa.int64()))
            limit.add(rows)  # many queries may have found the same long rows
            complete.append(QueryHits(rows=rows.select(columns), scores=hit.scores[present]))
        return complete

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
                f"searching the vectors of struct arrays is not supported by this server: {shorten_name(name)}; "
                "search the vectors in a field of their own, in one row for each",
                field=name,
            )
        raise FieldNotFound(f"cannot find a vector field: field not found[field={shorten_name(name)}]", field=name)

    def metric(self, collection: Collection, target: Field, requested: str) -> Metric:
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
            return own or default_metric(target)
        if own is not None and requested.upper() != own.value:
            raise InvalidParameter(
                f"metric type not match: invalid [expected={own.value}][actual={shorten(requested)}]",
                expected=own.value,
                actual=requested,
            )
        try:
            return Metric(requested.upper())
        except ValueError:
            raise InvalidParameter(f"metric type {shorten(requested)} is not supported", metric=requested) from None

    def _bm25(self, collection: Collection, target: Field) -> Bm25Params:
        """The parameters of the field's index."""
        indexes = self._catalog.collections.indexes(collection.id) if target.function_output else ()
        return next(
            (Bm25Params.of(index.params) for index in indexes if index.field_name == target.name), Bm25Params()
        )


def _identities(rows: pa.Table, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows[name].to_pylist() for name in names), strict=True)


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


def _union(engine_requests: Sequence[SearchRequest]) -> Sequence[int] | None:
    """The partitions of all searches together; None for all there are."""
    numbers = set[int]()
    for engine_request in engine_requests:
        if engine_request.partitions is None:
            return None
        numbers.update(engine_request.partitions)
    return sorted(numbers)


def _fused(
    collection: Collection, request: HybridSearchRequest, metrics: Sequence[Metric], hits: Sequence[QueryHits]
) -> QueryHits:
    """One ranking of the hits that the searches have for one query: whole groups or rows, by offset and limit."""
    primary, grouping = collection.schema.primary.name, request.grouping
    rows = pa.concat_tables([hit.rows for hit in hits])
    rankings = [
        Ranking(keys=hit.rows[primary].combine_chunks(), scores=hit.scores, metric=metric)
        for hit, metric in zip(hits, metrics, strict=True)
    ]
    fused = fuse(request.ranker, rankings)
    end = request.offset + request.limit
    if grouping is None:
        chosen = np.arange(len(fused.scores))[request.offset : end]
    else:
        values = take(rows[grouping.field_name], fused.positions).to_pylist()
        groups = best_groups(values, fused.scores, grouping, descending=fused.descending)
        chosen = np.fromiter(chain(*groups[request.offset : end]), np.intp)
    return QueryHits(rows=take(rows, fused.positions[chosen]), scores=fused.scores[chosen])


def _check_grouping(params: SearchParams) -> None:
    if params.radius is not None or params.range_filter is not None:
        raise InvalidParameter("Not allowed to do range-search when doing search-group-by")
