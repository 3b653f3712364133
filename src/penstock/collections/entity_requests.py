"""Requests for reading rows: query, get by primary key, search, hybrid search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.collections.query_vectors import Queries, check_number_of_queries
from penstock.collections.rankers import Ranker, ReciprocalRankFusion, check_number_of_weights
from penstock.collections.search_groups import Grouping
from penstock.collections.search_params import SearchParams
from penstock.errors import InvalidParameter, shorten

MAX_WINDOW = 16384
"""Maximum of limit plus offset, as in Milvus."""
MAX_SEARCHES = 1024
"""Maximum number of searches of a hybrid search, as in Milvus."""
MAX_KEYS = 65_536
"""Maximum number of primary keys of one call; each takes some 20 µs."""

_COUNT = re.compile(r"\s*count\s*\(\s*\*\s*\)\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRequest:
    """Rows that match a filter.

    ``filter_params`` are the values of its placeholders. ``partitions`` are names, none for all; of the output fields
    ``*`` is all. ``limit`` None is no limit. With ``whole_keys`` the page of a query iterator, which continues after
    the last key, has all rows of that key.
    """

    filter: str = ""
    filter_params: Mapping[str, Any] = field(default_factory=dict)
    partitions: Sequence[str] = ()
    output_fields: Sequence[str] = ("*",)
    limit: int | None = None
    offset: int = 0
    whole_keys: bool = False

    def is_count(self) -> bool:
        """Whether the request is for the number of rows: its output field is ``count(*)``.

        Raises:
            InvalidParameter: it has other output fields too.
        """
        if not any(map(_COUNT.match, self.output_fields)):
            return False
        if len(self.output_fields) > 1:
            raise InvalidParameter(
                "count entities with other output fields is not supported", output_fields=self.output_fields
            )
        return True

    def check_window(self) -> None:
        """Raise InvalidParameter if the offset is negative, or limit plus offset are more than :data:`MAX_WINDOW`."""
        _check_result_window(self.limit or 0, self.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRequest:
    """Rows by primary key; keys may repeat. The other fields are as in :class:`QueryRequest`."""

    keys: Sequence[int] | Sequence[str]
    partitions: Sequence[str] = ()
    output_fields: Sequence[str] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSearchRequest:
    """The nearest rows to each of the query vectors, which are decoded for the field, or to the rows of these keys.

    A request has either ``queries`` or ``keys``. ``field_name`` None is the only vector field. ``limit`` counts the
    rows of a query vector or, where rows are grouped, the groups. ``exact``: search without an index. The other
    fields are as in :class:`QueryRequest`; without output fields only the primary key is read.
    """

    limit: int
    queries: Queries = ()
    keys: Sequence[int] | Sequence[str] = ()
    offset: int = 0
    field_name: str | None = None
    filter: str = ""
    filter_params: Mapping[str, Any] = field(default_factory=dict)
    partitions: Sequence[str] = ()
    output_fields: Sequence[str] = ()
    params: SearchParams = field(default_factory=SearchParams)
    exact: bool = False

    @property
    def number_of_queries(self) -> int:
        return len(self.keys) or len(self.queries)

    def check_window(self) -> None:
        """Raise InvalidParameter if limit, offset or their sum are out of range."""
        window = self.offset + self.limit
        for what, value, least in (("topk", self.limit, 1), ("offset", self.offset, 0), ("offset+limit", window, 1)):
            if not least <= value <= MAX_WINDOW:
                raise InvalidParameter(
                    f"{what} [{value}] is invalid, it should be in range [{least}, {MAX_WINDOW}], but got {value}",
                    value=value,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridSearchRequest:
    """Searches of vector fields whose rankings become one, by ``ranker``.

    The searches have as many query vectors each. Their partitions, limits, filters and ranges are their own. Groups,
    rounding and time zone are those of the hybrid search, which clients repeat in each search; so others in one of
    them are refused. The offsets and output fields of the searches have no effect, as in Milvus. The other fields are
    as in :class:`VectorSearchRequest`.
    """

    searches: Sequence[VectorSearchRequest]
    limit: int
    ranker: Ranker = field(default_factory=ReciprocalRankFusion)
    offset: int = 0
    output_fields: Sequence[str] = ()
    grouping: Grouping | None = None
    round_decimal: int | None = None

    @property
    def timezone(self) -> str:
        """The time zone of times in filters and results: that of the first search that has one."""
        return next((search.params.timezone for search in self.searches if search.params.timezone), "")

    def check(self) -> None:
        """Check limit, offset, and the number of searches, weights and query vectors.

        Raises:
            InvalidParameter
        """
        if self.limit < 1:
            raise InvalidParameter(f"limit [{self.limit}] is invalid, it should be greater than 0", key="limit")
        _check_result_window(self.limit, self.offset)
        if not 1 <= len(self.searches) <= MAX_SEARCHES:
            raise InvalidParameter(
                f"a hybrid search has 1 to {MAX_SEARCHES} ann search requests, but got {len(self.searches)}",
                value=len(self.searches),
            )
        check_number_of_weights(self.ranker, len(self.searches))
        for number, search in enumerate(self.searches, 1):
            self._check_params(number, search.params)
        queries = [search.number_of_queries for search in self.searches]
        for number in queries:
            if number != queries[0]:
                raise InvalidParameter(
                    "sub search request nq should be the same: invalid parameter"
                    f"[expected={queries[0]}][actual={number}]. Give each search as many query vectors",
                    expected=queries[0],
                    actual=number,
                )
        check_number_of_queries(sum(queries))

    def _check_params(self, number: int, params: SearchParams) -> None:
        """Refuse what would have no effect in one of the searches."""
        if params.grouping is not None and not params.grouping.makes_the_groups_of(self.grouping):
            raise InvalidParameter(
                "not support search_group_by operation in the hybrid search: group_by_field, group_size and "
                f"strict_group_size of its search {number} are not those of the hybrid search itself; give them to "
                "that alone",
                key="group_by_field",
            )
        if params.round_decimal not in (None, self.round_decimal):
            raise InvalidParameter(
                f"round_decimal [{params.round_decimal}] of search {number} of a hybrid search is not that of the "
                "hybrid search itself: only fused scores are rounded",
                key="round_decimal",
            )
        if params.timezone not in ("", self.timezone):
            raise InvalidParameter(
                f"timezone [{shorten(params.timezone)}] of search {number} of a hybrid search is not that of the "
                "first; give all of them the same",
                key="timezone",
            )


def _check_result_window(limit: int, offset: int) -> None:
    if offset < 0:
        raise InvalidParameter(f"offset [{offset}] is invalid, it should be 0 or more", key="offset")
    window = limit + offset
    if window > MAX_WINDOW:
        raise InvalidParameter(
            f"invalid max query result window, (offset+limit) should be in range [1, {MAX_WINDOW}], but got {window}",
            window=window,
        )


def check_number_of_keys(number: int) -> None:
    """Raise InvalidParameter for more than :data:`MAX_KEYS` primary keys."""
    if number > MAX_KEYS:
        raise InvalidParameter(f"at most {MAX_KEYS} ids are taken in one call, but got {number}", key="id")
