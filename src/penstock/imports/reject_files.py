"""Files of rejected rows: a worker writes one per split, next to the tables, and the calls about errors read them.

A file is Parquet: a row per rejected row. That of a format of text has its text as ``source``. That of a columnar
format is row ``place`` of a ``batch``, whose content, in Arrow's stream format, is with the first of its rows. A
split that is repeated finds the same rejects, and replaces the file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.error_budget import ErrorBudget, ErrorPolicy
from penstock.domain.jobs import FileRange, ImportJob, JobWarning, Split
from penstock.errors import DataError, PenstockError
from penstock.readers.base import Origin, RejectedRow
from penstock.readers.columnar_rows import ColumnarRows
from penstock.readers.columns.json_values import JsonParser, is_json_object, text_of

_COLUMNS: Sequence[tuple[str, Any]] = (
    ("file", pa.int32()),
    ("range", pa.string()),
    ("row", pa.int64()),
    ("offset", pa.int64()),
    ("key", pa.string()),
    ("reasons", pa.string()),
    ("source", pa.string()),
    ("batch", pa.int32()),
    ("place", pa.int32()),
    ("batch_content", pa.binary()),
)
_SCHEMA = pa.schema(_COLUMNS)
_REPEATED = [name for name, _ in _COLUMNS if name not in ("key", "source", "place", "batch_content")]
_SHOWN = 3
"""Errors that the reason of an exceeded budget quotes."""
_MAX_REASONS = 20
_REASONS_BYTES = 200
"""Of a rejected row, about."""
_MAX_KEY = 100
"""Characters."""


FirstError: TypeAlias = tuple[int, DataError]
"""One of the first errors of a split: the number of its file range there, in which its row counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLimits:
    """Most rejected rows, and bytes of their sources, that the file of one split keeps; others are only counted."""

    rows: int
    bytes: int


NOTHING_KEPT = RejectLimits(rows=0, bytes=0)


class TooManyErrors(PenstockError):
    """A job has more bad rows or files than its budget allows."""

    code = "too_many_errors"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row was rejected: a field, or None where it is the row; the rule's name; the value, cut; a sentence."""

    field: str | None
    rule: str
    value: str | None
    message: str

    @classmethod
    def of(cls, error: DataError) -> Reason:
        remedy = f". {error.remedy}" if error.remedy else ""
        return cls(error.field, error.rule_id, error.value, f"{error.rule}{remedy}")

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "rule": self.rule, "value": self.value, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReject:
    """A rejected row of a file. ``range`` is the identity of its file range, in which ``row`` counts."""

    file: int
    range: str
    row: int
    key: str | None
    reasons: Sequence[Reason]
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRejects:
    """The rejects of a staged split: how many rows per file range, and the file of those that were kept."""

    rows: Sequence[int]
    kept: int = 0
    size: int = 0
    name: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"rows": list(self.rows), "kept": self.kept, "size": self.size, "name": self.name}

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> SplitRejects:
        return cls(rows=note["rows"], kept=note["kept"], size=note["size"], name=note["name"])


