"""Protocol of the readers of import files.

A reader turns the bytes of one file range into Arrow record batches under a byte budget.
Columns are named as in the file. Columnar formats deliver the stored Arrow types; row formats, which have no
types of their own, parse straight into the canonical types of the collection's schema (see
``penstock.domain.arrow_schema``). All put columns and keys that are not in the schema into a ``$meta`` column of
JSON text where the collection is dynamic, unless the request says otherwise.

Rows are counted from 0 in the range; ``DataError`` carries that row, and staging adds the rows of the file before it.
A request may ask to leave bad rows out; then a DataError means that the file as a whole can't be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from penstock.domain.import_options import OnError
from penstock.domain.jobs import FileRange, JobWarning
from penstock.domain.schema import CollectionSchema
from penstock.errors import DataError
from penstock.readers.columnar_rows import ColumnarRows
from penstock.readers.unknown_columns import UnknownColumns
from penstock.rules.bad_rows import Rows
from penstock.sources.base import Location, Source

_LEAST_REJECT = 2
"""Bytes of a rejected row of text: a character and a line end, or ``{}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """An input of a job, resolved: the locations of a file (several for a NumPy set) and the name of its format.

    ``columns`` are the values of its partition columns for all of its rows: typed for fields, as JSON for others.
    ``total_rows`` is 0 where the format doesn't record it.
    """

    locations: Sequence[Location]
    format: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    total_rows: int = 0

    @property
    def name(self) -> str:
        """The path as the request gave it; those of a NumPy set joined by blanks."""
        return " ".join(location.name for location in self.locations)

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(location.size for location in self.locations)


@dataclass(frozen=True, slots=True)
class Origin:
    """A row as it is in its file.

    Of a format of text: ``text``, JSON or the record where that is not a JSON object, and ``offset``, its first byte
    in the file (decompressed). Of a columnar format it is row number ``place`` of ``rows``. Neither where it
    isn't kept.
    """

    text: str | None = None
    offset: int | None = None
    rows: ColumnarRows | None = None
    place: int = 0


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that breaks rules, by its number in the file range, with an error per field as far as they are known."""

    row: int
    errors: Sequence[DataError]
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """A record batch, the number of its first row in the file range, and the bytes of the range read so far.

    Of a request that skips bad rows, ``rejects`` are those that were left out, by ascending number; ``rows`` are the
    numbers of the others in the file range, None while they follow each other from ``first_row`` on. ``origin``
    returns a row by its number, while the batch is in use; None: the columns of the batch are the row.

    ``is_checked``: all columns of the file's fields, and ``$meta`` of a dynamic collection, are there in canonical
    types, and every value keeps the rules. The row formats' column builders check while they build.
    """

    batch: pa.RecordBatch
    first_row: int
    bytes_read: int
    is_checked: bool = False
    rows: Rows | None = None
    rejects: Sequence[RejectedRow] = ()
    origin: Callable[[int], Origin] | None = None

    @property
    def row_count(self) -> int:
        """Rows of the file that the batch stands for: its own and the rejected ones."""
        return self.batch.num_rows + len(self.rejects)

    @property
    def row_numbers(self) -> Rows:
        """The number of each row in the file range."""
        return np.arange(self.first_row, self.first_row + self.batch.num_rows) if self.rows is None else self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """What to read: the sources of one file (several for a NumPy set), the schema, and the batch size.

    ``batch_bytes`` bounds the Arrow bytes of one batch (a single row may exceed it). ``options`` are the job's import
    options, of which a reader uses those of its format. ``unknown_columns`` decides about columns that are no field.
    ``warnings`` collects what the reader dropped or rounded.

    Where columns are mapped to fields of other names, ``schema`` names the columns. ``excluded_columns`` are left out
    without a warning, ``required_columns`` must be in a file that lists its columns, also where they may hold null,
    and ``field_names`` are those of the collection, which no key of ``$meta`` may have.
    """

    sources: Sequence[Source]
    schema: CollectionSchema
    batch_bytes: int
    options: Mapping[str, str] = field(default_factory=dict)
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    warnings: list[JobWarning] = field(default_factory=list)
    excluded_columns: frozenset[str] = frozenset()
    required_columns: frozenset[str] = frozenset()
    field_names: Sequence[str] | None = None

    @property
    def skips_bad_rows(self) -> bool:
        """Whether rows that break a rule are left out, as :attr:`RowBatch.rejects`, instead of ending the import."""
        return self.options.get("on_error") == OnError.SKIP_ROW

    def least_row_bytes(self, least: int) -> int:
        """The fewest bytes of a row of text, where rows that break no rule have at least ``least``.

        Rejected rows are counted, too, and keep the ids of their places.
        """
        return min(least, _LEAST_REJECT) if self.skips_bad_rows else least

    @property
    def reserved_keys(self) -> Sequence[str]:
        """Keys that ``$meta`` must not hold."""
        return self.schema.names if self.field_names is None else self.field_names


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """Which rows to sample: the first ``max_rows`` of a file, fewer where they take more than ``max_bytes``.

    ``options`` are the import options, of which a reader uses those of its format. Of a file with more than
    ``max_columns`` columns only these many are sampled.
    """

    sources: Sequence[Source]
    max_rows: int = 1000
    max_bytes: int = 4 << 20
    max_columns: int = 1000
    options: Mapping[str, str] = field(default_factory=dict)

    def read_request(self) -> ReadRequest:
        """The request for readers that keep all columns without a schema."""
        return ReadRequest(
            sources=self.sources,
            schema=CollectionSchema(fields=(), dynamic=True),
            batch_bytes=self.max_bytes,
            options=self.options,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The first rows of an input file, column by column, before any schema.

    A column is Arrow's where the format has types, with its field in ``arrow``; a list of JSON values (None also for
    a missing key) or, with ``null_text``, of the texts of cells elsewhere. ``null_text`` is what a cell without a
    value has as its text. ``is_complete``: the file has no other rows. ``has_all_columns``: and no other columns.
    """

    columns: Mapping[str, Any]
    rows: int
    arrow: Mapping[str, pa.Field[Any]] = field(default_factory=dict)
    null_text: str | None = None
    is_complete: bool = True
    has_all_columns: bool = True


