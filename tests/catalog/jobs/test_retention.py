"""History is kept for its time, and in any case the newest jobs."""

from __future__ import annotations

from penstock.catalog import Catalog
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.jobs import ImportJob, JobState
from tests.support.catalogs import CLUSTER, input_file, new_job, new_split, stored_collection

ALL = JobFilter(cluster_id=CLUSTER)
FILES, SPLITS = [input_file()], [new_split()]


def finished(catalog: Catalog, *, staged: bool = False) -> ImportJob:
    """A job that failed with a file and a split of its own."""
    docs = catalog.collections.list(catalog.databases.get(CLUSTER, "default"))[0]
    catalog.jobs.insert(new_job(docs, token="t"))
    job = catalog.leases.claim("worker", 60_000)
    assert job is not None
    job = catalog.leases.save_plan(catalog.leases.move(job, JobState.PLANNING), FILES, SPLITS)
    if staged:
        catalog.leases.save_split(job, 0, rows=[1], staged={"rows": 1, "size": 1, "note": {}}, warnings=[])
    return catalog.leases.move(job, JobState.FAILED, reason="bad row")


def later(job: ImportJob) -> int:
    assert job.finished_at is not None
    return int(job.finished_at.timestamp() * 1000) + 1


def test_old_jobs_go_with_all_they_had_and_are_counted_no_more(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    gone = finished(catalog)
    waiting = catalog.jobs.insert(new_job(docs))
    assert catalog.retention.forget_jobs(CLUSTER, later(gone), keep=0) == 1
    assert [each.id for each in catalog.job_list.page(ALL, limit=10)] == [waiting.id]
    assert catalog.job_list.total(ALL) == 1
    assert catalog.jobs.count_by_state(CLUSTER) == {JobState.PENDING: 1, JobState.PLANNING: 0, JobState.IMPORTING: 0}
    assert (catalog.jobs.files(gone.id), catalog.jobs.splits(gone.id)) == ([], [])


def test_the_newest_jobs_stay_however_old(catalog: Catalog) -> None:
    stored_collection(catalog)
    jobs = [finished(catalog) for _ in range(5)]
    assert catalog.retention.forget_jobs(CLUSTER, later(jobs[-1]), keep=3) == 2
    assert catalog.retention.forget_jobs(CLUSTER, later(jobs[-1]), keep=3) == 0
    assert [each.id for each in catalog.job_list.page(ALL, limit=10)] == [job.id for job in reversed(jobs[2:])]
    assert catalog.retention.forget_jobs(CLUSTER, later(jobs[-1]), keep=10) == 0


def test_a_batch_at_a_time(catalog: Catalog) -> None:
    stored_collection(catalog)
    jobs = [finished(catalog) for _ in range(5)]
    batches = [catalog.retention.forget_jobs(CLUSTER, later(jobs[-1]), keep=0, batch=2) for _ in range(4)]
    assert batches == [2, 2, 1, 0]


def test_recent_jobs_other_clusters_and_jobs_with_staged_files_stay(catalog: Catalog) -> None:
    stored_collection(catalog)
    recent, staged = finished(catalog), finished(catalog, staged=True)
    assert recent.finished_at is not None
    assert catalog.retention.forget_jobs(CLUSTER, later(recent) - 1_000, keep=0) == 0
    assert catalog.retention.forget_jobs("in01-other", later(staged), keep=0) == 0
    assert catalog.retention.forget_jobs(CLUSTER, later(staged), keep=0) == 1
    catalog.staged_files.take(staged.id)
    assert catalog.retention.forget_jobs(CLUSTER, later(staged), keep=0) == 1
