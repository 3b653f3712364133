"""Listing jobs, and the counters that tell how many there are: against a plain model, with random histories."""

from __future__ import annotations

from pathlib import Path
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
from penstock.catalog.job_list import JobFilter
from penstock.domain.jobs import LIVE_STATES, TRANSITIONS, ImportJob, JobState
from tests.catalog.conftest import FreshCatalog
from tests.support.catalogs import CLUSTER, new_job, opened_catalog, stored_collection


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

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)

    @rule(target=jobs, which=st.integers(0, 1))
    def create(self, which: int) -> ImportJob:
        job = self.catalog.jobs.insert(new_job(self.collections[which]))
        self.model[job.id] = job
        return job

    @rule(target=jobs, job=consumes(jobs), data=st.data())
    def move(self, job: ImportJob, data: st.DataObject) -> ImportJob:
        onward = sorted(TRANSITIONS[job.state])
        if not onward:
            return job
        moved = self.catalog.jobs.intervene(job, data.draw(st.sampled_from(onward)))
        self.model[job.id] = moved
        return moved

    @rule(
        which=st.none() | st.integers(0, 1),
        states=st.lists(st.sampled_from(sorted(JobState)), max_size=2),
        limit=st.integers(1, 5),
        offset=st.integers(0, 4),
        before=st.none() | st.integers(0, 10),
    )
    def list_a_page(
        self, which: int | None, states: list[JobState], limit: int, offset: int, before: int | None
    ) -> None:
        ids = sorted(self.model, reverse=True)
        start = ids[before] if before is not None and before < len(ids) else None
        collection = None if which is None else self.collections[which].id
        wanted = JobFilter(cluster_id=CLUSTER, collection_id=collection, states=tuple(states), before=start)
        matching = [
            self.model[each]
            for each in ids
            if (collection is None or self.model[each].collection_id == collection)
            and (not states or self.model[each].state in states)
        ]
        assert self.catalog.job_list.total(wanted) == len(matching)
        after = [each for each in matching if start is None or each.id < start]
        assert self.catalog.job_list.page(wanted, limit=limit, offset=offset) == after[offset : offset + limit]

    @invariant()
    def live_jobs_are_counted(self) -> None:
        for each in self.collections:
            live = [job for job in self.model.values() if job.collection_id == each.id and job.state in LIVE_STATES]
            assert self.catalog.jobs.live_jobs(each.id) == len(live)


def test_lists_and_totals_are_what_the_model_says(fresh_catalog: FreshCatalog) -> None:
    here = type("JobHistoryHere", (JobHistory,), {"fresh_catalog": staticmethod(fresh_catalog)})
    run_state_machine_as_test(here, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))


def test_an_old_finished_job_leaves_the_unpaged_list_and_an_unfinished_one_stays(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    old, new = (catalog.jobs.insert(new_job(docs)) for _ in range(2))
    done = catalog.jobs.intervene(old, JobState.ABORTED, reason="aborted by user")
    assert done.finished_at is not None
    later = int(done.finished_at.timestamp() * 1000) + 1
    recent = JobFilter(cluster_id=CLUSTER, finished_since=later)
    assert [each.id for each in catalog.job_list.page(recent, limit=10)] == [new.id]
    assert catalog.job_list.total(recent) == 1


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