class BoundaryScan(Protocol):
    """Boundary scan: a parallel pass over a file's spans, whose findings in order give the file ranges.

    It is picklable, as findings are, so that spans can be scanned in parallel.
    """

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """The byte ranges to scan, in order."""
        ...

    def scan(self, source: Source, span: tuple[int, int], check: Callable[[int], None]) -> Any:
        """Scan one span, once and in small blocks, and return a small finding.

        ``check`` is called before each block with the bytes scanned so far, and may raise to stop.

        Raises:
            SourceError: the file can't be read.
        """
        ...

    def cut(self, findings: Sequence[Any]) -> Sequence[FileRange]:
        """Return the file ranges for the findings of all spans, in order."""
        ...


class Reader(Protocol):
    """Reader of one file format."""

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange] | BoundaryScan:
        """Cut a file into ranges of about ``split_bytes``; reads headers and footers only.

        Returns a :class:`BoundaryScan` instead where record boundaries can be found only by scanning every byte.

        Raises:
            DataError: the file is empty, truncated or not of this format.
            SourceError: it can't be read.
        """
        ...

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        """Read the rows of the file range with this ``spec``, in order.

        Raises:
            DataError: with row, field, value and byte offset as far as the format has them.
            SourceError: the file can't be read.
        """
        ...

    def sample(self, request: SampleRequest) -> Sample:
        """Read the first rows of a file without a schema, in time and memory independent of its size.

        Raises:
            DataError: the file is empty, truncated or not of this format, or one of these rows is broken.
            SourceError: it can't be read.
        """
        ...


OptionCheck: TypeAlias = Callable[[str], str | None]
"""Check the text of an import option ("" if not given): raise ImportRefused, or return a warning or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """Checks of a format whose files make up an input together (a NumPy set), by their names alone.

    ``check`` raises ImportRefused where one input lacks files that the collection's fields need, ``check_inputs``
    where the files of one set are listed as inputs of their own.
    """

    check: Callable[[Sequence[str], CollectionSchema], None]
    check_inputs: Callable[[Sequence[Sequence[str]], CollectionSchema], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FormatSpec:
    """A file format: all that the import of its files needs to know of it.

    ``name`` is spelled as in Milvus's messages; plans in the catalog contain it. ``extensions`` are in lower case,
    without the dot. ``file_set`` is None where an input is one file. ``counts_rows`` says that the ``max_rows`` of
    its file ranges are exact. ``options`` are the import options that only this format has, with their checks;
    ``penstock.domain.import_options`` has their names for clients, which load no reader.
    """

    name: str
    extensions: Sequence[str]
    reader: Reader
    file_set: FileSet | None = None
    counts_rows: bool = False
    options: Mapping[str, OptionCheck] = field(default_factory=dict)


def no_rows(name: str) -> JobWarning:
    """The warning about an input file without rows."""
    return JobWarning(code="no_rows", message=f"file {name!r} holds no rows")


def plan_at_once(reader: Reader, request: ReadRequest, split_bytes: int) -> Sequence[FileRange]:
    """Cut a file into ranges, running any boundary scan in this thread. Raises as :meth:`Reader.plan`."""
    plan = reader.plan(request, split_bytes)
    if isinstance(plan, Sequence):
        return plan
    return plan.cut([plan.scan(request.sources[0], span, lambda _: None) for span in plan.spans])
