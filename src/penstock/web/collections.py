"""``/collections``: the collections of a cluster, with their rows, indexes and last import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.jobs import ImportJob, JobState
from penstock.errors import PenstockError
from penstock.imports.requests import JobQuery
from penstock.web.commands import command, copies
from penstock.web.page import PageReply, PageRoute, Visit
from penstock.web.pages import Pages
from penstock.web.progress import JobView, view

PAGE_SIZE = 50
_MAX_PAGE = 1_000_000
_HISTORY = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRow:
    """A collection in the list. ``rows`` is None, and ``problem`` says why, where its table can't be read."""

    collection: Collection
    rows: int | None
    problem: str
    indexes: Sequence[str]
    last: JobView | None
    spark: str


def routes(pages: Pages) -> tuple[PageRoute, ...]:
    def show(visit: Visit) -> PageReply:
        part = visit.query.get("q").lower()
        matching = [collection for collection in visible_collections(pages, visit) if part in collection.name.lower()]
        page = max(1, visit.query.number("page", 1, _MAX_PAGE))
        shown = islice(matching, (page - 1) * PAGE_SIZE, page * PAGE_SIZE)
        return pages.show(
            visit,
            "collections.html",
            rows=[_row(pages, visit, collection) for collection in shown],
            total=len(matching),
            page=page,
            page_size=PAGE_SIZE,
            copies=copies(
                "/collections/list",
                {"clusterId": visit.cluster.id},
                python="print(client.collections.list())",
                cli=command("penstock", "collections", "list"),
            ),
        )

    return (PageRoute(method="GET", path="/collections", handler=show, action="collection.list"),)


def visible_collections(pages: Pages, visit: Visit) -> Sequence[Collection]:
    """The collections that the caller may read, by database and name."""
    visible = visit.caller.databases(Role.READER, visit.cluster)
    if visible == frozenset():
        visit.caller.require(Role.READER, visit.cluster)
    collections = [
        collection
        for collection in pages.services.collections.all(visit.cluster.id)
        if visible is None or collection.database in visible
    ]
    return sorted(collections, key=lambda collection: (collection.database, collection.name))


def completed_jobs(pages: Pages, visit: Visit, collection: Collection, count: int) -> Sequence[ImportJob]:
    """The newest completed imports of a collection, newest first."""
    query = JobQuery(
        cluster_id=visit.cluster.id,
        database=collection.database,
        collection=collection.name,
        states=(JobState.COMPLETED,),
        page_size=count,
        caller=visit.caller,
    )
    return pages.services.imports.list(query).jobs


def _row(pages: Pages, visit: Visit, collection: Collection) -> CollectionRow:
    rows, problem = None, ""
    try:
        rows = pages.services.collections.count(visit.cluster.id, collection.database, collection.name)
    except PenstockError as error:
        problem = str(error)  # one damaged table is no reason to show none of the others
    jobs = completed_jobs(pages, visit, collection, _HISTORY)
    return CollectionRow(
        collection=collection,
        rows=rows,
        problem=problem,
        indexes=[spec.type for spec in pages.services.indexes.list(collection)],
        last=view(jobs[0]) if jobs else None,
        spark=_spark([job.rows for job in reversed(jobs)]),
    )


def _spark(rows: Sequence[int]) -> str:
    """The points of a line of 96 by 20: the rows that the imports brought, one after the other."""
    sums = [0, *accumulate(rows)]
    if len(sums) < 3 or not sums[-1]:
        return ""
    return " ".join(
        f"{96 * position / (len(sums) - 1):.1f},{19 - 18 * value / sums[-1]:.1f}"
        for position, value in enumerate(sums)
    )
