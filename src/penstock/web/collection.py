"""``/collections/<database>/<name>``: rows, schema, indexes, imports and partitions of one collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.collections.collections import StoredSpace
from penstock.collections.entity_requests import QueryRequest
from penstock.collections.indexes import IndexStatus
from penstock.collections.result_memory import release_on_error
from penstock.domain.access import Role
from penstock.domain.collections import Collection, LoadState
from penstock.domain.jobs import ImportJob
from penstock.errors import CollectionNotLoaded, InvalidParameter, NotFound, PenstockError, StorageError
from penstock.web.cells import CellTable, cell_table
from penstock.web.collections import completed_jobs
from penstock.web.commands import Copies, command, copies, database_flag
from penstock.web.downloads import json_lines
from penstock.web.page import PageReply, PageRoute, Visit, address, redirect
from penstock.web.pages import Pages
from penstock.web.progress import view

PATH = "/collections/{database}/{collection}"
TABS: Mapping[str, str] = {
    "": "Rows",
    "search": "Search",
    "schema": "Schema",
    "indexes": "Indexes",
    "imports": "Imports",
    "partitions": "Partitions",
}
ROWS_PER_PAGE = 50
MAX_DOWNLOAD = 10_000
_MAX_PAGE = 300
"""Rows further on are shown by a filter: limit and offset of a query are bounded."""
_PARTITIONS_PER_PAGE = 100
_IMPORTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsPage:
    """Rows of a collection as cells, or the ``error`` of the filter.

    ``has_next``: there is another page; ``is_last_shown``: there are more rows, but no page shows them.
    """

    table: CellTable = field(default_factory=CellTable)
    keys: Sequence[Any] = ()
    has_next: bool = False
    is_last_shown: bool = False
    error: str = ""


def routes(pages: Pages) -> tuple[PageRoute, ...]:
    services = pages.services

    def show(visit: Visit) -> PageReply:
        collection = collection_of(pages, visit)
        tab = visit.query.get("tab") if visit.query.get("tab") in TABS and visit.query.get("tab") != "search" else ""
        page = max(1, visit.query.number("page", 1, _MAX_PAGE))
        values = _TAB_VALUES[tab](pages, visit, collection, page)
        return show_tab(pages, visit, collection, tab, "collection.html", page=page, **values)

    def download(visit: Visit) -> PageReply:
        collection = collection_of(pages, visit)
        chosen = QueryRequest(filter=visit.query.get("filter"))
        # Memory for as many rows as the limit has is reserved until the last of them has been received.
        rows = services.entities.count(collection, chosen)
        request = replace(chosen, limit=max(1, min(rows, MAX_DOWNLOAD)))
        result = services.entities.query(collection, request, org_id=visit.cluster.org_id)
        with release_on_error(result.held):
            lines = b"".join(json_lines(result))
        name = f"{collection.name}.jsonl"
        return PageReply(content=lines, media_type="application/x-ndjson", filename=name, held=result.held)

    def confirm_drop(visit: Visit) -> PageReply:
        collection = collection_of(pages, visit)
        visit.require(Role.WRITER, collection.database)
        rows = _count(pages, collection)
        return pages.show(visit, "confirm_drop.html", collection=collection, rows=rows, error="")

    def drop(visit: Visit) -> PageReply:
        visit.require(Role.WRITER, visit.call.arguments["database"])
        collection = collection_of(pages, visit)
        if visit.form.get("name") != collection.name:
            raise InvalidParameter(f"type the collection's name, {collection.name}, to drop it", name="name")
        services.collections.drop(visit.cluster.id, collection.database, collection.name)
        return redirect(address("/collections", cluster=visit.form.get("cluster")))

    def load(visit: Visit) -> PageReply:
        visit.require(Role.WRITER, visit.call.arguments["database"])
        collection = collection_of(pages, visit)
        services.collections.load(visit.cluster.id, collection.database, collection.name)
        return redirect(address(visit.call.path.removesuffix("/load"), cluster=visit.form.get("cluster")))

    def release(visit: Visit) -> PageReply:
        visit.require(Role.WRITER, visit.call.arguments["database"])
        collection = collection_of(pages, visit)
        services.collections.release(visit.cluster.id, collection.database, collection.name)
        return redirect(address(visit.call.path.removesuffix("/release"), cluster=visit.form.get("cluster")))

    return (
        PageRoute(method="GET", path=PATH, handler=show, action="collection.describe"),
        PageRoute(method="GET", path=f"{PATH}/rows.jsonl", handler=download, action="entity.query"),
        PageRoute(method="GET", path=f"{PATH}/drop", handler=confirm_drop, action="collection.describe"),
        PageRoute(method="POST", path=f"{PATH}/drop", handler=drop, action="collection.drop"),
        PageRoute(method="POST", path=f"{PATH}/load", handler=load, action="collection.load"),
        PageRoute(method="POST", path=f"{PATH}/release", handler=release, action="collection.release"),
    )


def collection_of(pages: Pages, visit: Visit) -> Collection:
    """The collection of the address, for callers who may read its database.

    Raises:
        PermissionDenied, DatabaseNotFound, CollectionNotFound.
    """
    database, name = visit.call.arguments["database"], visit.call.arguments["collection"]
    visit.require(Role.READER, database)
    return pages.services.collections.get(visit.cluster.id, database, name)


def show_tab(
    pages: Pages,
    visit: Visit,
    collection: Collection,
    tab: str,
    template: str,
    copies: Copies | None = None,
    **values: Any,
) -> PageReply:
    """Render a tab of a collection, with what all of them show. Without ``copies`` these describe the collection."""
    return pages.show(
        visit,
        template,
        collection=collection,
        tab=tab,
        tabs=TABS,
        count=_count(pages, collection),
        is_released=collection.load_state is LoadState.RELEASED,
        may_change=visit.may(Role.WRITER, collection.database),
        copies=copies or _describe_copies(visit, collection),
        **values,
    )


def _query_rows(pages: Pages, collection: Collection, request: QueryRequest, org_id: str) -> list[dict[str, Any]]:
    """The rows of a query, as the API renders them. Raises as :meth:`EntityService.query`."""
    result = pages.services.entities.query(collection, request, org_id=org_id)
    try:
        return pages.services.render_rows(result.table, collection.schema, result.fields, int64_as_number=True)
    finally:
        if result.held is not None:
            result.held.release()


def _count(pages: Pages, collection: Collection) -> int | None:
    try:
        return pages.services.collections.count(collection.cluster_id, collection.database, collection.name)
    except PenstockError:
        return None  # the tab that reads the table shows the reason


def _rows(pages: Pages, visit: Visit, collection: Collection, page: int) -> dict[str, Any]:
    filter_text = visit.query.get("filter")
    request = QueryRequest(filter=filter_text, limit=ROWS_PER_PAGE + 1, offset=(page - 1) * ROWS_PER_PAGE)
    body: dict[str, Any] = {
        "clusterId": visit.cluster.id,
        "dbName": collection.database,
        "collectionName": collection.name,
        "filter": filter_text,
        "limit": ROWS_PER_PAGE,
        "offset": request.offset,
    }
    values = {
        "rows_per_page": ROWS_PER_PAGE,
        "max_download": MAX_DOWNLOAD,
        "copies": copies(
            "/entities/query",
            body,
            python=f"for row in client.query({_arguments(collection, filter_text, request.offset)}):\n    print(row)",
            cli=command(
                *("penstock", "query", collection.name, *database_flag(collection.database)),
                *(("--filter", filter_text) if filter_text else ()),
                *("--limit", str(ROWS_PER_PAGE)),
                *(("--offset", str(request.offset)) if request.offset else ()),
            ),
            database=collection.database,
        ),
    }
    try:
        rows = _query_rows(pages, collection, request, visit.cluster.org_id)
    except (InvalidParameter, NotFound, CollectionNotLoaded) as error:
        return values | {"found": RowsPage(error=str(error))}
    shown = rows[:ROWS_PER_PAGE]
    primary = collection.schema.primary.name
    table = cell_table(shown, [field.name for field in collection.schema.fields])
    has_more = len(rows) > ROWS_PER_PAGE
    found = RowsPage(
        table=table,
        keys=[row[primary] for row in shown],
        has_next=has_more and page < _MAX_PAGE,
        is_last_shown=has_more and page == _MAX_PAGE,
    )
    return values | {"found": found}


def _arguments(collection: Collection, filter_text: str, offset: int) -> str:
    """The arguments of the Python client's ``query`` for a page of rows."""
    values: dict[str, Any] = {"limit": ROWS_PER_PAGE} | ({"offset": offset} if offset else {})
    texts = [repr(collection.name), *([repr(filter_text)] if filter_text else [])]
    return ", ".join([*texts, *(f"{name}={value}" for name, value in values.items())])


