"""The worker task that looks at files as another server would: headers, types, and the text of JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.lib.format as npy
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.check_report import Problem
from penstock.domain.schema import CollectionSchema
from penstock.errors import DataError, SourceError
from penstock.imports.dry_run.report import Problems, problem_of_finding
from penstock.readers.base import InputFile
from penstock.readers.byte_ranges import BLOCK_BYTES, blocks
from penstock.readers.compression import COMPRESSIONS
from penstock.readers.csv.table import check_separator
from penstock.readers.json.record_scanner import RecordScanner
from penstock.readers.numpy_set import field_of
from penstock.runners.base import TaskContext
from penstock.sources.base import Source
from penstock.sources.opening import open_source
from penstock.targets.arrays import check_array
from penstock.targets.columns import check_columns
from penstock.targets.rule import Finding, Target
from penstock.targets.table import RULES_BY_ID
from penstock.targets.texts import BOM, HEAD_BYTES, ValueSearch, check_head, check_header

_TEXTS = frozenset({"JSON", "JSONL", "CSV", "TSV"})
_JSON = frozenset({"JSON", "JSONL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTask:
    """Input files to look at. ``schema`` has the names that the files have, ``separator`` is the option ``sep``."""

    files: Sequence[InputFile]
    schema: CollectionSchema
    targets: Sequence[Target]
    separator: str = ""
    memory_limit: int | None = None


def check_for_targets(task: TargetTask, context: TaskContext) -> Sequence[Problem]:
    """Check files against the rules of targets. What can't be read is the checks' own problem, and passed over.

    Raises:
        TaskCancelled, SourceUnavailable
    """
    problems = Problems()
    done = 0
    for file in task.files:
        context.check()
        with suppress(DataError, SourceError, pa.ArrowException, OSError, ValueError):
            for finding in _findings(file, task, context):
                problems.add(problem_of(finding, task.targets))
        done += file.size
        context.report(done, 0)
    return problems.list()


def problem_of(finding: Finding, targets: Sequence[Target]) -> Problem:
    rule = RULES_BY_ID[finding.rule]
    severity = rule.severity(targets)
    assert severity is not None, "a finding is of a rule that holds for a target"
    return problem_of_finding(finding, severity, rule.remedy)


def _findings(file: InputFile, task: TargetTask, context: TaskContext) -> Iterator[Finding]:
    sources = [open_source(location) for location in file.locations]
    name = file.locations[0].name
    if file.format == "Parquet":
        with sources[0].open_arrow() as stream:
            columns = pq.read_schema(stream)
        yield from check_columns(columns, task.schema, task.targets, name)
    elif file.format == "Numpy":
        for source in sources:
            yield from _array_findings(source, task)
    elif file.format in _TEXTS and name.rpartition(".")[2].lower() not in COMPRESSIONS and sources[0].size:
        with sources[0].open_stream(0, HEAD_BYTES) as stream:
            head = stream.read(HEAD_BYTES)
        yield from check_head(head, file.format, task.targets, name)
        if file.format == "CSV":
            yield from check_header(head, check_separator(task.separator), task.schema, task.targets, name)
        search = ValueSearch.of(task.schema, task.targets) if file.format in _JSON else None
        if search is not None and search.has_candidates(_checked_blocks(sources[0], 0, context)):
            start = head.index(b"[") + 1 if file.format == "JSON" else len(BOM) * head.startswith(BOM)
            yield from _value_findings(sources[0], search, start, file.format == "JSON", context)


def _array_findings(source: Source, task: TargetTask) -> Iterator[Finding]:
    with source.open_stream() as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, column_major, dtype = read(stream)
    yield from check_array(
        field_of(source.name),
        np.dtype(dtype),
        column_major=column_major and len(shape) == 2 and min(shape) > 1,
        schema=task.schema,
        targets=task.targets,
        file=source.name,
    )


def _value_findings(
    source: Source, search: ValueSearch, start: int, listed: bool, context: TaskContext
) -> Iterator[Finding]:
    """Yield the findings of each row, which the reader's own scanner cuts out."""
    scanner = RecordScanner(start, listed=listed)
    row = 0
    for block in _checked_blocks(source, start, context):
        for offset, record in scanner.feed(block):
            yield from search.findings(record, source.name, row, offset)
            row += 1
        scanner.check()
        if scanner.done:
            return


def _checked_blocks(source: Source, start: int, context: TaskContext) -> Iterator[bytes]:
    for block in blocks(source, start, size=BLOCK_BYTES):
        context.check()
        yield block
