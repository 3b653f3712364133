"""The audit log: entries are added and read, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from penstock.catalog import Catalog
from penstock.domain.audit import AuditEntry
from penstock.domain.jobs import JobState
from penstock.errors import JobStateConflict
from tests.support.catalogs import new_job, stored_collection

DROP = AuditEntry(
    caller="nightly",
    caller_id="key-1",
    org_id="org-default",
    address="192.0.2.7",
    action="collection.drop",
    cluster_id="in01-local",
    database="default",
    collection="docs",
    job_id=470638772005436140,
    subject="p",
    outcome="permission_denied",
    reason="nightly needs the role writer",
    times=3,
)


def test_what_is_added_is_read_as_it_was_with_its_time(catalog: Catalog) -> None:
    catalog.audit.add(DROP)
    [entry] = catalog.audit.read()
    assert entry.at is not None
    assert abs(datetime.now(UTC) - entry.at) < timedelta(minutes=1)
    assert replace(entry, at=None) == DROP


@pytest.mark.parametrize("statement", ["UPDATE audit SET outcome = 'ok'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_database_refuses_to_change_what_stands_there(catalog: Catalog, statement: str) -> None:
    if statement.startswith("TRUNCATE") and not catalog.database.is_shared:
        pytest.skip("SQLite has no such statement")
    catalog.audit.add(DROP)
    with pytest.raises(DBAPIError, match="the audit log is append-only"), catalog.database.write() as connection:
        connection.exec_driver_sql(statement)
    assert [replace(each, at=None) for each in catalog.audit.read()] == [DROP]


def test_times_and_orgs_select(catalog: Catalog) -> None:
    for org in ("org-ann", "org-bob", None):
        catalog.audit.add(replace(DROP, org_id=org))
    assert [each.org_id for each in catalog.audit.read(org_id="org-bob")] == ["org-bob"]
    times = [each.at for each in catalog.audit.read()]
    assert None not in times
    now = datetime.now(UTC)
    assert len(list(catalog.audit.read(since=now - timedelta(hours=1), until=now + timedelta(hours=1)))) == 3
    assert list(catalog.audit.read(since=now + timedelta(hours=1))) == []
    assert list(catalog.audit.read(until=now - timedelta(hours=1))) == []


def test_a_long_log_is_read_page_by_page_each_entry_once(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.catalog.access.audit._PAGE", 7)
    for number in range(30):
        catalog.audit.add(replace(DROP, times=number))
    assert [each.times for each in catalog.audit.read()] == list(range(30))
    assert [each.times for each in catalog.audit.read(org_id="org-default")] == list(range(30))


def test_a_job_and_the_entry_of_who_made_it_are_stored_together(catalog: Catalog) -> None:
    create = AuditEntry(caller="ann", action="import.create", collection="docs")
    job = catalog.jobs.insert(replace(new_job(stored_collection(catalog)), audit=create))
    assert [replace(each, at=None) for each in catalog.audit.read()] == [replace(create, job_id=job.id)]
    abort = AuditEntry(caller="bob", action="import.abort", job_id=job.id)
    failed = catalog.jobs.request_transition(job, JobState.FAILED, audit=abort)
    with pytest.raises(JobStateConflict):
        catalog.jobs.request_transition(job, JobState.ABORTED, audit=abort)
    retry = AuditEntry(caller="ann", action="import.retry", job_id=job.id)
    catalog.jobs.retry(failed, {}, None, audit=retry)
    assert [each.action for each in catalog.audit.read()] == ["import.create", "import.abort", "import.retry"]
