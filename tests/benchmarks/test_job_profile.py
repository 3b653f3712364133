"""The profile of a job: its parts add up, and the functions that it measures are still those of an import."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.job_profile import Profile, Task, compared, measure, report
from benchmarks.profiled_server import Usage, _Recorder


def test_every_stage_of_a_real_job_is_measured(tmp_path: Path) -> None:
    [profile] = measure(tmp_path, "parquet", 2_000, 64, 1, ["--workers", "1"])
    # Of so few rows no index is due, so that the job completes with its publish.
    assert [task.name for task in profile.tasks if task.pid == profile.server] == ["plan", "stage", "publish"]
    [worker] = profile.processes.keys() - {profile.server}
    planning, split = profile.of(worker)
    assert (planning.name, split.name) == ("plan files", "split")
    assert split.stages.keys() == {"read, decode", "validate", "fsync", "encode, write"}
    assert split.total.written >= 2_000 * 64 * 4
    assert all(usage.wall > 0 for usage in split.stages.values())
    assert sum(usage.wall for usage in split.stages.values()) == pytest.approx(split.total.wall)


def test_a_stage_does_not_include_those_within_it(tmp_path: Path) -> None:
    recorder = _Recorder(tmp_path)
    with recorder.stage("outer"), recorder.stage("inner"):
        time.sleep(0.05)
    sums = recorder._sums
    assert sums["inner"].wall >= 0.05
    assert sums["outer"].wall < 0.05


SPLIT = Usage(wall=1.0, user=0.5, system=0.25, faults=1_000, written=5_000_000, queued=0.5)
PROFILE = Profile(
    start=10.0,
    end=12.0,
    server=1,
    processes={1: Usage(user=0.5), 2: SPLIT},
    tasks=[
        Task(pid=1, name="stage", start=10.25, end=11.75, stages={"stage": Usage(wall=1.5)}, total=Usage()),
        Task(pid=2, name="split", start=10.5, end=11.5, stages={"encode, write": SPLIT, "fsync": SPLIT}, total=SPLIT),
    ],
)


def test_the_report_shows_processes_stages_and_the_time_without_a_task() -> None:
    lines = [line.split() for line in report([PROFILE])]
    assert "2.00 s (2.00 to 2.00), 1.25 s of processor time" in " ".join(lines[0])
    assert ["worker", "0", "1.00", "1.00", "0.50", "0.25", "1,000", "5", "0.50", "0.00"] in lines
    assert ["split", "encode,", "write", "1.00", "0.25", "0.50", "0.25", "1,000", "5", "0.50", "0.00"] in lines
    assert ["0.500", "1.500", "worker", "0", "split"] in lines


def test_versions_are_compared_pair_by_pair() -> None:
    slower = replace(PROFILE, end=14.0)
    lines = list(compared([([PROFILE], [slower]), ([PROFILE], [PROFILE]), ([slower], [PROFILE])]))
    assert lines[0] == "3 pairs"
    assert "seconds by the clock             2.00          2.00       1.00 (0.50 to 2.00)" in lines
    assert "the workers' processor seconds   0.75          0.75       1.00 (1.00 to 1.00)" in lines
