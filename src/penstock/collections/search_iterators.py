"""Search iterators: all rows in order of their scores, page by page, each exactly once.

A page continues after the score at which the one before ended. So it ends between two scores: rows with equal scores
are on one page, which may then have more rows than it should. The server keeps nothing between pages, and rows that
are imported meanwhile are met if they are farther than the last page. Pages are searched exactly, since an index
finds other rows for another range.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from hashlib import blake2b
from uuid import UUID

import numpy as np
import numpy.typing as npt

from penstock.collections.entities import EntityService, OutputFields
from penstock.collections.entity_requests import VectorSearchRequest
from penstock.collections.result_memory import MemoryReservation, release_on_error
from penstock.collections.searches import SearchResult, SearchService
from penstock.domain.collections import Collection
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import QueryHits, SearchRequest
from penstock.errors import InvalidParameter, shorten

_GROWTH = 16
"""So many times as many rows are read while the last of them may share the score of the page's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCursor:
    """Where an iterator stands: the score at which the last page ended, and the iterator's id; None at the start."""

    last_bound: float | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """The rows of a page, at least as many as requested unless it is the last, and the cursor of the next one."""

    result: SearchResult
    cursor: SearchCursor


class SearchIteratorService:
    def __init__(self, engines: EngineRegistry, entities: EntityService, searches: SearchService) -> None:
        self._engines = engines
        self._entities = entities
        self._searches = searches

    def next_page(
        self, collection: Collection, request: VectorSearchRequest, cursor: SearchCursor, *, org_id: str = ""
    ) -> SearchPage:
        """Search the next rows, nearest first; the request's limit is the size of a page.

        Raises:
            InvalidParameter: the request is none of an iterator, or the cursor is of another one.
            Errors of :meth:`SearchService.search`.
        """
        _check(request)
        engine_request = self._searches.engine_request(collection, replace(request, exact=True), org_id)
        id = _iterator_id(collection, engine_request, request)
        _check_id(cursor, id)
        fields = self._entities.output_fields(collection, request.output_fields)
        engine, table = self._engines.for_collection(collection), self._entities.table(collection)
        engine_request = replace(engine_request, beyond=cursor.last_bound, columns=fields.with_dynamic)

        def count() -> int:
            return engine.count(table, engine_request.filter, engine_request.partitions)

        def reserve(rows: int, of: OutputFields = fields) -> MemoryReservation | None:
            return self._entities.reserve(collection, org_id, of, rows, count)

        reservation = reserve(request.limit + 1)
        with release_on_error(reservation):
            (hit,) = engine.search(table, replace(engine_request, limit=request.limit + 1))
        scores = hit.scores
        if len(scores) > request.limit and scores[request.limit - 1] == scores[request.limit]:
            if reservation is not None:
                reservation.release()
            narrow = OutputFields(columns=[collection.schema.primary.name])
            size, read = None, request.limit
            while size is None:
                read *= _GROWTH
                with reserve(read, narrow) or nullcontext():
                    (hit,) = engine.search(table, replace(engine_request, limit=read, columns=narrow.columns))
                    size = _page_size(hit.scores, request.limit, read)
            reservation = reserve(size)
            with release_on_error(reservation):
                (hit,) = engine.search(table, replace(engine_request, limit=size))
        else:
            hit = QueryHits(rows=hit.rows.slice(0, request.limit), scores=scores[: request.limit])
        last_bound = float(hit.scores[-1]) if len(hit.scores) else cursor.last_bound
        rounded = QueryHits(rows=hit.rows, scores=request.params.rounded(hit.scores))
        held = self._entities.reserve_read(org_id, reservation, [hit.rows])
        return SearchPage(
            result=SearchResult(fields=fields, hits=[rounded], held=held),
            cursor=SearchCursor(last_bound=last_bound, id=id),
        )


def _page_size(scores: npt.NDArray[np.float32], least: int, read: int) -> int | None:
    """The number of rows up to the last whose score is that of the ``least``-th; None if more must be read for it."""
    if len(scores) < least:  # rows were deleted meanwhile
        return max(len(scores), 1)
    size = int(np.flatnonzero(scores == scores[least - 1])[-1]) + 1
    return size if size < len(scores) or len(scores) < read else None


def _check(request: VectorSearchRequest) -> None:
    if request.number_of_queries != 1:
        raise InvalidParameter(
            f"a search iterator takes one query vector, but got {request.number_of_queries}; use one for each"
        )
    if request.offset:
        raise InvalidParameter("Setting an offset is not permitted when using a search iterator v2", key="offset")
    if request.params.grouping is not None:
        raise InvalidParameter("GroupBy is not permitted when using a search iterator", key="group_by_field")


def _check_id(cursor: SearchCursor, id: str) -> None:
    if cursor.id is None:
        return
    try:
        given = str(UUID(cursor.id))
    except ValueError as error:
        raise InvalidParameter(
            f"invalid token format: search_iter_id is {shorten(cursor.id)}; send the one of the first page",
            key="search_iter_id",
        ) from error
    if given != id:
        raise InvalidParameter(
            f"search_iter_id {given} is of an iterator with another vector, field, filter or partitions; "
            "begin a new iterator",
            key="search_iter_id",
        )


def _iterator_id(collection: Collection, engine_request: SearchRequest, request: VectorSearchRequest) -> str:
    """A UUID that is the same for all pages of an iterator, and another for a search of other rows."""
    partitions: Sequence[int] | None = engine_request.partitions
    parts = (
        collection.id,
        engine_request.field_name,
        engine_request.metric,
        _query_text(engine_request),
        request.filter,
        sorted(request.filter_params.items()),
        None if partitions is None else sorted(partitions),
    )
    return str(UUID(bytes=blake2b(repr(parts).encode(), digest_size=16).digest()))


def _query_text(engine_request: SearchRequest) -> str:
    query = engine_request.queries[0]
    return query.tobytes().hex() if isinstance(query, np.ndarray) else repr(sorted(query.items()))
