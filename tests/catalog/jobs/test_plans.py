"""The plan of a job in the catalog: what a second plan keeps of the first, and the JSON that running jobs rely on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import select

from penstock.catalog import Catalog
from penstock.catalog.db import tables
from penstock.domain.jobs import FileRange, FileState, ImportJob, JobState, JobWarning, Split, SplitState
from tests.support.catalogs import input_file, new_job, stored_collection

LEASE = 60_000


def planning(catalog: Catalog) -> ImportJob:
    catalog.jobs.insert(new_job(stored_collection(catalog)))
    job = catalog.leases.claim("worker", LEASE)
    assert job is not None
    return catalog.leases.move(job, JobState.PLANNING)


def planned_again(catalog: Catalog, job: ImportJob) -> ImportJob:
    catalog.jobs.retry(catalog.leases.move(job, JobState.FAILED, reason="bad"), {}, None)
    again = catalog.leases.claim("worker", LEASE)
    assert again is not None
    return catalog.leases.move(again, JobState.PLANNING)


def split_of_file(file: int, max_rows: int = 100) -> Split:
    file_range = FileRange(
        file=file, spec={"start": 0, "end": 9}, size=9, max_rows=max_rows, format="JSONL", partition=0
    )
    return Split(ordinal=file, ranges=(file_range,))


def test_a_range_is_stored_as_versions_before_stored_it(catalog: Catalog) -> None:
    plain = FileRange(file=0, spec={"row_groups": [0, 2]}, size=5, max_rows=7, format="Parquet")
    keyed = FileRange(file=1, spec={"rows": [0, 9]}, size=6, format="Numpy", partition=3, columns={"country": "DE"})
    job = catalog.leases.save_plan(planning(catalog), [input_file()], [Split(ordinal=0, ranges=(plain, keyed))])
    with catalog.database.read() as connection:
        stored = connection.execute(select(tables.job_split.c.parts)).scalar_one()
    assert stored == [
        {"file": 0, "spec": {"format": "Parquet", "part": {"row_groups": [0, 2]}, "partition": None}, "size": 5},
        {
            "file": 1,
            "spec": {"format": "Numpy", "part": {"rows": [0, 9]}, "partition": 3, "columns": {"country": "DE"}},
            "size": 6,
        },
    ]
    [split] = catalog.jobs.splits(job.id)
    assert split.ranges == (replace(plain, max_rows=0), keyed), "the bound on rows only serves to reserve ids"


def test_a_staged_split_keeps_its_rows_ids_and_warnings_at_its_new_place(catalog: Catalog) -> None:
    files = [input_file("a.jsonl"), input_file("b.jsonl")]
    job = catalog.leases.save_plan(planning(catalog), files, [split_of_file(0), split_of_file(1)], auto_id=True)
    warning = JobWarning(code="column_dropped", message="column 'x' is not in the schema", count=3)
    catalog.leases.save_split(job, 1, rows=[3], staged={"note": {"files": ["f"]}}, warnings=[warning])
    staged = catalog.jobs.splits(job.id)[1]
    job = planned_again(catalog, job)
    catalog.leases.save_plan(job, files, [staged, split_of_file(0)], auto_id=True)
    first, second = catalog.jobs.splits(job.id)
    assert first == replace(staged, ordinal=0)
    assert (first.state, first.rows, first.attempts, first.auto_id_start) == (SplitState.STAGED, 3, 1, 101)
    assert catalog.jobs.split_warnings(job.id) == [[warning]]
    assert (second.state, second.rows, second.auto_id_start) == (SplitState.PENDING, 0, 201)


def test_a_file_keeps_its_figures_while_it_is_the_same(catalog: Catalog) -> None:
    names = ["done.jsonl", "half.jsonl", "changed.jsonl"]
    job = catalog.leases.save_plan(
        planning(catalog), [input_file(name) for name in names], [split_of_file(number) for number in range(3)]
    )
    figures = [
        replace(file, state=FileState.COMPLETED, progress=100, rows=5, finished_at=datetime.now(UTC))
        for file in catalog.jobs.files(job.id)
    ]
    catalog.leases.save_progress(job, progress=50, rows=15, total_rows=15, stage="importing", files=figures)
    for ordinal in (0, 1):
        catalog.leases.save_split(job, ordinal, rows=[5], staged={}, warnings=[])
    done = catalog.jobs.splits(job.id)[0]
    job = planned_again(catalog, job)
    files = [input_file("done.jsonl"), input_file("half.jsonl"), input_file("changed.jsonl", size=11)]
    catalog.leases.save_plan(job, files, [done, split_of_file(1), split_of_file(2)])
    assert [(file.name, file.state, file.progress, file.rows) for file in catalog.jobs.files(job.id)] == [
        ("done.jsonl", FileState.COMPLETED, 100, 5),
        ("half.jsonl", FileState.PENDING, 99, 5),
        ("changed.jsonl", FileState.PENDING, 0, 0),
    ]


def test_files_without_rows_are_those_that_were_read(catalog: Catalog) -> None:
    files = [input_file(name) for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    job = catalog.leases.save_plan(planning(catalog), files, [split_of_file(number) for number in range(3)])
    first, second, _ = catalog.jobs.files(job.id)
    read = [replace(first, state=FileState.COMPLETED), replace(second, state=FileState.COMPLETED, rows=1)]
    catalog.leases.save_progress(job, progress=50, rows=1, total_rows=1, stage="importing", files=read)
    assert catalog.jobs.empty_files(job.id) == ["a.jsonl"]
