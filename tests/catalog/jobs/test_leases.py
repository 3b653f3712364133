"""Working on jobs: claims, fencing, plans, progress, ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from penstock.catalog import Catalog
from penstock.catalog.db.connection import now_millis
from penstock.domain.jobs import FileState, ImportJob, JobState, JobWarning, SplitState
from penstock.errors import CatalogError, JobStateConflict, LeaseLost
from tests.support.catalogs import CLUSTER, input_file, new_job, new_split, opened_catalog, stored_collection

LEASE = 60_000
FILES = [input_file()]
SPLITS = [new_split(size=5, max_rows=100, group=number) for number in range(2)]


def claimed(catalog: Catalog, **secret: str) -> ImportJob:
    catalog.jobs.insert(new_job(stored_collection(catalog), **secret))
    job = catalog.leases.claim("worker-1", LEASE)
    assert job is not None
    return job


def importing(catalog: Catalog, **secret: str) -> ImportJob:
    job = catalog.leases.move(claimed(catalog, **secret), JobState.PLANNING)
    return catalog.leases.save_plan(job, FILES, SPLITS, auto_id=True)


def test_the_oldest_job_is_claimed_by_one_worker_only(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    first, second = (catalog.jobs.insert(new_job(docs)) for _ in range(2))
    one, other = (catalog.leases.claim(name, LEASE) for name in ("worker-1", "worker-2"))
    assert one is not None
    assert other is not None
    assert (one.id, other.id) == (first.id, second.id)
    assert catalog.leases.claim("worker-3", LEASE) is None


def test_a_job_whose_lease_ran_out_is_claimed_again_under_a_new_epoch(catalog: Catalog) -> None:
    catalog.jobs.insert(new_job(stored_collection(catalog)))
    stalled = catalog.leases.claim("worker-1", -1)
    taken = catalog.leases.claim("worker-2", LEASE)
    assert stalled is not None
    assert taken is not None
    assert taken.epoch == stalled.epoch + 1
    with pytest.raises(LeaseLost):
        catalog.leases.move(stalled, JobState.PLANNING)
    with pytest.raises(LeaseLost):
        catalog.leases.save_progress(stalled, progress=50, rows=1, total_rows=1, stage="importing")
    assert catalog.leases.move(taken, JobState.PLANNING).state is JobState.PLANNING


def test_renewed_leases_hold_and_released_ones_do_not(catalog: Catalog) -> None:
    job = claimed(catalog)
    catalog.leases.renew("worker-1", LEASE, [(job.id, job.epoch)])
    assert catalog.leases.claim("worker-2", LEASE) is None
    catalog.leases.release(job)
    assert catalog.leases.claim("worker-2", LEASE) is not None


def test_only_what_is_still_worked_on_is_renewed(catalog: Catalog) -> None:
    """What a process could not give back, as the catalog was away, must not live on with its other jobs."""
    docs = stored_collection(catalog)
    for _ in range(2):
        catalog.jobs.insert(new_job(docs))
    left, kept = (catalog.leases.claim("worker-1", LEASE) for _ in range(2))
    assert left is not None
    assert kept is not None
    catalog.leases.renew("worker-1", -1, [(left.id, left.epoch)])
    catalog.leases.renew("worker-1", LEASE, [(kept.id, kept.epoch)])
    taken = catalog.leases.claim("worker-2", LEASE)
    assert taken is not None
    assert taken.id == left.id
    assert catalog.leases.claim("worker-2", LEASE) is None


def test_a_worker_that_writes_nothing_may_ask_whether_the_job_is_still_its_own(catalog: Catalog) -> None:
    job = claimed(catalog)
    catalog.leases.check(job)
    catalog.jobs.request_transition(job, JobState.ABORTED, reason="aborted by user")
    with pytest.raises(LeaseLost):
        catalog.leases.check(job)


def test_a_new_server_on_the_folder_voids_every_lease(catalog: Catalog) -> None:
    claimed(catalog)
    catalog.leases.release_all()
    assert catalog.leases.claim("worker-2", LEASE) is not None


def test_a_plan_reserves_id_ranges_that_nobody_else_gets(catalog: Catalog) -> None:
    job = importing(catalog)
    splits = catalog.jobs.splits(job.id)
    assert [split.auto_id_start for split in splits] == [1, 101]
    docs = catalog.collections.by_id(job.collection_id)
    assert docs is not None
    catalog.jobs.insert(new_job(docs))
    other = catalog.leases.claim("worker-2", LEASE)
    assert other is not None
    other = catalog.leases.save_plan(catalog.leases.move(other, JobState.PLANNING), FILES, SPLITS, auto_id=True)
    assert [split.auto_id_start for split in catalog.jobs.splits(other.id)] == [201, 301]
    assert (job.size, job.total_rows, job.state) == (10, 7, JobState.IMPORTING)


def test_a_staged_split_is_kept_for_whoever_goes_on(catalog: Catalog) -> None:
    job = importing(catalog)
    warning = JobWarning(code="column_dropped", message="column 'x' is not in the schema", count=3)
    catalog.leases.save_split(job, 1, rows=[3], staged={"note": {"files": ["f"]}}, warnings=[warning])
    splits = catalog.jobs.splits(job.id)
    assert [split.state for split in splits] == [SplitState.PENDING, SplitState.STAGED]
    assert splits[1].staged == {"note": {"files": ["f"]}}
    assert catalog.jobs.split_warnings(job.id) == [[warning]]


def test_progress_never_falls(catalog: Catalog) -> None:
    job = importing(catalog)
    file = replace(catalog.jobs.files(job.id)[0], state=FileState.IMPORTING, progress=80, rows=6)
    catalog.leases.save_progress(job, progress=60, rows=6, total_rows=7, stage="importing", files=[file])
    catalog.leases.save_progress(
        job, progress=40, rows=2, total_rows=7, stage="importing", files=[replace(file, progress=20, rows=1)]
    )
    seen = catalog.jobs.get(job.cluster_id, job.id)
    assert (seen.progress, seen.rows) == (60, 6)
    assert (catalog.jobs.files(job.id)[0].progress, catalog.jobs.files(job.id)[0].rows) == (80, 6)


def test_the_end_keeps_progress_sets_times_and_wipes_the_secret(catalog: Catalog) -> None:
    job = importing(catalog, access_key="AKIA", secret_key="hidden")
    assert catalog.jobs.secret(job.id) == {"access_key": "AKIA", "secret_key": "hidden"}
    catalog.leases.save_progress(job, progress=60, rows=6, total_rows=7, stage="importing")
    failed = catalog.leases.move(job, JobState.FAILED, reason="row 3 is bad")
    assert (failed.progress, failed.rows, failed.reason) == (60, 6, "row 3 is bad")
    assert failed.finished_at is not None
    assert catalog.jobs.files(job.id)[0].finished_at is not None
    assert catalog.jobs.secret(job.id) == {}
    assert catalog.leases.claim("worker-2", LEASE) is None


def test_secrets_are_sealed_on_disk_and_need_their_key(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        job = claimed(catalog, secret_key="s3cr3t-words")
    assert b"s3cr3t-words" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    with (
        opened_catalog(tmp_path, Fernet.generate_key()) as other,
        pytest.raises(CatalogError, match="a different key"),
    ):
        other.jobs.secret(job.id)


@pytest.mark.parametrize("then", [JobState.COMPLETED, JobState.COMMITTING, JobState.INDEXING])
def test_steps_are_not_skipped(catalog: Catalog, then: JobState) -> None:
    with pytest.raises(JobStateConflict):
        catalog.leases.move(claimed(catalog), then)


def test_an_abort_from_outside_fences_off_the_worker(catalog: Catalog) -> None:
    job = importing(catalog, token="t")
    aborted = catalog.jobs.request_transition(job, JobState.ABORTED, reason="aborted by user")
    assert aborted.state is JobState.ABORTED
    with pytest.raises(LeaseLost):
        catalog.leases.save_split(job, 0, rows=[1], staged={}, warnings=[])
    with pytest.raises(JobStateConflict):
        catalog.jobs.request_transition(job, JobState.ABORTED, reason="again")
    assert catalog.jobs.secret(job.id) == {}


def test_who_meant_a_job_before_its_retry_does_not_end_it_after_that(catalog: Catalog) -> None:
    """A process sees a job past its time, and stalls; the job fails, is retried, and comes to the same state."""
    seen = importing(catalog)
    failed = catalog.leases.move(seen, JobState.FAILED, reason="import timeout")
    catalog.jobs.retry(failed, {}, None)
    again = catalog.leases.claim("worker-2", LEASE)
    assert again is not None
    again = catalog.leases.save_plan(catalog.leases.move(again, JobState.PLANNING), FILES, SPLITS, auto_id=True)
    assert again.state is seen.state
    with pytest.raises(JobStateConflict):
        catalog.jobs.request_transition(seen, JobState.FAILED, reason="import timeout")
    assert catalog.jobs.get(CLUSTER, seen.id) == again


def test_staged_files_are_found_until_they_are_taken(catalog: Catalog) -> None:
    job = importing(catalog)
    catalog.leases.save_split(job, 0, rows=[1], staged={"note": {}}, warnings=[])
    later = now_millis() + 60_000
    assert catalog.staged_files.find(later) == []
    catalog.leases.move(job, JobState.FAILED, reason="bad")
    assert catalog.staged_files.find(now_millis() - 60_000) == [], "a retry may still want them"
    assert [each.id for each in catalog.staged_files.find(later)] == [job.id]
    assert catalog.staged_files.take(job.id) == [{"note": {}}]
    assert catalog.staged_files.take(job.id) == []
    assert catalog.staged_files.find(later) == []


def test_a_retry_keeps_staged_files_from_the_cleanup(catalog: Catalog) -> None:
    job = importing(catalog, token="t")
    catalog.leases.save_split(job, 0, rows=[1], staged={"note": {}}, warnings=[])
    failed = catalog.leases.move(job, JobState.FAILED, reason="bad")
    again = catalog.jobs.retry(failed, {"token": "fresh"}, deadline=None)
    assert (again.state, again.reason, again.finished_at) == (JobState.PENDING, None, None)
    assert (again.progress, again.has_credentials) == (failed.progress, True)
    assert catalog.jobs.secret(job.id) == {"token": "fresh"}
    assert catalog.staged_files.take(job.id) == []
    assert catalog.jobs.count_by_state(CLUSTER) == {JobState.PENDING: 1} | dict.fromkeys(
        (JobState.PLANNING, JobState.IMPORTING, JobState.FAILED), 0
    )
    with pytest.raises(JobStateConflict):
        catalog.jobs.retry(failed, {}, deadline=None)


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.FAILED])
def test_only_a_failed_job_is_retried(catalog: Catalog, state: JobState) -> None:
    job = replace(claimed(catalog), state=state)
    with pytest.raises(JobStateConflict):
        catalog.jobs.retry(job, {}, deadline=None)


def test_so_many_jobs_of_a_cluster_are_worked_on_and_no_more(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    for _ in range(4):
        catalog.jobs.insert(new_job(docs))
    one, other = (catalog.leases.claim(name, LEASE, 2) for name in ("worker-1", "worker-2"))
    assert one is not None
    assert other is not None
    assert catalog.leases.claim("worker-3", LEASE, 2) is None
    catalog.leases.release(one)
    assert catalog.leases.claim("worker-3", LEASE, 2) is not None
    assert catalog.leases.claim("worker-4", LEASE, 2) is None


def test_a_dead_workers_job_holds_nobodys_place(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    for _ in range(2):
        catalog.jobs.insert(new_job(docs))
    dead = catalog.leases.claim("dead", -1, 1)
    taken = catalog.leases.claim("worker", LEASE, 1)
    assert dead is not None
    assert taken is not None
    assert taken.id == dead.id
    assert catalog.leases.claim("another", LEASE, 1) is None


def test_a_cluster_that_is_full_keeps_no_other_from_working(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.clusters.ensure("in02-far", "far")
    jobs = [catalog.jobs.insert(replace(new_job(docs), cluster_id=name)) for name in (CLUSTER, CLUSTER, "in02-far")]
    claimed = [catalog.leases.claim("worker", LEASE, 1) for _ in range(3)]
    assert [each and each.id for each in claimed] == [jobs[0].id, jobs[2].id, None]
