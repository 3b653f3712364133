"""Check files without a server: plan, check every split in worker processes, report."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.domain.check_report import Problem, Report
from penstock.domain.jobs import JobWarning, Split, SplitState, merge_warnings
from penstock.domain.schema import CollectionSchema
from penstock.engines.values import Table
from penstock.errors import MemoryExceeded, PenstockError, WorkerLost
from penstock.imports.checks import check_options
from penstock.imports.dry_run.key_spool import Duplicates, KeySpool
from penstock.imports.dry_run.report import Problems, problem_of_error
from penstock.imports.dry_run.summary import Findings, report_of
from penstock.imports.dry_run.target_task import TargetTask, check_for_targets, problem_of
from penstock.imports.dry_run.task import (
    CheckResult,
    CheckTask,
    KeysTask,
    SplitNote,
    check_split,
    options_of_check,
    read_keys,
)
from penstock.imports.mapping_options import column_mapping_of
from penstock.imports.memory_budget import too_large
from penstock.imports.planner import Plan, plan_ranges
from penstock.imports.schema_inference import SampleTask, sample_and_infer
from penstock.imports.settings import JobSettings
from penstock.imports.split_packing import pack_splits
from penstock.inference.infer import InferOptions
from penstock.inference.inferred import InferredSchema
from penstock.inference.sampling import MAX_FILES, evenly_spread
from penstock.readers.base import InputFile
from penstock.readers.unknown_columns import UnknownColumns
from penstock.runners.base import Runner, TaskContext, TaskHandle
from penstock.targets.files import check_files as check_names
from penstock.targets.rule import Target
from penstock.targets.schemas import check_schema
from penstock.targets.table import EMPTY_FILE, UNKNOWN_COLUMN

_TICK_SECONDS = 0.1
_FILES_PER_TASK = 16
_JSON = frozenset({"JSON", "JSONL"})

Progress = Callable[[str, int, int, int], None]
"""Called with a step's name, its bytes so far, those of all files, and the rows so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCheck:
    """What to check, and with what: ``spool`` is a folder for the hashes of keys, which the caller deletes."""

    files: Sequence[InputFile]
    schema: CollectionSchema
    options: Mapping[str, str]
    targets: Sequence[Target]
    settings: JobSettings
    runner: Runner
    spool: Path
    progress: Progress = lambda *_: None

    def run(self) -> Report:
        """Check all rows of all files.

        Raises:
            ImportRefused, InvalidParameter: the options or the mapping are wrong for the schema.
            SourceUnavailable: a store does not answer.
        """
        check_options(self.options)
        mapping = column_mapping_of(self.options, self.schema)
        plan = plan_ranges(self.files, self.schema, self.options, self.settings, None, self._map, keep_errors=True)
        locations: dict[int, Sequence[Any]] = {ordinal: file.locations for ordinal, file in enumerate(plan.files)}
        splits, _ = pack_splits(
            plan, split_bytes=self.settings.split_bytes, workers=self.runner.slots, locations={}, splits=[]
        )
        file_schema = mapping.source_schema(self.schema)
        problems = self._target_problems(plan, file_schema)
        table = Table(id="check", schema=self.schema)
        seed = secrets.randbits(64)

        def task_of(split: Split) -> CheckTask:
            return CheckTask(
                table=table,
                split=replace(split, auto_id_start=0),
                locations={file_range.file: locations[file_range.file] for file_range in split.ranges},
                partitions=[0],
                batch_bytes=self.settings.batch_bytes,
                options=options_of_check(self.options),
                seed=seed,
                unknown_columns=UnknownColumns.of(self.options),
                memory_limit=self.settings.worker_memory,
            )

        spool = KeySpool(self.spool)
        notes: dict[int, SplitNote] = {}
        warnings = [list(plan.warnings)]
        checked: list[Split] = []
        results = self._results(check_split, [task_of(split) for split in splits], "checking", plan.files)
        for split, outcome in zip(splits, results, strict=True):
            result = outcome if isinstance(outcome, CheckResult) else self._failed(split, outcome, plan)
            ranges = [replace(part, rows=rows) for part, rows in zip(split.ranges, result.rows, strict=True)]
            checked.append(replace(split, ranges=tuple(ranges), state=SplitState.STAGED))
            notes[split.ordinal] = result.note
            warnings.append(list(result.warnings))
            if not self.schema.auto_id and len(result.key_rows):
                spool.add(split.ordinal, result.hashes, result.key_rows)
        problems += self._problems_of_rows(plan, checked, warnings)
        findings = Findings(
            schema=self.schema,
            names={ordinal: file.name for ordinal, file in enumerate(plan.files)},
            size=sum(file.size for file in plan.files),
            splits=checked,
            notes=notes,
            errors=plan.errors,
            problems=problems,
            warnings=merge_warnings(warnings),
        )
        duplicates: Duplicates | None = None if self.schema.auto_id else spool.find()

        def keys_of(split: Split, rows: Sequence[int]) -> Sequence[str]:
            (keys,) = self._map(read_keys, [KeysTask(check=task_of(split), rows=rows)])
            return list(keys)

        return report_of(findings, duplicates, keys_of, workers=self.runner.slots)

    def _target_problems(self, plan: Plan, schema: CollectionSchema) -> list[Problem]:
        if not self.targets:
            return []
        problems = Problems()
        formats = {file.format for file in plan.files}
        for finding in (*check_names(plan.files, self.targets), *check_schema(self.schema, self.targets, formats)):
            problems.add(problem_of(finding, self.targets))
        tasks = [
            TargetTask(
                files=plan.files[start : start + _FILES_PER_TASK],
                schema=schema,
                targets=self.targets,
                separator=self.options.get("sep") or "",
                memory_limit=self.settings.worker_memory,
            )
            for start in range(0, len(plan.files), _FILES_PER_TASK)
        ]
        for outcome in self._results(check_for_targets, tasks, "checking the target's rules", plan.files):
            if isinstance(outcome, PenstockError):
                raise outcome
            problems.add_all(outcome)
        return problems.list()

    def _problems_of_rows(
        self, plan: Plan, splits: Sequence[Split], warnings: Sequence[Sequence[JobWarning]]
    ) -> list[Problem]:
        """The problems for the targets that only reading shows: files without rows, keys of JSON without a field."""
        rows: Counter[int] = Counter()
        for split in splits:
            rows.update({part.file: part.rows for part in split.ranges})
        empty = [
            EMPTY_FILE.finding(self.targets, "the file has no rows", file=file.name)
            for ordinal, file in enumerate(plan.files)
            if not rows[ordinal] and ordinal not in plan.errors
        ]
        problems = [problem_of(finding, self.targets) for finding in empty if finding is not None]
        # Parquet, NumPy and CSV name their columns in headers, which are checked already.
        if self.schema.dynamic or not all(file.format in _JSON for file in plan.files):
            return problems
        for warning in merge_warnings([list(group) for group in warnings]):
            if warning.code == "column_dropped":
                finding = UNKNOWN_COLUMN.finding(self.targets, warning.message)
                if finding is not None:
                    problems.append(replace(problem_of(finding, self.targets), count=warning.count))
        return problems

    def _failed(self, split: Split, error: PenstockError, plan: Plan) -> CheckResult:
        """The result of a split whose worker was killed: the error is that of its files."""
        names = list(dict.fromkeys(plan.files[part.file].name for part in split.ranges))
        if isinstance(error, MemoryExceeded):
            error = too_large(names[0], error.details["taken"])
        return CheckResult.failed(split, [problem_of_error(error, name) for name in names])

    # Workers

    def _map(self, function: Callable[[Any, TaskContext], Any], tasks: Sequence[Any]) -> Iterable[Any]:
        for outcome in self._results(function, tasks, "planning", self.files):
            if isinstance(outcome, PenstockError):
                raise outcome
            yield outcome

    def _results(
        self,
        function: Callable[[Any, TaskContext], Any],
        tasks: Sequence[Any],
        step: str,
        files: Sequence[InputFile],
    ) -> Iterator[Any]:
        """Yield the results in order, or the error of a task whose worker died; a few tasks are in flight."""
        total = sum(file.size for file in files)
        window: list[tuple[Any, TaskHandle[Any]]] = []
        waiting = iter(tasks)
        done_bytes = done_rows = 0
        try:
            while True:
                while len(window) <= self.runner.slots and (task := next(waiting, None)) is not None:
                    window.append((task, self.runner.submit(function, task)))
                if not window:
                    return
                while not wait([window[0][1].future], _TICK_SECONDS).done:
                    self._show(step, window, done_bytes, total, done_rows)
                task, handle = window.pop(0)
                try:
                    yield handle.future.result()
                except (MemoryExceeded, WorkerLost) as error:
                    yield error
                size, rows = handle.progress()
                done_bytes, done_rows = done_bytes + size, done_rows + rows
        finally:
            for _, handle in window:
                handle.cancel()

    def _show(
        self, step: str, window: Sequence[tuple[Any, TaskHandle[Any]]], done: int, total: int, rows: int
    ) -> None:
        running = [handle.progress() for _, handle in window]
        self.progress(
            step,
            min(total, done + sum(size for size, _ in running)),
            total,
            rows + sum(count for _, count in running),
        )


def infer_from(check: LocalCheck, chosen: InferOptions) -> InferredSchema:
    """Infer the schema of a check's files from their first rows; ``check.schema`` is not used.

    Raises:
        ImportRefused: no schema fits.
        DataError, SourceError: a file can't be read.
    """
    files = evenly_spread(check.files, MAX_FILES)
    task = SampleTask(
        files=files,
        options=check.options,
        chosen=chosen,
        is_complete=len(files) == len(check.files),
        memory_limit=check.settings.worker_memory,
    )
    inferred: InferredSchema
    (inferred,) = check._map(sample_and_infer, [task])
    return inferred
