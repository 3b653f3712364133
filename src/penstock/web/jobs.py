"""``/``: the list of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from penstock.domain.access import Role
from penstock.domain.ids import parse_id
from penstock.domain.jobs import LIVE_STATES, JobState
from penstock.errors import NotFound
from penstock.imports.requests import JobQuery
from penstock.web.commands import DEFAULT_DATABASE, Copies, command, copies, database_flag
from penstock.web.page import PageReply, PageRoute, Visit, address, redirect
from penstock.web.pages import Pages
from penstock.web.progress import view

PAGE_SIZE = 50
_MAX_PAGE = 1_000_000
_NEW_SHOWN = 20
_MAX_COLLECTIONS = 500

STATE_FILTERS: Mapping[str, tuple[str, Sequence[JobState]]] = {
    "running": (
        "Running",
        (JobState.PLANNING, JobState.IMPORTING, JobState.COMMITTING, JobState.INDEXING, JobState.REVERTING),
    ),
    "pending": ("Pending", (JobState.PENDING,)),
    "uncommitted": ("Waiting to commit", (JobState.UNCOMMITTED,)),
    "completed": ("Completed", (JobState.COMPLETED,)),
    "failed": ("Failed", (JobState.FAILED,)),
    "aborted": ("Aborted", (JobState.ABORTED,)),
    "reverted": ("Reverted", (JobState.REVERTED,)),
}
_API_STATES = {
    "running": "Importing",
    "pending": "Pending",
    "uncommitted": "Uncommitted",
    "completed": "Completed",
    "failed": "Failed",
    "aborted": "Failed",
    "reverted": "Failed",
}
"""The state that the API's list knows jobs of a filter by."""
CREATED_FILTERS: Mapping[str, str] = {
    "today": "Today (UTC)",
    "yesterday": "Since yesterday (UTC)",
    "day": "Last 24 h",
    "week": "Last 7 days",
}
_SPANS: Mapping[str, int] = {"day": 1, "week": 7}
"""Days before now, of the filters that don't begin at midnight."""


@dataclass(frozen=True, slots=True)
class Count:
    """A number of jobs, and the filter that shows them."""

    jobs: int
    text: str
    state: str
    created: str = ""


def routes(pages: Pages) -> tuple[PageRoute, ...]:
    imports = pages.services.imports

    def show(visit: Visit) -> PageReply:
        query = _query(visit)
        if (job_id := parse_id(visit.query.get("q"))) is not None and _is_job(pages, visit, job_id):
            return redirect(address(f"/jobs/{job_id}", cluster=visit.query.get("cluster")))
        listed = imports.list(query)
        counts = _counts(pages, visit)
        is_filtered = any(visit.query.get(name) for name in ("state", "collection", "created", "q", "before"))
        if not listed.total and not is_filtered:
            return pages.show(visit, "welcome.html", copies=_copies(query, visit), roots=pages.services.roots)
        newest = listed.jobs[0].id if listed.jobs else 0
        anchor = query.before or newest + 1
        return pages.show(
            visit,
            "jobs.html",
            jobs=[view(job) for job in listed.jobs],
            total=listed.total,
            first=(query.page - 1) * PAGE_SIZE,
            page=query.page,
            counts=counts,
            new=_new_jobs(pages, query, anchor) if query.page == 1 else 0,
            anchor=anchor,
            is_live=any(job.state in LIVE_STATES for job in listed.jobs),
            state_filters=STATE_FILTERS,
            created_filters=CREATED_FILTERS,
            collections=_collection_names(pages, visit),
            copies=_copies(query, visit),
        )

    return (PageRoute(method="GET", path="/", handler=show, action="import.list", read_only=True),)


def _query(visit: Visit) -> JobQuery:
    values = visit.query
    database, _, collection = values.get("collection").partition("/")
    _, states = STATE_FILTERS.get(values.get("state"), ("", ()))
    return JobQuery(
        cluster_id=visit.cluster.id,
        database=database or None,
        collection=collection or None,
        states=states,
        created_after=created_after(values.get("created")),
        page_size=PAGE_SIZE,
        page=max(1, values.number("page", 1, _MAX_PAGE)),
        before=parse_id(values.get("before")),
        text=values.get("q")[:200],
        caller=visit.caller,
    )