def range_identity(file_range: FileRange) -> str:
    """A short name of a file range among those of its file: of what its reader is asked to read."""
    return hashlib.sha256(orjson.dumps(dict(file_range.spec), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def name_of(split: Split) -> str:
    """The name of a split's file: of its file ranges, so that a repeated split replaces it."""
    ranges = [[file_range.file, range_identity(file_range)] for file_range in split.ranges]
    return f"{hashlib.sha256(orjson.dumps(ranges)).hexdigest()[:24]}.parquet"


class RejectCollector:
    """Collect the rejected rows of a split, in order: the first ones are kept, all are counted.

    Args:
        key: the column of the primary key in the file; None if the server makes the keys.
    """

    def __init__(self, split: Split, policy: ErrorPolicy, limits: RejectLimits, key: str | None) -> None:
        self._split = split
        self._policy = policy
        self._limits = limits
        self._key = key
        self._kept: list[StoredReject] = []
        self._bytes = 0
        self.counts = [0] * len(split.ranges)
        self.first: list[FirstError] = []

    def add(self, number: int, rejects: Sequence[RejectedRow]) -> None:
        """Add rejects of the file range ``number``.

        Raises:
            TooManyErrors: the split alone has more than the job may have.
        """
        if not rejects:
            return
        self.counts[number] += len(rejects)
        self.first += [(number, reject.errors[0]) for reject in rejects[: _SHOWN - len(self.first)]]
        file_range = self._split.ranges[number]
        identity = range_identity(file_range)
        origins = _Origins(self._key)
        for reject in rejects:
            size, key = origins.size_and_key(reject.origin)
            size += _REASONS_BYTES
            if len(self._kept) >= self._limits.rows or self._bytes + size > self._limits.bytes:
                break
            self._bytes += size
            self._kept.append(
                StoredReject(
                    file=file_range.file,
                    range=identity,
                    row=reject.row,
                    key=key,
                    reasons=[Reason.of(error) for error in reject.errors[:_MAX_REASONS]],
                    origin=reject.origin,
                )
            )
        self._check(self._policy.per_job, sum(self.counts), "max_errors")
        of_file = sum(
            count
            for count, other in zip(self.counts, self._split.ranges, strict=True)
            if other.file == file_range.file
        )
        self._check(self._policy.per_file, of_file, "max_errors_per_file")

    def _check(self, budget: ErrorBudget | None, bad: int, option: str) -> None:
        if budget is not None and budget.is_exceeded(bad, None):
            raise too_many_errors(option, budget, bad, None, [error for _, error in self.first], first=self.first)

    @property
    def kept(self) -> int:
        return len(self._kept)

    def content(self) -> bytes:
        """The file of the rows that are kept."""
        return encode(self._kept)


def too_many_errors(
    option: str,
    budget: ErrorBudget,
    bad: int,
    total: int | None,
    examples: Sequence[DataError],
    first: Sequence[FirstError] = (),
) -> TooManyErrors:
    """The error where so many bad rows are more than a budget allows. ``first`` are examples by file range."""
    of_all = "" if total is None else f" of {total:,}"
    texts = "; ".join(str(error) for error in examples[:_SHOWN])
    return TooManyErrors(
        f"more bad rows than options.{option}={budget.text} allows: {bad:,}{of_all} so far. The first ones: {texts}",
        option=option,
        budget=budget,
        bad=bad,
        first=list(first),
    )


def warnings_of_rejects(job: ImportJob, rejected: int, kept: int, skipped_files: int) -> list[JobWarning]:
    """The warnings that rows or files were left out, and that not all such rows were kept."""
    warnings = []
    if rejected:
        text = f"rejected rows were left out, as on_error=skip_row says: penstock jobs errors {job.id} shows why"
        warnings.append(JobWarning(code="rows_rejected", message=text, count=rejected))
    if kept < rejected:
        text = f"of the rejected rows only the first ones of each split were kept, {kept:,} of {rejected:,}"
        warnings.append(JobWarning(code="rejects_not_kept", message=text, count=rejected - kept))
    if skipped_files:
        text = f"bad files were left out, as on_error=skip_file says: penstock jobs errors {job.id} shows why"
        warnings.append(JobWarning(code="files_skipped", message=text, count=skipped_files))
    return warnings


class _Origins:
    """The sizes of rejected rows in bytes, and their primary keys, if they have one, from the column ``key``."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._rows: ColumnarRows | None = None
        self._sizes: Sequence[int] = ()
        self._keys: Sequence[str | None] = ()

    def size_and_key(self, origin: Origin) -> tuple[int, str | None]:
        if origin.rows is None:
            return len(origin.text or ""), _key_of(origin.text, self._key)
        if origin.rows is not self._rows:
            self._rows, self._sizes = origin.rows, origin.rows.sizes()
            texts = [None] * len(self._sizes) if self._key is None else origin.rows.column_texts(self._key)
            self._keys = [_key_of_value(text) for text in texts]
        return self._sizes[origin.place], self._keys[origin.place]


def _key_of(source: str | None, column: str | None) -> str | None:
    """The primary key in a row's text, if that is a JSON object."""
    if source is None or column is None or not source.startswith("{"):
        return None
    try:
        value = JsonParser().parse(source.encode())
    except DataError:
        return None
    key = value.get(column) if is_json_object(value) else None
    return None if key is None else (key if isinstance(key, str) else text_of(key))[:_MAX_KEY]


def _key_of_value(text: str | None) -> str | None:
    """The primary key of its JSON text."""
    key = orjson.loads(text) if text is not None and text.startswith('"') else text
    return None if key is None else str(key)[:_MAX_KEY]


def encode(rejects: Sequence[StoredReject]) -> bytes:
    batches: dict[int, tuple[int, ColumnarRows, int]] = {}  # by identity: number, rows, how many of them are kept
    for reject in rejects:
        if (rows := reject.origin.rows) is not None:
            number, _, kept = batches.get(id(rows), (len(batches), rows, 0))
            batches[id(rows)] = (number, rows, max(kept, reject.origin.place + 1))
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
    written: set[int] = set()
    for reject in rejects:
        origin = reject.origin
        values: dict[str, Any] = {
            "file": reject.file,
            "range": reject.range,
            "row": reject.row,
            "offset": origin.offset,
            "key": reject.key,
            "reasons": orjson.dumps([reason.to_json() for reason in reject.reasons]).decode(),
            "source": origin.text,
        }
        if origin.rows is not None:
            number, rows, kept = batches[id(origin.rows)]
            values |= {"batch": number, "place": origin.place}
            if number not in written:
                values["batch_content"] = rows.to_bytes(kept)
                written.add(number)
        for name, column in columns.items():
            column.append(values.get(name))
    sink = io.BytesIO()
    # No two rows are the same text.
    pq.write_table(pa.table(columns, schema=_SCHEMA), sink, compression="zstd", use_dictionary=_REPEATED)  # type: ignore[arg-type]
    return sink.getvalue()


def decode(content: bytes) -> Iterator[StoredReject]:
    batches: dict[int, ColumnarRows] = {}
    for row in pq.read_table(pa.BufferReader(content)).to_pylist():
        number = row["batch"]
        if row["batch_content"] is not None:
            batches[number] = ColumnarRows.from_bytes(row["batch_content"])
        origin = Origin(row["source"], row["offset"], None if number is None else batches[number], row["place"] or 0)
        yield StoredReject(
            file=row["file"],
            range=row["range"],
            row=row["row"],
            key=row["key"],
            reasons=[Reason(**reason) for reason in orjson.loads(row["reasons"])],
            origin=origin,
        )
