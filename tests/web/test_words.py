"""Numbers, times and progress in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from penstock.domain.jobs import JobState
from penstock.web import words
from penstock.web.progress import view
from penstock.web.throughput import MAX_JOBS, Throughput
from tests.support.imports import CREATED, make_job

NOW = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (9_999, "9,999"), (41_234, "41.2 k"), (999_999, "1,000 k"), (1_280_000, "1.28 M")],
)
def test_short_numbers_have_three_figures(value: float, text: str) -> None:
    assert words.short_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01, "0 s"), (0.5, "0.5 s"), (18.4, "18 s"), (200, "3 min 20 s"), (3700, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_spans_have_two_units_at_most(value: float, text: str) -> None:
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "file", "1 file"), (20_000, "row", "20,000 rows"), (2, "query", "2 queries"), (3, "index", "3 indexes")],
)
def test_plurals(count: int, noun: str, text: str) -> None:
    assert words.plural(count, noun) == text


@pytest.mark.parametrize(
    ("past", "text"), [(1, "just now"), (130, "2 min ago"), (7200, "2 h ago"), (-600, "in 10 min")]
)
def test_times_are_relative_with_the_exact_one_on_hover(past: float, text: str) -> None:
    shown = words.ago(NOW - timedelta(seconds=past), NOW)
    assert f">{text}</time>" in shown
    assert 'title="2026-11-30' in shown


def test_the_time_left_is_a_range_until_it_is_sure() -> None:
    job = make_job(JobState.IMPORTING, started_at=CREATED, rows=1000)

    def left(percent: int, after: float) -> str:
        shown = make_job(JobState.IMPORTING, started_at=CREATED, rows=1000, progress=percent)
        return view(shown, CREATED + timedelta(seconds=after)).left

    assert left(1, 10) == "", "a guess is worse than nothing"
    assert left(20, 10) == "28 s to 1 min 4 s left"
    assert left(50, 10) == "~10 s left"
    assert view(job, CREATED + timedelta(seconds=10)).rate == 100
    assert view(make_job(JobState.UNCOMMITTED, started_at=CREATED, rows=9), CREATED + timedelta(days=1)).rate is None


def test_throughput_is_remembered_of_the_jobs_looked_at_last() -> None:
    throughput = Throughput()
    first = make_job(JobState.IMPORTING, id=1, started_at=CREATED, rows=10)
    assert [rows for _, rows in throughput.observe(first)] == [0, 10]
    assert [rows for _, rows in throughput.observe(first)] == [0, 10], "at most a point a second"
    for number in range(2, MAX_JOBS + 2):
        throughput.observe(make_job(JobState.IMPORTING, id=number, started_at=CREATED))
    assert [rows for _, rows in throughput.observe(make_job(JobState.COMPLETED, id=1, started_at=CREATED))] == []
