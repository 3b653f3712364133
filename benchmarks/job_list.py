"""How long a page of the job list takes with a long history, and what else a list may be asked for.

    python -m benchmarks.job_list
    python -m benchmarks.job_list --jobs 100000 --catalog sqlite
    python -m benchmarks.job_list --catalog postgresql

The history is written straight into the catalog of a fresh server: jobs of thirty days in ten collections of two
databases, nearly all completed, a few failed or aborted, some unfinished ones that wait for their commit. Every case
is asked many times, each time somewhere else in the history. Times are milliseconds: of the catalog alone, and of the
whole HTTP call on one connection that stays open.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import insert

from benchmarks.machine import describe_machine
from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db import tables
from penstock.catalog.db.connection import from_millis
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.collections import Collection
from penstock.domain.ids import DAY_MILLIS, day_of, first_id_at, millis_of
from penstock.domain.jobs import JobState
from tests.support.catalogs import CLUSTER
from tests.support.postgres import running_postgres
from tests.support.servers import running_server

DAYS = 29
BATCH = 10_000
PAGE = 100
TIMES = 200
WAITING = 100
KEY = b"A" * 43 + b"="


@dataclass(frozen=True, slots=True)
class Case:
    """``filter`` draws what to ask the catalog for; ``body`` says the same in a list call."""

    name: str
    filter: Callable[[random.Random], JobFilter]
    body: Callable[[JobFilter], Mapping[str, Any]]
    offset: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--catalog", choices=["sqlite", "postgresql"], action="append")
    options = parser.parse_args()
    for kind in options.catalog or ["sqlite", "postgresql"]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            measure(kind, options.jobs, folder, stack)
    print(describe_machine())


def measure(kind: str, jobs: int, folder: Path, stack: ExitStack) -> None:
    url = f"sqlite:///{folder / 'data' / 'catalog.db'}"
    if kind == "postgresql":
        url = stack.enter_context(stack.enter_context(running_postgres()).database())
    environment = {"PENSTOCK_CATALOG_URL": url}
    with running_server(folder, "--workers", "1", env=environment) as server:
        with server.client() as client:
            client.databases.create("archive")
        for database in ("default", "archive"):
            with server.client(database=database) as client:
                for number in range(5):
                    client.collections.create(f"c{number}", dimension=4)
    catalog = open_catalog(url, KEY)
    began = time.perf_counter()
    ids = fill(catalog, jobs)
    print(f"{kind}: {jobs:,} jobs written in {time.perf_counter() - began:.0f} s")
    print(f"{'':44}{'catalog':>18}{'HTTP':>18}")
    print(f"{'page of 100':44}{'median':>9}{'p99':>9}{'median':>9}{'p99':>9}")
    with (
        running_server(folder, "--workers", "1", env=environment, name="again") as server,
        requests.Session() as session,
    ):
        for case in cases(catalog, ids):
            found = figures(case, catalog, session, server.url)
            print(f"{case.name:44}" + "".join(f"{each:9.2f}" for each in found), flush=True)
    catalog.close()


def figures(case: Case, catalog: Catalog, session: requests.Session, url: str) -> Sequence[float]:
    chance = random.Random(7)

    def ask_catalog() -> None:
        wanted = case.filter(chance)
        catalog.job_list.page(wanted, limit=PAGE, offset=case.offset)
        catalog.job_list.total(wanted)

    def ask_server() -> None:
        body = {
            "clusterId": CLUSTER,
            "pageSize": PAGE,
            "currentPage": case.offset // PAGE + 1,
            **case.body(case.filter(chance)),
        }
        reply = session.post(f"{url}/v2/vectordb/jobs/import/list", json=body, timeout=60)
        assert reply.json()["code"] == 0, reply.text
        assert reply.json()["data"]["records"], body

    return [*timed(ask_catalog), *timed(ask_server)]


def timed(call: Callable[[], None]) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds."""
    for _ in range(5):
        call()
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def cases(catalog: Catalog, ids: Sequence[int]) -> Iterator[Case]:
    all_jobs = JobFilter(cluster_id=CLUSTER)
    archive = catalog.databases.get(CLUSTER, "archive")
    collection = catalog.collections.get(archive, "c1")
    failed = (JobState.FAILED, JobState.ABORTED)

    def deep(chance: random.Random) -> int:
        return ids[chance.randrange(PAGE, len(ids))]

    def before(wanted: JobFilter) -> dict[str, Any]:
        return {} if wanted.before is None else {"before": str(wanted.before)}

    yield Case("newest", lambda _: all_jobs, before)
    yield Case("before= a job anywhere", lambda chance: replace(all_jobs, before=deep(chance)), before)
    yield Case(
        "one collection, before=",
        lambda chance: replace(all_jobs, collection_id=collection.id, database_id=archive.id, before=deep(chance)),
        lambda wanted: before(wanted) | {"dbName": "archive", "collectionName": "c1"},
    )
    yield Case(
        "one database, before=",
        lambda chance: replace(all_jobs, database_id=archive.id, before=deep(chance)),
        lambda wanted: before(wanted) | {"dbName": "archive"},
    )
    yield Case(
        "Failed or aborted, before=",
        lambda chance: replace(all_jobs, states=failed, before=deep(chance)),
        lambda wanted: before(wanted) | {"state": "Failed"},
    )
    yield Case(
        "Uncommitted only (100 among all)",
        lambda _: replace(all_jobs, states=(JobState.UNCOMMITTED,)),
        lambda _: {"state": "Uncommitted"},
    )
    yield Case(
        "created within one hour",
        lambda chance: within(all_jobs, millis_of(deep(chance)), 3600 * 1000),
        lambda wanted: times(wanted),
    )
    yield Case(
        "created within ten days",
        lambda chance: within(all_jobs, millis_of(deep(chance)) - 5 * DAY_MILLIS, 10 * DAY_MILLIS),
        lambda wanted: times(wanted),
    )
    for part in (10, 2, 1):
        offset = max(0, len(ids) // part // PAGE * PAGE - PAGE)
        yield Case(f"page {offset // PAGE + 1:,} by its number", lambda _: all_jobs, before, offset)


def within(wanted: JobFilter, start: int, length: int) -> JobFilter:
    return replace(wanted, created_after=start, created_before=start + length)


def times(wanted: JobFilter) -> dict[str, Any]:
    bounds = {"createdAfter": wanted.created_after, "createdBefore": wanted.created_before}
    return {name: from_millis(bound).isoformat() for name, bound in bounds.items() if bound is not None}


def fill(catalog: Catalog, jobs: int) -> list[int]:
    """Write the history; returns the ids, oldest first."""
    chance = random.Random(1)
    collections = [
        each for database in catalog.databases.list(CLUSTER) for each in catalog.collections.list(database)
    ]
    now = int(time.time() * 1000)
    start = now - DAYS * DAY_MILLIS
    moments = (start + chance.randrange(DAYS * DAY_MILLIS) for _ in range(jobs))
    ids = sorted({first_id_at(moment) + chance.randrange(1 << 18) for moment in moments})
    waiting = set(chance.sample(ids, WAITING))
    counts: Counter[tuple[int, str, str]] = Counter()
    days: Counter[tuple[int, str, str, int]] = Counter()
    for first in range(0, len(ids), BATCH):
        rows = [row_of(id_, chance, collections, id_ in waiting) for id_ in ids[first : first + BATCH]]
        for row in rows:
            of = (row["database_id"], row["collection_id"], row["state"])
            counts[of] += 1
            if row["finished_at"] is not None:
                days[(*of, day_of(row["id"]))] += 1
        with catalog.database.write() as connection:
            connection.execute(insert(tables.job), rows)
    names = ("cluster_id", "database_id", "collection_id", "state", "day")
    with catalog.database.write() as connection:
        for table, counted in ((tables.job_counter, counts), (tables.job_day, days)):
            rows = [{**dict(zip(names, (CLUSTER, *of), strict=False)), "jobs": n} for of, n in counted.items()]
            connection.execute(insert(table), rows)
    if catalog.database.is_shared:
        # What the server does by itself within minutes.
        with catalog.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE job")
    return ids


def row_of(job_id: int, chance: random.Random, collections: Sequence[Collection], waits: bool) -> dict[str, Any]:
    collection = chance.choice(collections)
    state = chance.choices([JobState.COMPLETED, JobState.FAILED, JobState.ABORTED], [97, 2, 1])[0]
    if waits:
        state = JobState.UNCOMMITTED
    created = millis_of(job_id)
    return {
        "id": job_id,
        "cluster_id": CLUSTER,
        "database_id": collection.database_id,
        "database": collection.database,
        "collection_id": collection.id,
        "collection": collection.name,
        "partition": None,
        "state": state.value,
        "auto_commit": not waits,
        "groups": [[f"loads/{job_id}/part-{number}.parquet"] for number in range(4)],
        "options": {},
        "progress": 100,
        "rows": 100_000,
        "total_rows": 100_000,
        "size": 300_000_000,
        "reason": "row 17, field vector: 127 dimensions instead of 128" if state is JobState.FAILED else None,
        "warnings": [],
        "created_at": created,
        "started_at": created + 50,
        "finished_at": None if waits else created + chance.randrange(1_000, 600_000),
        "runnable": False,
    }


if __name__ == "__main__":
    main()
