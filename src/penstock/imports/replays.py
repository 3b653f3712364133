"""Replays: jobs of only the rejected rows, or the files that were left out, of an earlier job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from penstock.catalog import Catalog
from penstock.domain.jobs import FileRange, FileState, ImportJob, JobState, Split
from penstock.domain.rejects import ERROR_COLUMNS
from penstock.domain.write_modes import WriteMode
from penstock.engines.base import Engine
from penstock.errors import DataError, JobNotFound, JobStateConflict
from penstock.imports.context import rejects_of
from penstock.imports.planner import Plan
from penstock.imports.reject_files import decode, range_identity
from penstock.imports.requests import StoreCredentials
from penstock.readers.base import InputFile
from penstock.sources.roots import ImportRoots


def check_replay(job: ImportJob) -> None:
    """Raises JobStateConflict unless a job has left out rows or files."""
    if job.state is not JobState.COMPLETED:
        raise JobStateConflict(
            f"job {job.id} is in state {job.state}: only what a Completed job has left out can be replayed"
            + (". Correct its files, and retry it" if job.state is JobState.FAILED else ""),
            job_id=job.id,
            state=job.state.value,
        )
    if not (job.rejected_rows or job.skipped_files):
        raise JobStateConflict(
            f"job {job.id} has rejected no rows and left out no files: there is nothing to replay", job_id=job.id
        )


def replayed_options(job: ImportJob, *, corrected: bool) -> dict[str, str]:
    """The options of a replay: the job's own, but that it never overwrites.

    Of a corrected file the columns of the download are dropped.
    """
    options = dict(job.options)
    if options.get("write_mode") == WriteMode.OVERWRITE:
        del options["write_mode"]  # the rows that the job has imported would go
    if corrected:
        dropped = orjson.loads(options.get("drop_columns") or "[]")
        columns = [*dropped, *(name for name in ERROR_COLUMNS if name not in dropped)]
        options["drop_columns"] = orjson.dumps(columns).decode()
    return options


def skipped_groups(catalog: Catalog, job: ImportJob) -> Sequence[Sequence[str]]:
    """The paths of the files that a job left out."""
    locations = catalog.jobs.locations(job.id)
    return [
        [location["name"] for location in locations[file.ordinal]]
        for file in catalog.jobs.files(job.id)
        if file.state is FileState.FAILED
    ]


def check_kept(catalog: Catalog, job: ImportJob) -> None:
    """Raises JobStateConflict where not all of the rejected rows are kept: a replay would lose some."""
    kept = sum(rejects.kept for split in catalog.jobs.splits(job.id) if (rejects := rejects_of(split.staged)))
    if kept < job.rejected_rows:
        raise JobStateConflict(
            f"job {job.id} has kept {kept:,} of its {job.rejected_rows:,} rejected rows (max_kept_rejects, "
            "max_kept_reject_bytes, max_reject_bytes), so they can't be replayed from the source. Import corrected "
            "files, by files",
            job_id=job.id,
            kept=kept,
        )


def plan_of_rows(
    catalog: Catalog,
    engine: Engine,
    job: ImportJob,
    roots: ImportRoots,
    keys: StoreCredentials,
    partition: int | None,
) -> Plan:
    """The plan of a replay of rows: the file ranges of the earlier job that have rejects, of which only these rows.

    ``partition`` is where they go, None where a partition key decides per row: since the earlier job, that of the
    name may have been dropped and created again.

    Raises:
        JobNotFound: the earlier job is gone.
        DataError: its rejected rows are.
    """
    earlier = job.replay_of
    if earlier is None or catalog.jobs.cluster_of(earlier) != job.cluster_id:
        raise JobNotFound(f"the job {earlier} that is to be replayed does not exist any more", job_id=earlier)
    splits = catalog.jobs.splits(earlier)
    rows = _rejected_rows(splits, engine, job.collection_id, earlier)
    ends: dict[int, int] = {}
    by_file: dict[int, list[FileRange]] = defaultdict(list)
    for split in splits:
        for file_range in split.ranges:
            first = ends.get(file_range.file, 0) if file_range.first_row is None else file_range.first_row
            ends[file_range.file] = first + file_range.read_rows
            if only := rows.get((file_range.file, range_identity(file_range))):
                by_file[file_range.file].append(
                    replace(
                        file_range,
                        rows=0,
                        rejected=0,
                        partition=partition,
                        only=tuple(only),
                        first_row=first,
                        max_rows=only[-1] + 1,
                    )
                )
    locations = catalog.jobs.locations(earlier)
    files: list[InputFile] = []
    ranges: list[FileRange] = []
    for number, of_file in sorted(by_file.items()):
        ranges += [replace(file_range, file=len(files)) for file_range in of_file]
        files.append(
            InputFile(
                locations=[
                    roots.restore(location, keys.access_key, keys.secret_key, keys.token)
                    for location in locations[number]
                ],
                format=of_file[0].format,
                total_rows=sum(len(file_range.only or ()) for file_range in of_file),
            )
        )
    return Plan(files=files, ranges=ranges, warnings=())


def _rejected_rows(
    splits: Sequence[Split], engine: Engine, collection_id: str, job_id: int
) -> Mapping[tuple[int, str], Sequence[int]]:
    """The rows that a job rejected, by file and range identity, ascending."""
    rows: dict[tuple[int, str], list[int]] = {}
    for split in splits:
        rejects = rejects_of(split.staged)
        if rejects is None or rejects.name is None:
            continue
        content = engine.rejects(collection_id, job_id, rejects.name)
        if content is None:
            raise DataError(
                f"the rejected rows of job {job_id} are not there any more", remedy="Import its files again"
            )
        for reject in decode(content):
            rows.setdefault((reject.file, reject.range), []).append(reject.row)
    return rows
