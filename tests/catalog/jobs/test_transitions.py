"""One writer of jobs' states, which asks the transition table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import penstock
from penstock.catalog import Catalog
from penstock.catalog.db.connection import now_millis, to_millis
from penstock.catalog.jobs.transitions import Guard, JobTransitions
from penstock.domain.audit import AuditEntry
from penstock.domain.jobs import REOPENINGS, TRANSITIONS, ImportJob, JobState
from penstock.domain.quotas import Quota
from penstock.errors import JobStateConflict, LeaseLost, QuotaExceeded
from tests.support.catalogs import CLUSTER, input_file, new_job, stored_collection

SOURCES = Path(penstock.__file__).parent
WRITER = SOURCES / "catalog/jobs/transitions.py"


def writes_of_state(tree: ast.AST) -> Iterator[int]:
    """Lines of statements that insert into the table ``job``, or update its column ``state``.

    An update with ``**values`` counts too, since the columns in it can't be seen.
    """
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.stmt) or hasattr(statement, "body"):
            continue
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        on_jobs = {
            call.func.id
            for call in calls
            if isinstance(call.func, ast.Name) and call.args and ast.unparse(call.args[0]) in ("tables.job", "job")
        }
        columns = {
            keyword.arg
            for call in calls
            if isinstance(call.func, ast.Attribute) and call.func.attr == "values"
            for keyword in call.keywords
        }
        positional = any(
            isinstance(call.func, ast.Attribute) and call.func.attr == "values" and call.args for call in calls
        )
        if "insert" in on_jobs or ("update" in on_jobs and (positional or columns & {"state", None})):
            yield statement.lineno


def test_no_other_module_writes_states() -> None:
    texts = {path: path.read_text() for path in SOURCES.rglob("*.py")}
    writers = {
        path
        for path, text in texts.items()
        if ("insert(" in text or "update(" in text) and [*writes_of_state(ast.parse(text))]
    }
    assert writers == {WRITER}


def claimed(catalog: Catalog) -> ImportJob:
    catalog.jobs.insert(new_job(stored_collection(catalog)))
    job = catalog.leases.claim("worker", 60_000)
    assert job is not None
    return job


@pytest.mark.parametrize("guard", Guard)
def test_each_guard_asks_its_table(catalog: Catalog, guard: Guard) -> None:
    job, table = claimed(catalog), REOPENINGS if guard is Guard.REOPEN else TRANSITIONS
    for state in JobState:
        for to in set(JobState) - table.get(state, frozenset()):
            with pytest.raises(JobStateConflict, match=f"in state {state}"), catalog.database.write() as connection:
                JobTransitions(catalog.database).transition(connection, replace(job, state=state), to, guard)
    assert catalog.jobs.get(CLUSTER, job.id) == job


def test_a_plan_is_stored_for_a_job_in_planning_only(catalog: Catalog) -> None:
    job = claimed(catalog)
    with pytest.raises(JobStateConflict, match="in state Pending"):
        catalog.leases.save_plan(job, [], [])
    planned = catalog.leases.save_plan(catalog.leases.move(job, JobState.PLANNING), [], [])
    with pytest.raises(LeaseLost):
        catalog.leases.save_plan(replace(planned, state=JobState.PLANNING), [], [])
    assert catalog.jobs.get(CLUSTER, job.id) == planned


def test_what_is_rolled_back_is_not_logged_as_a_transition(catalog: Catalog) -> None:
    job = catalog.leases.move(claimed(catalog), JobState.PLANNING)
    file = input_file()
    with capture_logs() as lines:
        with pytest.raises(QuotaExceeded):
            catalog.leases.save_plan(job, [file], [], quota=Quota(daily_bytes=9))
        with pytest.raises(RuntimeError), catalog.database.write() as connection:
            JobTransitions(catalog.database).transition(connection, job, JobState.FAILED, Guard.LEASE)
            raise RuntimeError("the power fails")
    assert [line for line in lines if line["event"] == "job.state"] == []
    assert catalog.jobs.get(CLUSTER, job.id) == job


@pytest.mark.parametrize("guard", [Guard.LEASE, Guard.REQUEST])
def test_a_transition_counts_and_logs_the_job_once(catalog: Catalog, guard: Guard) -> None:
    job = claimed(catalog)
    with capture_logs() as lines, catalog.database.write() as connection:
        JobTransitions(catalog.database).transition(connection, job, JobState.FAILED, guard, reason="bad row")
    assert [(line["before"], line["state"]) for line in lines if line["event"] == "job.state"] == [
        ("Pending", "Failed")
    ]
    counts = catalog.jobs.count_by_state(CLUSTER)
    assert {state: jobs for state, jobs in counts.items() if jobs} == {JobState.FAILED: 1}


def test_the_history_has_the_last_time_of_each_state_and_the_creator(catalog: Catalog) -> None:
    entry = AuditEntry(caller="nightly", address="10.1.2.3", action="import.create")
    job = catalog.jobs.insert(replace(new_job(stored_collection(catalog)), audit=entry))
    new = catalog.jobs.history(job.id)
    assert (new.created_by, new.created_from, new.server, new.times) == ("nightly", "10.1.2.3", None, {})
    leased = catalog.leases.claim("host-7-abc", 60_000)
    assert leased is not None
    before = now_millis()
    catalog.leases.save_plan(catalog.leases.move(leased, JobState.PLANNING), [], [])
    planned = catalog.jobs.history(job.id)
    assert planned.server == "host-7-abc"
    assert list(planned.times) == [JobState.PLANNING, JobState.IMPORTING]
    assert all(to_millis(time) >= before for time in planned.times.values())
