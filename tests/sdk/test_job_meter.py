"""Rates and the time left, from what was observed."""

from __future__ import annotations

import pytest

from penstock.sdk.job_meter import JobMeter, Reading, time_left_text
from penstock.sdk.jobs import ImportedFile, ImportJob

SIZE = 1_000_000


class Watch:
    """A meter whose clock is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meter = JobMeter(lambda: self.now)

    def see(self, time: float, percent_read: int, *, stage: str = "importing", rows: int | None = None) -> Reading:
        self.now = time
        return self.meter.observe(running(percent_read, stage=stage, rows=rows))


def running(percent_read: int, *, stage: str = "importing", rows: int | None = None) -> ImportJob:
    return ImportJob(
        id="7",
        collection="docs",
        state="Importing",
        stage=stage,
        progress=2 + 88 * percent_read // 100,
        rows=percent_read * 10 if rows is None else rows,
        size=SIZE,
        files=(
            ImportedFile(name="a", size=SIZE // 2, progress=min(100, percent_read * 2)),
            ImportedFile(name="b", size=SIZE // 2, progress=max(0, percent_read * 2 - 100)),
        ),
    )


def test_bytes_are_those_read_of_each_file_and_not_the_percent_of_the_job() -> None:
    reading = Watch().see(0, 60)
    assert (reading.size_read, reading.size, reading.files_read) == (600_000, SIZE, 1)
    assert reading.text() == "1/2 files, 600 rows, 600.0 kB/1.0 MB"


def test_rates_are_of_what_was_seen_and_not_of_what_came_before() -> None:
    watch = Watch()
    first = watch.see(100, 50)
    assert first.rows_per_second is None
    second = watch.see(104, 60)
    assert second.rows_per_second == pytest.approx(100 / 4)
    assert second.bytes_per_second == pytest.approx(100_000 / 4)


def test_the_time_left_is_a_range_that_narrows_and_has_the_truth_in_it() -> None:
    """100 seconds in all, at an even rate."""
    watch = Watch()
    widths = []
    for second in range(0, 90, 2):
        reading = watch.see(second, second)
        if reading.time_left is None:
            continue
        least, most = reading.time_left
        if most is not None:
            assert least <= 100 * (1 - reading.share) / 0.88 <= most
            widths.append(most - least)
    assert widths[-1] < widths[0] / 5


def test_a_job_that_stands_still_has_no_end_in_sight() -> None:
    watch = Watch()
    for second in range(0, 20, 2):
        watch.see(second, second)
    for second in range(20, 31):
        reading = watch.see(second, 18)
    assert reading.time_left is not None
    assert reading.time_left[1] is None
    assert "ETA over " in reading.text()


def test_each_stage_has_a_rate_of_its_own() -> None:
    watch = Watch()
    for second in range(0, 20, 2):
        watch.see(second, second * 5)
    reading = watch.see(20, 100, stage="indexing")
    assert (reading.time_left, reading.rows_per_second) == (None, None)
    assert watch.see(25, 100, stage="indexing").time_left is None


def test_no_figure_falls_when_a_server_tells_less_than_before() -> None:
    """Such as after a restart, where a split begins anew, or from a list, which has no files."""
    watch = Watch()
    watch.see(0, 60)
    reading = watch.see(1, 40)
    assert (reading.rows, reading.size_read) == (600, 600_000)
    assert reading.share == pytest.approx(0.02 + 0.88 * 0.6)
    done = watch.meter.observe(
        ImportJob(id="7", collection="docs", state="Completed", progress=100, rows=1000, size=SIZE)
    )
    assert done.text() == "1,000 rows, 1.0 MB"


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (9.6, 25, "ETA 10–25 s"),
        (0.1, 0.3, "ETA 1 s"),
        (130, 250, "ETA 2–4 min"),
        (30, 200, "ETA 0.5–3 min"),
        (4000, 9000, "ETA 1.1–2.5 h"),
        (12, None, "ETA over 12 s"),
    ],
)
def test_the_words_for_a_range(least: float, most: float | None, text: str) -> None:
    assert time_left_text(least, most) == text
