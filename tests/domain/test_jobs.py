"""The life of an import job."""

from __future__ import annotations

from itertools import pairwise

import pytest

from penstock.domain.jobs import REOPENINGS, TRANSITIONS, JobState, JobWarning, can_transition, merge_warnings

FINAL = {JobState.COMPLETED, JobState.FAILED, JobState.ABORTED, JobState.REVERTED}
UNCOMMITTED = [JobState.PENDING, JobState.PLANNING, JobState.IMPORTING, JobState.UNCOMMITTED]


def reachable(start: JobState) -> set[JobState]:
    found, ahead = {start}, [start]
    while ahead:
        fresh = TRANSITIONS[ahead.pop()] - found
        found |= fresh
        ahead += fresh
    return found


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(JobState)
    # Only a user's call begins a revert.
    assert reachable(JobState.PENDING) == set(JobState) - {JobState.REVERTING, JobState.REVERTED}
    assert REOPENINGS[JobState.COMPLETED] == {JobState.REVERTING}
    assert reachable(JobState.REVERTING) == {JobState.REVERTED, JobState.REVERTING, JobState.COMPLETED}


def test_the_ordinary_way() -> None:
    way = ["Pending", "Planning", "Importing", "Committing", "Indexing", "Completed"]
    states = [JobState(each) for each in way]
    assert all(can_transition(now, then) for now, then in pairwise(states))
    assert not can_transition(JobState.PENDING, JobState.IMPORTING)


def test_the_way_in_two_phases() -> None:
    assert can_transition(JobState.IMPORTING, JobState.UNCOMMITTED)
    assert can_transition(JobState.UNCOMMITTED, JobState.COMMITTING)


@pytest.mark.parametrize("state", UNCOMMITTED)
def test_before_the_commit_a_job_may_fail_or_be_aborted(state: JobState) -> None:
    assert can_transition(state, JobState.FAILED)
    assert can_transition(state, JobState.ABORTED)
    assert not state.is_committed


def test_from_the_intent_on_it_completes_unless_the_table_is_damaged() -> None:
    assert JobState.COMMITTING.is_committed
    assert reachable(JobState.COMMITTING) & FINAL == {JobState.COMPLETED, JobState.FAILED}
    assert not can_transition(JobState.COMMITTING, JobState.ABORTED)


def test_from_the_commit_on_it_can_only_complete() -> None:
    assert JobState.INDEXING.is_committed
    assert reachable(JobState.INDEXING) & FINAL == {JobState.COMPLETED}


@pytest.mark.parametrize("state", JobState)
def test_a_final_state_is_left_by_nothing(state: JobState) -> None:
    assert state.is_final == (state in FINAL) == (not TRANSITIONS[state])


def test_no_state_can_be_entered_twice() -> None:
    assert all(state not in reachable(then) for state in JobState for then in TRANSITIONS[state])


def test_equal_warnings_are_merged_and_counted() -> None:
    dropped = JobWarning(code="column_dropped", message="a", count=2)
    cast = JobWarning(code="column_cast", message="a")
    assert merge_warnings([[dropped, cast], [], [dropped]]) == [
        JobWarning(code="column_dropped", message="a", count=4),
        cast,
    ]
