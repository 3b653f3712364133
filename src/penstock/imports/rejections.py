"""The calls about what a job rejected: pages and groups of errors, and the rejected rows as a file."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.catalog import Catalog
from penstock.domain.access import Caller
from penstock.domain.jobs import FileState, ImportFile, ImportJob, JobState, SplitState
from penstock.domain.rejects import ERROR, ERROR_FILE, ERROR_KEY, ERROR_OFFSET, ERROR_ROW, ERROR_SOURCE
from penstock.engines.base import Engine
from penstock.engines.registry import EngineRegistry
from penstock.errors import InvalidParameter, JobStateConflict, shorten
from penstock.imports.api import Imports
from penstock.imports.context import rejects_of
from penstock.imports.reject_files import Reason, StoredReject, decode, name_of, range_identity
from penstock.readers.base import Origin
from penstock.readers.origins import text_of_origin

MAX_PAGE = 1_000
_MAX_PAGE_BYTES = 8 << 20
"""Sources of the rows of a page: it ends before they are more."""
_EXAMPLES = 3
_MAX_GROUPS = 1_000
FORMATS = ("jsonl", "parquet")
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
"""The digits that surely fit into 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFilter:
    """Which errors: those of a file by its name, of a field, or of a rule by its id."""

    file: str | None = None
    field: str | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """A rejected row, or a file that failed or was left out as a whole (``row`` is where, if known).

    ``origin`` is the row as it is in the file, ``source`` its text; None for a file.
    """

    file: str | None
    row: int | None
    offset: int | None
    key: str | None
    reasons: Sequence[Reason]
    origin: Origin = dataclass_field(default_factory=Origin)
    is_of_file: bool = False

    @property
    def source(self) -> str | None:
        return text_of_origin(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """Some errors of a job, and the cursor of the next ones; None at the end. ``kept_rows`` of the rejected rows
    of the job have their errors."""

    job: ImportJob
    kept_rows: int
    errors: Sequence[RowError]
    cursor: str | None


@dataclass(slots=True, kw_only=True)
class ErrorGroup:
    """The errors of one rule, field and file: how many rows, and the first ones."""

    rule: str
    field: str | None
    file: str | None
    rows: int = 0
    examples: list[RowError] = dataclass_field(default_factory=list)


class Rejections:
    """Read the errors of jobs. All calls raise JobNotFound, also for jobs that the caller may not see."""

    def __init__(self, imports: Imports, catalog: Catalog, engines: EngineRegistry) -> None:
        self._imports = imports
        self._catalog = catalog
        self._engines = engines

    def page(
        self,
        cluster_id: str,
        job_id: int,
        caller: Caller,
        *,
        limit: int = 100,
        cursor: str | None = None,
        where: ErrorFilter | None = None,
    ) -> ErrorPage:
        """Raises InvalidParameter for a limit or a cursor that is none."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidParameter(f"limit must be from 1 to {MAX_PAGE}, not {limit}", key="limit")
        start = _parse_cursor(cursor)
        reading = self._reading(cluster_id, job_id, caller)
        errors: list[RowError] = []
        size = 0
        for position, error in reading.errors(start):
            if where is not None and not _matches(error, where):
                continue
            size += len(error.source or "")
            if errors and (len(errors) == limit or size > _MAX_PAGE_BYTES):
                return ErrorPage(
                    job=reading.job, kept_rows=reading.kept_rows, errors=errors, cursor=_cursor(position)
                )
            errors.append(error)
        return ErrorPage(job=reading.job, kept_rows=reading.kept_rows, errors=errors, cursor=None)

    def groups(
        self, cluster_id: str, job_id: int, caller: Caller, *, where: ErrorFilter | None = None
    ) -> Sequence[ErrorGroup]:
        """The errors by rule, field and file, those with most rows first; at most a thousand groups."""
        groups: dict[tuple[str, str | None, str | None], ErrorGroup] = {}
        for _, error in self._reading(cluster_id, job_id, caller).errors((0, 0)):
            if where is not None and not _matches(error, where):
                continue
            for reason in error.reasons:
                key = (reason.rule, reason.field, error.file)
                if key not in groups and len(groups) == _MAX_GROUPS:
                    continue
                group = groups.setdefault(key, ErrorGroup(rule=reason.rule, field=reason.field, file=error.file))
                group.rows += 1
                if len(group.examples) < _EXAMPLES:
                    group.examples.append(error)
        return sorted(groups.values(), key=lambda group: -group.rows)

    def download(self, cluster_id: str, job_id: int, caller: Caller, file_format: str) -> bytes:
        """The rejected rows as a file: their columns, and the columns of :mod:`penstock.domain.rejects`.

        Raises:
            InvalidParameter: the format is unknown.
            JobStateConflict: the job has rejected no rows, or none is kept.
        """
        if file_format not in FORMATS:
            raise InvalidParameter(
                f"format must be one of {', '.join(FORMATS)}, not {shorten(file_format)!r}", key="format"
            )
        reading = self._reading(cluster_id, job_id, caller)
        rows = (_row_of(error) for _, error in reading.errors((0, 0)) if not error.is_of_file)
        first = list(islice(rows, 1))
        if not first:
            raise _nothing_kept(reading.job)
        if file_format == "jsonl":
            return b"".join(orjson.dumps(row) + b"\n" for row in (*first, *rows))
        sink = io.BytesIO()
        pq.write_table(_table([*first, *rows]), sink, compression="zstd")
        return sink.getvalue()

    def _reading(self, cluster_id: str, job_id: int, caller: Caller) -> _Reading:
        details = self._imports.get(cluster_id, job_id, caller)
        job = details.job
        collection = self._catalog.collections.by_id(job.collection_id)
        engine = None if collection is None else self._engines.for_collection(collection)
        return _Reading(self._catalog, engine, job, details.files)


def _nothing_kept(job: ImportJob) -> JobStateConflict:
    why = "none of its rejected rows were kept" if job.rejected_rows else "it has rejected no rows"
    return JobStateConflict(f"job {job.id} has no rejected rows to download: {why}", job_id=job.id)


class _Reading:
    """The errors of one job, in the order of its splits; those of whole files come first."""

    def __init__(self, catalog: Catalog, engine: Engine | None, job: ImportJob, files: Sequence[ImportFile]) -> None:
        self.job = job
        self._engine = engine
        self._files = {file.ordinal: file for file in files}
        self._of_files = [*_errors_of_files(job, files)]
        self._offsets: dict[tuple[int, str], int | None] = {}
        ends: dict[int, int | None] = {}
        named: list[str] = []
        unstaged: list[str] = []
        self.kept_rows = 0
        for split in catalog.jobs.splits(job.id):
            if (rejects := rejects_of(split.staged)) is not None and rejects.name is not None:
                named.append(rejects.name)
                self.kept_rows += rejects.kept
            elif split.state is not SplitState.STAGED:
                unstaged.append(name_of(split))
            for file_range in split.ranges:
                before = ends.get(file_range.file, 0) if file_range.first_row is None else file_range.first_row
                self._offsets[file_range.file, range_identity(file_range)] = before
                is_known = split.staged is not None and before is not None
                ends[file_range.file] = before + file_range.read_rows if is_known and before is not None else None
        # A failed job's staged files are deleted some time, and a split that failed never had any. Other files are of
        # splits of an earlier plan, before a retry.
        present: set[str] = set()
        if engine is not None and job.has_failed:
            present.update(engine.reject_names(job.collection_id, job.id))
        self._names = [*named, *(name for name in unstaged if name in present)]

    def errors(self, start: tuple[int, int]) -> Iterator[tuple[tuple[int, int], RowError]]:
        """The errors from a position on, each with its position: the number of its file of rejects, and a place."""
        number, place = start
        if number == 0:
            for at, error in enumerate(self._of_files[place:], place):
                yield (0, at), error
            number, place = 1, 0
        for at_name, name in enumerate(self._names[number - 1 :], number):
            content = (
                None if self._engine is None else self._engine.rejects(self.job.collection_id, self.job.id, name)
            )
            for at, reject in enumerate(islice(decode(content), place, None) if content else (), place):
                yield (at_name, at), self._error_of(reject)
            place = 0

    def _error_of(self, reject: StoredReject) -> RowError:
        offset = self._offsets.get((reject.file, reject.range))
        file = self._files.get(reject.file)
        return RowError(
            file=None if file is None else file.name,
            row=None if offset is None else offset + reject.row,
            offset=reject.origin.offset,
            key=reject.key,
            reasons=reject.reasons,
            origin=reject.origin,
        )


def _errors_of_files(job: ImportJob, files: Sequence[ImportFile]) -> Iterator[RowError]:
    failed = [file for file in files if file.state is FileState.FAILED and file.error is not None]
    for file in failed:
        facts: Mapping[str, Any] = file.error or {}
        reason = Reason(facts.get("field"), facts["rule"], facts.get("value"), facts["message"])
        yield RowError(
            file=file.name,
            row=facts.get("row"),
            offset=facts.get("offset"),
            key=None,
            reasons=[reason],
            is_of_file=True,
        )
    if job.state is JobState.FAILED and job.reason and not failed:
        yield RowError(
            file=None,
            row=None,
            offset=None,
            key=None,
            reasons=[Reason(None, "job", None, job.reason)],
            is_of_file=True,
        )


def _matches(error: RowError, where: ErrorFilter) -> bool:
    if where.file is not None and error.file != where.file:
        return False
    return any(where.field in (None, reason.field) and where.rule in (None, reason.rule) for reason in error.reasons)


def _cursor(position: tuple[int, int]) -> str:
    return f"{position[0]}-{position[1]}"


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    position = _CURSOR.fullmatch(cursor)
    if position is None:
        raise InvalidParameter(f"cursor must be that of an earlier page, not {shorten(cursor)!r}", key="cursor")
    return int(position[1]), int(position[2])


def _row_of(error: RowError) -> dict[str, Any]:
    """A rejected row with its columns and its reasons."""
    try:
        source = None if error.source is None else orjson.loads(error.source)
    except orjson.JSONDecodeError:
        source = None
    row = source if isinstance(source, dict) else {} if error.source is None else {ERROR_SOURCE: error.source}
    return {
        **row,
        ERROR: "; ".join(
            f"{reason.field}: {reason.message}" if reason.field else reason.message for reason in error.reasons
        ),
        ERROR_FILE: error.file,
        ERROR_ROW: error.row,
        ERROR_OFFSET: error.offset,
        ERROR_KEY: error.key,
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table; a column whose values have no common type is JSON text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: Sequence[Any]) -> pa.Array[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        try:
            column: pa.Array[Any] = pa.array(values)
        except (pa.ArrowException, OverflowError):
            pass
        else:
            # A struct has the keys of all rows, and an empty one can't be written.
            if not pa.types.is_struct(column.type):
                return column
    texts: pa.Array[Any] = pa.array(
        [value if value is None or isinstance(value, str) else orjson.dumps(value).decode() for value in values],
        pa.string(),
    )
    return texts
