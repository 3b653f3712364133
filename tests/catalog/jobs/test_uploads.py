"""Uploads in the catalog: found again, counted, kept as long as a job needs them, and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from penstock.catalog import Catalog
from penstock.domain.jobs import ImportJob, JobState
from penstock.domain.uploads import Upload
from penstock.errors import LimitExceeded, QuotaExceeded, UploadConflict, UploadNotFound
from tests.support.catalogs import input_file, new_job, new_split, opened_catalog, tenant

DAY = 24 * 3600 * 1000
EXPIRED = -1


def create(catalog: Catalog, name: str = "a.csv", size: int = 10, org: str = "ann", lifetime: int = DAY) -> Upload:
    tenant(catalog, org, f"in01-{org}")
    org_id = catalog.orgs.get(org).id
    return catalog.uploads.create(org_id, name, size, "0" * 64, quota=100, lifetime=lifetime)


def job_with(catalog: Catalog, uploads: Sequence[str], **options: str) -> ImportJob:
    docs = tenant(catalog, "ann", "in01-ann")
    catalog.jobs.insert(replace(new_job(docs), uploads=uploads, options=options))
    job = catalog.leases.claim("worker", 60_000)
    assert job is not None
    return catalog.leases.save_plan(catalog.leases.move(job, JobState.PLANNING), [input_file()], [new_split()])


def test_the_same_file_is_the_same_upload_within_an_org(catalog: Catalog) -> None:
    first = create(catalog)
    catalog.uploads.complete(first.id)
    again = create(catalog)
    assert (again.id, again.is_complete, again.path) == (first.id, True, f"upload://{first.id}/a.csv")
    assert create(catalog, "b.csv").id != first.id
    other = create(catalog, org="bob")
    assert other.id != first.id
    for org, upload in (("bob", first), ("ann", other)):
        with pytest.raises(UploadNotFound, match="there is no upload"):
            catalog.uploads.get(catalog.orgs.get(org).id, upload.id)
        with pytest.raises(UploadNotFound):
            catalog.uploads.delete(catalog.orgs.get(org).id, upload.id)


def test_the_quota_of_an_org_holds_for_calls_at_the_same_time(catalog: Catalog) -> None:
    tenant(catalog, "ann", "in01-ann")
    with pytest.raises(LimitExceeded, match="all uploads of an org together may have 100"):
        create(catalog, size=101)

    def attempt(number: int) -> bool:
        try:
            create(catalog, f"{number}.csv", size=30)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 3
    assert create(catalog, org="bob", size=100).size == 100


def test_an_upload_goes_when_its_jobs_have_completed(catalog: Catalog) -> None:
    upload, unused = create(catalog), create(catalog, "b.csv")
    job = job_with(catalog, [upload.id])
    assert catalog.jobs.request(job.id).uploads == {upload.id}
    assert catalog.uploads.take_unneeded() == []
    with pytest.raises(UploadConflict, match="an unfinished job reads the upload"):
        catalog.uploads.delete(upload.org_id, upload.id)
    for state in (JobState.COMMITTING, JobState.INDEXING, JobState.COMPLETED):
        job = catalog.leases.move(job, state)
    # A client that uploads the same file again before the cleanup keeps it.
    assert create(catalog).id == upload.id
    assert catalog.uploads.take_unneeded() == []
    catalog.uploads.delete(upload.org_id, upload.id)
    assert catalog.uploads.present([upload.id, unused.id]) == {unused.id}


def test_an_upload_expires_unless_an_unfinished_job_reads_it(catalog: Catalog) -> None:
    unused = create(catalog, lifetime=EXPIRED)
    read = create(catalog, "b.csv", lifetime=EXPIRED)
    job = job_with(catalog, [read.id])
    assert catalog.uploads.take_unneeded() == [unused.id]
    catalog.leases.move(job, JobState.FAILED, reason="bad row")
    assert catalog.uploads.take_unneeded() == [read.id]
    fresh = create(catalog, "c.csv")
    failed = job_with(catalog, [fresh.id])
    catalog.leases.move(failed, JobState.FAILED, reason="bad row")
    assert catalog.uploads.take_unneeded() == []  # the job may be retried
    catalog.uploads.extend(fresh.id, EXPIRED)
    assert catalog.uploads.take_unneeded() == [fresh.id]


def test_a_completed_job_takes_its_upload_along(catalog: Catalog) -> None:
    upload = create(catalog)
    job = job_with(catalog, [upload.id])
    for state in (JobState.COMMITTING, JobState.INDEXING, JobState.COMPLETED):
        job = catalog.leases.move(job, state)
    assert catalog.uploads.take_unneeded() == [upload.id]
    assert catalog.jobs.request(job.id).uploads == frozenset()


def test_a_dry_run_and_a_job_that_left_rows_out_keep_the_upload(catalog: Catalog) -> None:
    upload = create(catalog)
    dry = job_with(catalog, [upload.id], dry_run="true")
    for state in (JobState.COMMITTING, JobState.INDEXING, JobState.COMPLETED):
        dry = catalog.leases.move(dry, state)
    assert catalog.uploads.take_unneeded() == []
    job = job_with(catalog, [upload.id])
    for state in (JobState.COMMITTING, JobState.INDEXING):
        job = catalog.leases.move(job, state)
    catalog.leases.move(job, JobState.COMPLETED, rejected_rows=3)
    assert catalog.uploads.take_unneeded() == []
    last = job_with(catalog, [upload.id])
    for state in (JobState.COMMITTING, JobState.INDEXING, JobState.COMPLETED):
        last = catalog.leases.move(last, state)
    assert catalog.uploads.take_unneeded() == []  # the rejected rows of the second may still be replayed
    catalog.uploads.extend(upload.id, EXPIRED)
    assert catalog.uploads.take_unneeded() == [upload.id]


def test_no_job_is_created_on_an_upload_that_was_deleted(catalog: Catalog) -> None:
    upload = create(catalog)
    catalog.uploads.delete(upload.org_id, upload.id)
    with pytest.raises(UploadNotFound):
        job_with(catalog, [upload.id])
    assert sum(catalog.jobs.count_by_state("in01-ann").values()) == 0
    with pytest.raises(UploadNotFound):
        catalog.uploads.complete(upload.id)
    with pytest.raises(UploadNotFound):
        catalog.uploads.reopen(upload)


def test_an_upload_that_is_found_again_looks_at_no_jobs_but_its_own(tmp_path: Path) -> None:
    """What holds for the plan holds for a million jobs: the table is not read from end to end."""
    executed: list[tuple[str, Any]] = []
    with opened_catalog(tmp_path) as catalog:
        create(catalog)
        event.listen(
            catalog.database.engine,
            "before_cursor_execute",
            lambda connection, cursor, statement, parameters, *rest: executed.append((statement, parameters)),
        )
        create(catalog)
        [(statement, parameters)] = [each for each in executed if each[0].startswith("DELETE FROM upload_use")]
        with catalog.database.read() as connection:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = [row.detail for row in rows]
    assert any("SEARCH job USING INTEGER PRIMARY KEY" in step for step in plan), plan
