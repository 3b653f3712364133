"""Listing jobs, and the counters that tell how many there are: against a plain model, with random histories."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event

from penstock.catalog import Catalog
from penstock.catalog.db.diagnostics import problems_of
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain import ids
from penstock.domain.ids import DAY_MILLIS, millis_of
from penstock.domain.jobs import FINAL_STATES, LIVE_STATES, TRANSITIONS, ImportJob, JobState
from tests.catalog.conftest import FreshCatalog
from tests.support.catalogs import CLUSTER, new_job, opened_catalog, stored_collection
from tests.support.examples import examples

DAYS = st.none() | st.sampled_from([0, 0.2, 1, 2.5, 3, 3.6, 5, 9.9])
"""Where a filter by time begins and ends, in days since the clock of the histories began."""


class JobHistory(RuleBasedStateMachine):
    """Jobs are created and moved at random; every list and total must be what the model says."""

    jobs: Bundle[ImportJob] = Bundle("jobs")

    fresh_catalog: ClassVar[FreshCatalog]

    def __init__(self) -> None:
        super().__init__()
        self._opened = type(self).fresh_catalog()
        self.catalog: Catalog = self._opened.__enter__()
        self.collections = [stored_collection(self.catalog, name) for name in ("docs", "images")]
        self.model: dict[int, ImportJob] = {}
        self.day = 0.0
        self.clock = pytest.MonkeyPatch()
        self.clock.setattr(ids, "_last", 0)
        self.clock.setattr(ids, "time", SimpleNamespace(time_ns=lambda: int(self.day * DAY_MILLIS * 1_000_000)))

    def teardown(self) -> None:
        self.clock.undo()
        self._opened.__exit__(None, None, None)

    @rule(days=st.sampled_from([0.3, 1, 2.6]))
    def wait(self, days: float) -> None:
        self.day += days

    @rule(target=jobs, which=st.integers(0, 1))
    def create(self, which: int) -> ImportJob:
        job = self.catalog.jobs.insert(new_job(self.collections[which]))
        self.model[job.id] = job
        return job

    @rule(target=jobs, job=consumes(jobs), data=st.data())
    def move(self, job: ImportJob, data: st.DataObject) -> ImportJob:
        onward = sorted(TRANSITIONS[job.state])
        if not onward or job.id not in self.model:
            return job
        moved = self.catalog.jobs.request_transition(job, data.draw(st.sampled_from(onward)))
        self.model[job.id] = moved
        return moved

    @rule(
        which=st.none() | st.integers(0, 1),
        states=st.lists(st.sampled_from(sorted(JobState)), max_size=2),
        limit=st.integers(1, 5),
        offset=st.integers(0, 4),
        before=st.none() | st.integers(0, 10),
        days=st.tuples(DAYS, DAYS),
    )
    def list_a_page(
        self,
        which: int | None,
        states: list[JobState],
        limit: int,
        offset: int,
        before: int | None,
        days: tuple[float | None, float | None],
    ) -> None:
        numbers = sorted(self.model, reverse=True)
        start = numbers[before] if before is not None and before < len(numbers) else None
        collection = None if which is None else self.collections[which].id
        after, until = (None if day is None else int(day * DAY_MILLIS) for day in days)
        wanted = JobFilter(
            cluster_id=CLUSTER,
            collection_id=collection,
            states=tuple(states),
            before=start,
            created_after=after,
            created_before=until,
        )
        matching = [
            self.model[number]
            for number in numbers
            if (collection is None or self.model[number].collection_id == collection)
            and (not states or self.model[number].state in states)
            and (after is None or millis_of(number) >= after)
            and (until is None or millis_of(number) < until)
        ]
        assert self.catalog.job_list.total(wanted) == len(matching)
        older = [each for each in matching if start is None or each.id < start]
        assert self.catalog.job_list.page(wanted, limit=limit, offset=offset) == older[offset : offset + limit]

    @rule(keep=st.integers(0, 8), batch=st.integers(1, 3))
    def forget(self, keep: int, batch: int) -> None:
        self.catalog.retention.forget_jobs(CLUSTER, int(time.time() * 1000) + 1000, keep, batch)
        page = self.catalog.job_list.page(JobFilter(cluster_id=CLUSTER), limit=1000)
        gone = set(self.model) - {each.id for each in page}
        assert len(gone) <= batch
        assert all(self.model[each].state in FINAL_STATES for each in gone)
        assert not gone & set(sorted(self.model)[len(self.model) - keep :])
        for each in gone:
            del self.model[each]

    @invariant()
    def live_jobs_are_counted(self) -> None:
        for collection in self.collections:
            live = [
                job for job in self.model.values() if job.collection_id == collection.id and job.state in LIVE_STATES
            ]
            assert self.catalog.jobs.live_jobs(collection.id) == len(live)

    @invariant()
    def the_counters_are_sound(self) -> None:
        assert problems_of(self.catalog.database) == []


@pytest.mark.hypothesis
def test_lists_and_totals_are_what_the_model_says(fresh_catalog: FreshCatalog) -> None:
    here = type("JobHistoryHere", (JobHistory,), {"fresh_catalog": staticmethod(fresh_catalog)})
    tries = settings(max_examples=examples(6, 30), stateful_step_count=20, deadline=None)
    run_state_machine_as_test(here, settings=tries)


def test_an_old_finished_job_leaves_the_unpaged_list_and_an_unfinished_one_stays(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    old, new = (catalog.jobs.insert(new_job(docs)) for _ in range(2))
    done = catalog.jobs.request_transition(old, JobState.ABORTED, reason="aborted by user")
    assert done.finished_at is not None
    later = int(done.finished_at.timestamp() * 1000) + 1
    recent = JobFilter(cluster_id=CLUSTER, finished_since=later)
    assert [each.id for each in catalog.job_list.page(recent, limit=10)] == [new.id]
    assert catalog.job_list.total(recent) == 1


@pytest.mark.parametrize("databases", [2, 120, 700])
def test_a_list_of_some_databases_tells_of_these_alone_however_many_they_are(
    catalog: Catalog, databases: int
) -> None:
    docs = stored_collection(catalog)
    done, live = (catalog.jobs.insert(new_job(docs)) for _ in range(2))
    catalog.jobs.request_transition(done, JobState.FAILED, reason="bad row")
    visible = JobFilter(cluster_id=CLUSTER, database_ids=tuple(range(docs.database_id, docs.database_id + databases)))
    day = millis_of(done.id) // DAY_MILLIS * DAY_MILLIS
    for wanted, expected in (
        (visible, [live, done]),
        (replace(visible, states=(JobState.FAILED, JobState.ABORTED)), [done]),
        (replace(visible, created_after=day - DAY_MILLIS, created_before=day + 3 * DAY_MILLIS), [live, done]),
        (replace(visible, created_after=day - DAY_MILLIS, states=(JobState.PENDING,)), [live]),
        (replace(visible, finished_since=0), [live, done]),
        (replace(visible, finished_since=2 * 10**12), [live]),
        (replace(visible, database_ids=tuple(range(10**6, 10**6 + databases))), []),
        (replace(visible, database_ids=()), []),
    ):
        assert [each.id for each in catalog.job_list.page(wanted, limit=10)] == [each.id for each in expected]
        assert catalog.job_list.total(wanted) == len(expected)


LISTS = {
    "all": JobFilter(cluster_id=CLUSTER),
    "before": JobFilter(cluster_id=CLUSTER, before=10**18),
    "a database": JobFilter(cluster_id=CLUSTER, database_id=1, before=10**18),
    "a collection": JobFilter(cluster_id=CLUSTER, database_id=1, collection_id="c", before=10**18),
    "a state": JobFilter(cluster_id=CLUSTER, states=(JobState.FAILED,), before=10**18),
    "a state of a database": JobFilter(cluster_id=CLUSTER, database_id=1, states=(JobState.FAILED,)),
    "a state of a collection": JobFilter(cluster_id=CLUSTER, collection_id="c", states=(JobState.FAILED,)),
    "times": JobFilter(cluster_id=CLUSTER, created_after=10**12, created_before=2 * 10**12),
}


@pytest.mark.parametrize("wanted", LISTS.values(), ids=LISTS)
def test_no_list_reads_more_than_an_index_in_its_order(tmp_path: Path, wanted: JobFilter) -> None:
    """What holds for the plan holds for a million jobs: nothing is sorted, and no table is read from end to end."""
    asked: list[tuple[str, Any]] = []
    with opened_catalog(tmp_path) as catalog:
        event.listen(
            catalog.database.engine,
            "before_cursor_execute",
            lambda connection, cursor, statement, parameters, *rest: asked.append((statement, parameters)),
        )
        catalog.job_list.page(wanted, limit=10)
        query = next(each for each in asked if each[0].startswith("SELECT"))
        with catalog.database.read() as connection:
            plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query[0]}", query[1])]
    assert any("USING COVERING INDEX ix_job_" in step for step in plan), plan
    assert not [step for step in plan if step == "SCAN job"], plan
    # The page's own rows, at most as many as it holds, may be put in order again.
    inner = plan[plan.index(next(step for step in plan if step.startswith(("CO-ROUTINE", "MATERIALIZE")))) + 1]
    assert "USING COVERING INDEX ix_job_" in inner, plan


def test_jobs_are_counted_by_state_and_found_by_a_text(catalog: Catalog) -> None:
    docs, images = (stored_collection(catalog, name) for name in ("docs", "images"))
    failed = catalog.jobs.insert(new_job(docs))
    catalog.jobs.request_transition(failed, JobState.FAILED, reason="row 7 has 50% of a vector")
    waiting = [catalog.jobs.insert(new_job(images)) for _ in range(2)]
    everything = JobFilter(cluster_id=CLUSTER)
    assert catalog.job_list.by_state(everything) == {JobState.FAILED: 1, JobState.PENDING: 2}
    today = replace(everything, created_after=millis_of(failed.id), states=(JobState.PENDING,))
    assert catalog.job_list.by_state(today) == {JobState.PENDING: 2}

    def search(text: str, **more: int) -> tuple[list[int], int]:
        jobs, total = catalog.job_list.search(everything, text, **{"limit": 10, **more})
        return [job.id for job in jobs], total

    assert search("50% of a VECTOR") == ([failed.id], 1)
    assert search("50_ of") == ([], 0)
    assert search(str(failed.id)) == ([failed.id], 1)
    assert search("image", limit=1) == ([waiting[1].id], 2)
    assert search("image", limit=1, offset=1) == ([waiting[0].id], 2)
    assert catalog.collections.names(CLUSTER) == [("default", "docs"), ("default", "images")]
