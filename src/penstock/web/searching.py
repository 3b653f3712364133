"""The search tab of a collection: by row, pasted vector or text, the results of each vector field side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

import numpy as np
import orjson

from penstock.collections.entity_requests import VectorSearchRequest
from penstock.collections.query_vectors import Queries, sparse_vector, vector_from_numbers
from penstock.domain.collections import Collection
from penstock.domain.parse_int import number_of_digits
from penstock.domain.schema import DataType, Field
from penstock.errors import Conflict, InvalidParameter, NotFound
from penstock.web.cells import CellTable, cell_table
from penstock.web.collection import PATH, collection_of, show_tab
from penstock.web.commands import Copies, command, copies, database_flag
from penstock.web.page import PageReply, PageRoute, Visit
from penstock.web.pages import Pages

_LIMITS = (10, 50, 100)
_EXAMPLE = 'a vector is a list of numbers such as [0.1, 0.2], a sparse one an object such as {"1": 0.5}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """The results of a search in one field, nearest first, or its error."""

    field: Field
    table: CellTable = dataclass_field(default_factory=CellTable)
    keys: Sequence[Any] = ()
    scores: Sequence[float] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What was asked for: ``by`` is ``row``, ``vector`` or ``text``, ``wanted`` the text of the query."""

    by: str
    wanted: str
    filter: str
    limit: int


def routes(pages: Pages) -> tuple[PageRoute, ...]:
    def show(visit: Visit) -> PageReply:
        collection = collection_of(pages, visit)
        query = visit.form if visit.call.method == "POST" else visit.query
        by = query.get("by") or ("text" if _text_fields(collection) else "row")
        wanted = query.get("q")
        limit = query.number("limit", _LIMITS[0], _LIMITS[-1]) or _LIMITS[0]
        fields = _searched(collection, by, query.get("field"))
        request = _Search(by=by, wanted=wanted, filter=query.get("filter"), limit=limit)
        panes = [_pane(pages, visit, collection, field, request) for field in fields] if wanted else []
        return show_tab(
            pages,
            visit,
            collection,
            "search",
            "search.html",
            by=by,
            wanted=wanted,
            filter=request.filter,
            chosen_field=query.get("field"),
            limit=limit,
            limits=_LIMITS,
            panes=panes,
            vector_fields=[field for field in collection.schema.vectors if not field.function_output],
            has_text=bool(_text_fields(collection)),
            copies=_copies(visit, collection, request, fields) if wanted else None,
        )

    path = f"{PATH}/search"
    return (
        PageRoute(method="GET", path=path, handler=show, action="entity.search"),
        # A vector of some thousand numbers is longer than an address may be.
        PageRoute(method="POST", path=path, handler=show, action="entity.search"),
    )


def _text_fields(collection: Collection) -> Sequence[Field]:
    return [field for field in collection.schema.vectors if field.function_output]


def _searched(collection: Collection, by: str, name: str) -> Sequence[Field]:
    """The fields whose results are shown: all that the query fits, or the chosen one."""
    if by == "text":
        return _text_fields(collection)
    fields = [field for field in collection.schema.vectors if not field.function_output]
    chosen = [field for field in fields if field.name == name]
    return chosen or (fields[:1] if by == "vector" else fields)


def _pane(pages: Pages, visit: Visit, collection: Collection, field: Field, search: _Search) -> Pane:
    scalars = [scalar.name for scalar in collection.schema.fields if not scalar.type.is_vector]
    try:
        request = VectorSearchRequest(
            limit=search.limit,
            field_name=field.name,
            filter=search.filter,
            output_fields=scalars,
            queries=() if search.by == "row" else _queries(search.wanted, field),
            keys=_keys(search.wanted, collection) if search.by == "row" else (),
        )
        result = pages.services.searches.search(collection, request, org_id=visit.cluster.org_id)
    except (InvalidParameter, NotFound, Conflict) as error:
        return Pane(field=field, error=str(error))
    try:
        hits = result.hits[0]
        rows = pages.services.render_rows(hits.rows, collection.schema, result.fields, int64_as_number=True)
        scores = [float(score) for score in hits.scores]
    finally:
        if result.held is not None:
            result.held.release()
    primary = collection.schema.primary.name
    return Pane(field=field, table=cell_table(rows, scalars), keys=[row[primary] for row in rows], scores=scores)


def _queries(text: str, field: Field) -> Queries:
    """The query of a text: itself for a full-text search, else a vector as JSON. Raises InvalidParameter."""
    if field.function_output:
        return [text]
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidParameter(f"{_EXAMPLE}: {error}", field=field.name) from error
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        if not isinstance(value, dict):
            raise InvalidParameter(_EXAMPLE, field=field.name)
        return [sparse_vector([number_of_digits(key) for key in value], list(value.values()))]
    if not isinstance(value, list):
        raise InvalidParameter(_EXAMPLE, field=field.name)
    return np.stack([vector_from_numbers(value, field)])


def _keys(text: str, collection: Collection) -> Sequence[int] | Sequence[str]:
    """The primary key of a row. Raises InvalidParameter."""
    primary = collection.schema.primary
    if primary.type is DataType.VARCHAR:
        return [text]
    digits = text.removeprefix("-")
    number = number_of_digits(digits) if digits.isdecimal() and len(digits) < 20 else None
    if number is None or number >= 2**63:
        raise InvalidParameter(f"the key {primary.name} is a whole number, not {text[:80]!r}", field=primary.name)
    return [-number if text.startswith("-") else number]


def _copies(visit: Visit, collection: Collection, search: _Search, fields: Sequence[Field]) -> Copies:
    """The same search from elsewhere: that of the first field, where the page searches several."""
    query = _query_value(search, collection)
    named = fields[0].name if fields and len(collection.schema.vectors) > 1 else ""
    options: dict[str, Any] = {"field": named, "limit": search.limit, "filter": search.filter}
    arguments = "".join(f", {name}={value!r}" for name, value in options.items() if value)
    body: dict[str, Any] = {
        "clusterId": visit.cluster.id,
        "dbName": collection.database,
        "collectionName": collection.name,
        "annsField": named,
        "limit": search.limit,
        "filter": search.filter,
        **({"ids": [query]} if search.by == "row" else {"data": [query]}),
    }
    vector, before = repr(query), ""
    if search.by == "row" and fields:
        vector = "row[field]"
        before = (
            f"field = {fields[0].name!r}\n"
            f"row = client.get({collection.name!r}, {query!r}, output_fields=[field])[0]\n"
        )
    flag = {"row": "--id", "text": "--text"}.get(search.by, "--vector")
    return copies(
        "/entities/search",
        {name: value for name, value in body.items() if value},
        python=f"{before}for hit in client.search({collection.name!r}, [{vector}]{arguments})[0]:\n"
        "    print(hit.id, hit.distance)",
        cli=command(
            *("penstock", "search", collection.name, *database_flag(collection.database), flag, search.wanted),
            *("--limit", str(search.limit)),
            *(("--field", named) if named and search.by != "text" else ()),
            *(("--filter", search.filter) if search.filter else ()),
        ),
        database=collection.database,
    )


def _query_value(search: _Search, collection: Collection) -> Any:
    """The query as a value of the calls: a key, a vector or a text; the text itself where it is not valid."""
    try:
        if search.by == "row":
            return _keys(search.wanted, collection)[0]
        return orjson.loads(search.wanted) if search.by == "vector" else search.wanted
    except (InvalidParameter, orjson.JSONDecodeError):
        return search.wanted
