"""The stages of a job's page: what it waited for, what it did, and how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from penstock.domain.jobs import JobHistory, JobState
from penstock.web.timeline import stages
from tests.support.imports import make_job

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return CREATED + timedelta(seconds=seconds)


def history(**seconds: float) -> JobHistory:
    times = {JobState[name.upper()]: at(value) for name, value in seconds.items()}
    return JobHistory(created_by="", created_from="", server=None, times=times)


def test_a_completed_job_shows_each_stage_once() -> None:
    job = make_job(state=JobState.COMPLETED, created_at=CREATED, started_at=at(2), finished_at=at(10))
    found = stages(job, history(planning=2.01, importing=3, committing=8, indexing=9), "completed")
    assert [(stage.name, stage.seconds) for stage in found] == [
        ("Waiting to start", 2),
        ("Planning", 1),
        ("Reading and writing", 5),
        ("Publishing", 1),
        ("Indexing", 1),
    ]
    assert [(stage.x, stage.width) for stage in found] == [(0, 200), (200, 100), (300, 500), (800, 100), (900, 100)]
    assert [stage.kind for stage in found] == ["waiting"] + ["completed"] * 4


def test_a_job_that_was_never_started_only_waited() -> None:
    job = make_job(state=JobState.ABORTED, created_at=CREATED, finished_at=at(7))
    assert [(stage.name, stage.seconds, stage.kind) for stage in stages(job, history(), "aborted")] == [
        ("Waiting to start", 7, "waiting")
    ]


def test_a_running_job_ends_now_and_the_wait_for_a_commit_is_no_work() -> None:
    job = make_job(state=JobState.UNCOMMITTED, created_at=CREATED, started_at=at(1))
    found = stages(job, history(planning=1, importing=2, uncommitted=4), "waiting", now=at(20))
    assert [(stage.name, stage.kind) for stage in found][-2:] == [
        ("Reading and writing", "completed"),
        ("Waiting for the commit", "waiting"),
    ]
    assert found[-1].end == 20


def test_after_a_retry_earlier_attempts_are_one_stage_and_their_later_states_are_left_out() -> None:
    job = make_job(state=JobState.IMPORTING, created_at=CREATED, started_at=at(1))
    found = stages(job, history(planning=50, importing=52, committing=30), "running", now=at(60))
    assert [(stage.name, stage.seconds) for stage in found] == [
        ("Waiting to start", 1),
        ("Earlier attempts", 49),
        ("Planning", 2),
        ("Reading and writing", 8),
    ]
