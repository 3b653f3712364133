"""What it takes to begin a job, with long queues of many orgs, and to create one with its entry in the audit log.

    python -m benchmarks.claims
    python -m benchmarks.claims --jobs 100000 --orgs 100 --catalog postgresql

Most jobs wait in one org, the others have a few each. Times are milliseconds of this process's processor, which other
programs on the machine disturb least; with PostgreSQL, the server's own work comes on top.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy import insert, text

from benchmarks.machine import describe_machine
from penstock.catalog import Catalog
from penstock.catalog.db import tables
from penstock.domain.audit import AuditEntry
from penstock.domain.collections import Collection
from penstock.domain.ids import new_id
from penstock.domain.jobs import JobState
from penstock.domain.quotas import Quota
from tests.support.catalogs import new_job, opened_catalog, tenant
from tests.support.postgres import running_postgres

BATCH = 10_000
TIMES = 200
LEASE = 3_600_000
FEW = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--jobs", type=int, default=100_000, help="that wait, and three times as many that have ended"
    )
    parser.add_argument("--orgs", type=int, default=100)
    parser.add_argument("--catalog", choices=["sqlite", "postgresql"], action="append")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(describe_machine())
    for kind in given.catalog or ["sqlite", "postgresql"]:
        with database(kind) as url, opened_catalog(url) as catalog:
            docs = fill(catalog, given.jobs, given.orgs)
            print(f"{kind}: {given.jobs:,} jobs wait, {3 * given.jobs:,} have ended, {given.orgs} orgs")
            claim = partial(catalog.leases.claim, "worker", LEASE, 2)
            show("a claim", claim, 2 * given.orgs)
            show("a look that finds nothing", claim, TIMES)
            plain = new_job(docs)
            show("a create", partial(catalog.jobs.insert, plain), TIMES)
            entry = AuditEntry(caller="nightly", org_id="org-o0", action="import.create", collection="docs")
            told = replace(plain, audit=entry)
            show("a create, audited", partial(catalog.jobs.insert, told), TIMES)
            limited = replace(told, quota=Quota(jobs=1 << 40, daily_bytes=1 << 50))
            show("the same, under a quota", partial(catalog.jobs.insert, limited), TIMES)


@contextmanager
def database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/catalog.db"
        return
    with running_postgres() as server, server.database() as url:
        yield url


def fill(catalog: Catalog, waiting: int, orgs: int) -> Collection:
    """Returns the collection of the org with most jobs."""
    docs = [tenant(catalog, f"o{number}", f"in01-o{number}") for number in range(orgs)]
    few = FEW * (orgs - 1)
    rows = [row(docs[0], ended=number < 3 * waiting) for number in range(4 * waiting - few)]
    rows += [row(doc, ended=False) for _ in range(FEW) for doc in docs[1:]]
    with catalog.database.write() as connection:
        for start in range(0, len(rows), BATCH):
            connection.execute(insert(tables.job), rows[start : start + BATCH])
    with catalog.database.write() as connection:
        connection.execute(text("ANALYZE"))
    return docs[0]


def row(docs: Collection, *, ended: bool) -> dict[str, object]:
    return {
        "id": new_id(),
        "cluster_id": docs.cluster_id,
        "database_id": docs.database_id,
        "database": docs.database,
        "collection_id": docs.id,
        "collection": docs.name,
        "state": (JobState.COMPLETED if ended else JobState.PENDING).value,
        "auto_commit": True,
        "groups": [["a.parquet"]],
        "options": {},
        "warnings": [],
        "created_at": 1,
        "finished_at": 1 if ended else None,
        "runnable": not ended,
    }


def show(what: str, do: Callable[[], object], times: int) -> None:
    begun = time.process_time()
    for _ in range(times):
        do()
    print(f"  {what:<26} {1000 * (time.process_time() - begun) / times:6.2f} ms")


if __name__ == "__main__":
    main()