def created_after(name: str) -> datetime | None:
    now = datetime.now(UTC)
    if name in ("today", "yesterday"):
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=1) if name == "yesterday" else midnight
    days = _SPANS.get(name)
    return None if days is None else now - timedelta(days=days)


def _is_job(pages: Pages, visit: Visit, job_id: int) -> bool:
    try:
        pages.services.imports.get(visit.cluster.id, job_id, visit.caller)
    except NotFound:
        return False
    return True


def _counts(pages: Pages, visit: Visit) -> Sequence[Count]:
    """The jobs by state, from counters: what runs and waits, and what came to an end.

    Ended ones count since yesterday: in the morning the night before matters, which began before midnight, and
    midnight is that of UTC. By whole days they are counted without a scan.
    """
    everything = JobQuery(cluster_id=visit.cluster.id, page_size=1, caller=visit.caller)
    now = pages.services.imports.count(everything)
    ended = (JobState.FAILED, JobState.COMPLETED)
    since = created_after("yesterday")
    recent = pages.services.imports.count(replace(everything, states=ended, created_after=since))

    def live(state: str) -> int:
        return sum(now.get(live_state, 0) for live_state in STATE_FILTERS[state][1])

    return (
        Count(live("running"), "running", "running"),
        Count(live("pending"), "pending", "pending"),
        Count(live("uncommitted"), "waiting to commit", "uncommitted"),
        Count(recent.get(JobState.FAILED, 0), "failed since yesterday", "failed", "yesterday"),
        Count(recent.get(JobState.COMPLETED, 0), "completed since yesterday", "completed", "yesterday"),
    )


def _new_jobs(pages: Pages, query: JobQuery, anchor: int) -> int:
    """How many jobs came since the page was opened, up to one more than is shown."""
    if query.before is None or query.text:
        return 0
    newest = pages.services.imports.list(replace(query, before=None, page_size=_NEW_SHOWN + 1))
    return sum(job.id >= anchor for job in newest.jobs)


def _collection_names(pages: Pages, visit: Visit) -> Sequence[str]:
    """``database/collection`` of all that the caller may read, for the filter."""
    visible = visit.caller.databases(Role.READER, visit.cluster)
    return [
        f"{database}/{name}"
        for database, name in pages.services.collections.names(visit.cluster.id)
        if visible is None or database in visible
    ][:_MAX_COLLECTIONS]


def _copies(query: JobQuery, visit: Visit) -> Copies:
    """The same list from elsewhere: with the filters of the state, the time and the collection."""
    state = _API_STATES.get(visit.query.get("state"))
    since = created_after(visit.query.get("created"))
    database = query.database or DEFAULT_DATABASE
    body: dict[str, object] = {"clusterId": query.cluster_id, "pageSize": query.page_size, "currentPage": query.page}
    if query.collection:
        body |= {"dbName": database, "collectionName": query.collection}
    if state:
        body["state"] = state
    if since:
        body["createdAfter"] = since.isoformat(timespec="seconds")
    arguments = [
        *([repr(query.collection)] if query.collection else ["all_databases=True"]),
        *([f"state={state!r}"] if state else []),
        *([f"since=datetime.fromisoformat({body['createdAfter']!r})"] if since else []),
    ]
    python = f"for job in client.imports.list({', '.join(arguments)}):\n    print(job.id, job.state, job.progress)"
    return copies(
        "/jobs/import/list",
        body,
        python=("from datetime import datetime\n\n" if since else "") + python,
        cli=command(
            *("penstock", "jobs", "list", "--cluster-id", query.cluster_id),
            *(("--collection", query.collection, *database_flag(database)) if query.collection else ()),
            *(() if query.collection else ("--all-databases",)),
            *(("--state", state) if state else ()),
            *(("--since", str(body["createdAfter"])) if since else ()),
        ),
        database=database,
        cluster=query.cluster_id,
    )
