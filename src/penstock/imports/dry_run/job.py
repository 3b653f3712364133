"""The staging step of a job that is a dry run: its splits are checked, and the report is made of what they found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from penstock.domain.check_report import Problem, Report
from penstock.domain.jobs import Split, SplitState
from penstock.domain.schema import CollectionSchema
from penstock.engines.values import Table
from penstock.errors import PenstockError, StorageFull
from penstock.filters import parse
from penstock.imports.context import ImportContext
from penstock.imports.dry_run.key_spool import KeySpool
from penstock.imports.dry_run.report import problem_of_error
from penstock.imports.dry_run.summary import Findings, report_of
from penstock.imports.dry_run.task import (
    CheckResult,
    CheckTask,
    KeysTask,
    SplitNote,
    check_split,
    options_of_check,
    read_keys,
)
from penstock.imports.planner import Plan
from penstock.imports.staging import StagingRun
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import TaskHandle

_MAX_LOOKED_UP = 500
"""Keys of the files that are looked up in the collection."""


def spool_of(context: ImportContext, job_id: int) -> KeySpool:
    """The hashes of the keys of a job, on this machine: another server that takes the job over checks it again."""
    return KeySpool(context.spool / str(job_id))


def delete_key_spools(context: ImportContext) -> None:
    """Delete the key hashes of jobs that have ended or are unknown."""
    if not context.spool.is_dir():
        return
    for folder in context.spool.iterdir():
        if folder.name.isdigit() and not context.catalog.jobs.is_live(int(folder.name)):
            spool_of(context, int(folder.name)).drop()


def plan_problems(plan: Plan) -> list[dict[str, object]]:
    """The problems of the files that could not be planned, as the report keeps them."""
    return [problem_of_error(error, plan.files[ordinal].name).to_json() for ordinal, error in plan.errors.items()]


class CheckingRun(StagingRun):
    """Checks the splits of one job instead of staging them."""

    _spool: KeySpool

    def _restored(self, splits: Sequence[Split]) -> Sequence[Split]:
        """The splits, of which those are pending again whose key hashes are not on this machine."""
        self._spool = spool_of(self._context, self._leased.job.id)
        return [
            split if split.state is not SplitState.STAGED or self._spool.has(split.ordinal) else _pending(split)
            for split in splits
        ]

    def _submit(self, split: Split) -> TaskHandle[CheckResult]:
        return self._runner.submit(check_split, self._check_task(split))

    def _save_result(self, split: Split, result: CheckResult) -> None:
        with _storing_hashes():
            self._spool.add(split.ordinal, result.hashes, result.key_rows)
        self._check(split)
        self._context.catalog.leases.save_split(
            self._leased.job,
            split.ordinal,
            rows=result.rows,
            warnings=result.warnings,
            report=result.note.to_json(),
        )
        self._tracker.staged(split, result.rows)

    def report(self) -> Report:
        """Make the report, once all splits are checked.

        Raises:
            StorageFull: the disk has no room for the comparison of the keys.
            TaskCancelled, JobTimedOut, LeaseLost
        """
        catalog, job = self._context.catalog, self._leased.job
        files = catalog.jobs.files(job.id)
        splits = catalog.jobs.splits(job.id)
        schema = self._collection.schema
        planned = catalog.jobs.report(job.id) or {}
        notes = {split.ordinal: SplitNote.from_json(split.report) for split in splits}
        findings = Findings(
            schema=schema,
            names={file.ordinal: file.name for file in files},
            size=sum(file.size for file in files),
            splits=splits,
            notes=notes,
            problems=[Problem.from_json(problem) for problem in planned.get("problems", ())],
        )
        has_keys = not schema.auto_id
        with _storing_hashes():
            duplicates = self._spool.find(self._leased.check_time) if has_keys else None
        return report_of(
            findings,
            duplicates,
            self._keys_of,
            workers=self._runner.slots,
            existing=self._existing(notes, schema) if has_keys else None,
        )

    def _keys_of(self, split: Split, rows: Sequence[int]) -> Sequence[str]:
        handle = self._runner.submit(read_keys, KeysTask(check=self._check_task(split), rows=rows))
        try:
            self._wait_for([handle.future])
        except BaseException:
            handle.cancel()
            raise
        try:
            keys: Sequence[str] = handle.future.result()
        except PenstockError as error:  # only the values in the report are missing
            self._leased.log.warning("job.keys_not_read", error=str(error))
            return []
        return keys

    def _existing(self, notes: dict[int, SplitNote], schema: CollectionSchema) -> tuple[int, Sequence[str]] | None:
        """How many keys of the files were looked up in the collection, and those that it holds."""
        keys = [key for note in notes.values() for key in note.keys]
        keys = keys[:: max(1, -(-len(keys) // _MAX_LOOKED_UP))]
        if not keys:
            return None
        name = schema.primary.name
        found = self._engine.query(
            Table.of(self._collection),
            filter=parse(f"{name} in {{keys}}", schema, {"keys": keys}),
            columns=[name],
            limit=len(keys),
        )
        present = set(found.column(name).to_pylist())
        return len(keys), [str(key) for key in dict.fromkeys(keys) if key in present]

    def _check_task(self, split: Split) -> CheckTask:
        job, settings = self._leased.job, self._context.settings
        return CheckTask(
            table=Table.of(self._collection),
            split=replace(split, auto_id_start=0),
            locations={file_range.file: self._locations[file_range.file] for file_range in split.ranges},
            partitions=self._stage_task.partitions,
            batch_bytes=settings.batch_bytes,
            options=options_of_check(job.options),
            # The same for all processes that work on the job: it chooses the hash function of the keys.
            seed=job.id,
            unknown_columns=UnknownColumns.of(job.options),
            memory_limit=settings.worker_memory,
            job_id=job.id,
            engine=self._engine,
        )


@contextmanager
def _storing_hashes() -> Iterator[None]:
    """Translate errors of the disk that has the hashes of keys. Raises StorageFull."""
    try:
        yield
    except OSError as error:
        raise StorageFull(
            f"the hashes of the keys can't be stored: {error.strerror or error}. Free some room in the data dir"
        ) from error


def _pending(split: Split) -> Split:
    return replace(split, state=SplitState.PENDING)
