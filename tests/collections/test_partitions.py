"""Partitions and the rows in them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.collections import partitions
from penstock.domain.jobs import JobState
from penstock.errors import InvalidParameter, PartitionNotFound
from tests.collections.conftest import UseCases
from tests.support.catalogs import new_job


def test_a_number_is_never_given_again(cases: UseCases) -> None:
    docs = cases.create()
    first = cases.partitions.create(docs, "p")
    docs = cases.put(docs, rows=3, partition=first.number)
    assert cases.partitions.count(docs, "p") == 3
    cases.partitions.drop(docs, "p")
    second = cases.partitions.create(docs, "p")
    assert second.number != first.number
    assert cases.partitions.count(docs, "p") == 0


def test_names_become_numbers(cases: UseCases) -> None:
    docs = cases.create()
    made = cases.partitions.create(docs, "p")
    assert cases.partitions.numbers(docs, []) is None
    assert cases.partitions.numbers(docs, ["p", "_default"]) == [made.number, 0]
    with pytest.raises(PartitionNotFound):
        cases.partitions.numbers(docs, ["p", "x"])


def test_there_may_be_too_many(cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "MAX_PARTITIONS", 2)
    docs = cases.create()
    for _ in range(2):
        cases.partitions.create(docs, "p")
    with pytest.raises(InvalidParameter, match="partition number"):
        cases.partitions.create(docs, "q")


def test_a_drop_ends_the_jobs_that_would_write_into_it(cases: UseCases) -> None:
    docs = cases.create()
    cases.partitions.create(docs, "p")
    jobs = [cases.catalog.jobs.insert(replace(new_job(docs), partition=name)) for name in ("p", None)]
    cases.partitions.drop(docs, "p")
    ended, other = (cases.catalog.jobs.get(docs.cluster_id, job.id) for job in jobs)
    assert (ended.state, ended.reason) == (JobState.FAILED, "partition p of collection docs dropped")
    assert other.state is JobState.PENDING