def _schema(pages: Pages, visit: Visit, collection: Collection, page: int) -> dict[str, Any]:
    del page
    description = pages.services.collections.describe(visit.cluster.id, collection.database, collection.name)
    return {"description": description, "space": _space(pages, collection)}


def _space(pages: Pages, collection: Collection) -> StoredSpace | None:
    try:
        return pages.services.collections.space(collection.cluster_id, collection.database, collection.name)
    except StorageError:
        return None  # the tab of the rows shows the reason


def _indexes(pages: Pages, visit: Visit, collection: Collection, page: int) -> dict[str, Any]:
    del visit, page
    indexes = pages.services.indexes
    statuses: Sequence[IndexStatus] = [indexes.status(collection, spec.name) for spec in indexes.list(collection)]
    return {"statuses": statuses, "is_building": any(status.is_building for status in statuses)}


def _imports(pages: Pages, visit: Visit, collection: Collection, page: int) -> dict[str, Any]:
    del page
    jobs = completed_jobs(pages, visit, collection, _IMPORTS)
    return {"jobs": [view(job) for job in jobs], "bars": _bars(list(reversed(jobs)))}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the chart of imports, in a box of 1000 by 100."""

    x: float
    y: float
    width: float
    height: float
    title: str


def _bars(jobs: Sequence[ImportJob]) -> Sequence[Bar]:
    most = max((job.rows for job in jobs), default=0)
    if not most:
        return ()
    step = 1000 / max(len(jobs), 20)
    return [
        Bar(
            x=round(position * step, 1),
            y=round(100 - 100 * job.rows / most, 1),
            width=round(step * 0.8, 1),
            height=round(100 * job.rows / most, 1),
            title=f"{job.rows:,} rows, job {job.id}",
        )
        for position, job in enumerate(jobs)
    ]


def _partitions(pages: Pages, visit: Visit, collection: Collection, page: int) -> dict[str, Any]:
    del visit
    partitions = pages.services.partitions
    every = partitions.list(collection)
    shown = every[(page - 1) * _PARTITIONS_PER_PAGE : page * _PARTITIONS_PER_PAGE]
    return {
        "partitions": [(partition, partitions.count(collection, partition.name)) for partition in shown],
        "total": len(every),
        "per_page": _PARTITIONS_PER_PAGE,
    }


_TAB_VALUES = {"": _rows, "schema": _schema, "indexes": _indexes, "imports": _imports, "partitions": _partitions}


def _describe_copies(visit: Visit, collection: Collection) -> Copies:
    body = {"clusterId": visit.cluster.id, "dbName": collection.database, "collectionName": collection.name}
    return copies(
        "/collections/describe",
        body,
        python=f"print(client.collections.describe({collection.name!r}))",
        cli=command("penstock", "collections", "describe", collection.name, *database_flag(collection.database)),
        database=collection.database,
    )
