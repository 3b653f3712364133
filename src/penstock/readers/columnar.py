"""What readers of columnar formats share: the columns to read, the cut by chunks, and batches of bounded size.

Columns that are no field of the collection become dynamic values where it has a dynamic field (in Milvus only a
column ``$meta`` does); where it has none, or by the option ``unknown_columns``, they are not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Protocol

import pyarrow as pa

from penstock.domain.jobs import FileRange, JobWarning
from penstock.domain.schema import META_FIELD, Field
from penstock.errors import DataError, PenstockError, shorten
from penstock.readers.base import ReadRequest, RejectedRow, RowBatch, Sample, SampleRequest
from penstock.readers.dynamic_columns import DynamicColumns
from penstock.readers.origins import rejected_rows
from penstock.readers.shared_values import decoded_bytes, takeable, with_takeable_dictionaries
from penstock.readers.unknown_columns import UnknownColumns, check_missing, listed, unknown_column
from penstock.rules.bad_rows import BadRows, Rows, make_good_rows, take_rows
from penstock.sources.errors import is_of_disk

MAX_NAMED, MAX_NAME = 100, 200
"""Columns that warnings name one by one, and characters per name: a file may have a million, of any length."""
VECTOR = "vector"
"""The field that vectors without a name belong to, among several."""
UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
"""Columns that pandas writes for an unnamed index; its own reader turns them back into the index."""
MAX_BATCH_ROWS = 1 << 16
REWRITE = "Write the file again"


@dataclass(frozen=True, slots=True)
class Columns:
    """Column names: read as fields, read as dynamic values, dropped, and all of the file."""

    fields: list[str]
    dynamic: list[str]
    dropped: list[str]
    names: list[str]

    @property
    def selected(self) -> list[str]:
        return [*self.fields, *self.dynamic]


def select_columns(names: Sequence[str], request: ReadRequest) -> Columns:
    """Select the columns to read. Raises DataError for an unknown column if the request refuses those."""
    schema = request.schema
    field_names = {*schema.names, META_FIELD} if schema.dynamic else set(schema.names)
    known = field_names | request.excluded_columns
    unknown = [name for name in names if name not in known]
    if unknown and request.unknown_columns is UnknownColumns.ERROR:
        raise unknown_column(unknown[0], schema).at(file=request.sources[0].name)
    keep_unknown = schema.dynamic and request.unknown_columns is UnknownColumns.DYNAMIC
    dynamic = [name for name in unknown if keep_unknown and not UNNAMED_INDEX.fullmatch(name)]
    return Columns(
        fields=[name for name in names if name in field_names],
        dynamic=dynamic,
        dropped=[name for name in unknown if not keep_unknown or UNNAMED_INDEX.fullmatch(name)],
        names=list(names),
    )


def check_names(names: Sequence[str], file: str) -> None:
    """Raise DataError for a name that two columns have."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(
                f"there is multi field with name: {name}",
                file=file,
                field=name,
                remedy="Give each column a name of its own",
            )
        seen.add(name)


def check_fields(
    columns: Columns,
    request: ReadRequest,
    hint: Callable[[str], str] = lambda _: "",
    fits: Callable[[str, Field], bool] = lambda name, field: True,
) -> None:
    """Raise DataError where no column is a field, or a required field has no column.

    ``hint`` returns what to add to the remedy for a missing field; ``fits`` whether a column may hold a field.
    """
    schema, source = request.schema, request.sources[0].name
    if not columns.fields:
        raise DataError(
            "no column of the file is a field of the collection",
            file=source,
            remedy=f"Name the columns as the fields: {listed(schema.names)}. The file's columns: "
            f"{listed(columns.names)}",
        )
    try:
        check_missing(schema, columns.names, request, fits)
    except DataError as error:
        raise error.at(file=source, remedy=f"{error.remedy}{hint(error.field or '')}") from None


def vector_name(request: ReadRequest) -> str:
    """The name of the vectors of a file without names: that of their field, ``vector`` where there is no schema yet.

    Raises as :func:`vector_field`.
    """
    return vector_field(request).name if request.schema.fields else VECTOR


def vector_field(request: ReadRequest) -> Field:
    """The field that the vectors of a file without names belong to.

    Raises:
        DataError: the collection has no dense vector field, or several of which none is named ``vector``.
    """
    vectors = [field for field in request.schema.fields if field.type.is_dense_vector]
    named = [field for field in vectors if field.name == VECTOR]
    candidates = named or vectors
    if len(candidates) != 1:
        names = ", ".join(field.name for field in vectors) or "none"
        raise DataError(
            "it isn't clear which field the vectors of the file belong to",
            file=request.sources[0].name,
            remedy=f"The collection's dense vector fields: {names}. Import into a collection with one, or name one "
            f"{VECTOR!r}",
        )
    return candidates[0]


def warn_of_dropped(request: ReadRequest, columns: Columns, rows: int) -> None:
    """Add warnings about the columns that are not read, unless the range has no rows."""
    unknown = columns.dropped
    if not rows:
        return
    texts = [f"column {shorten(name, MAX_NAME)!r} {_why_dropped(name, request)}" for name in unknown[:MAX_NAMED]]
    if len(unknown) > MAX_NAMED:
        texts.append(
            f"{len(unknown) - MAX_NAMED:,} further columns are no fields of the collection and were left out"
        )
    request.warnings.extend(JobWarning(code="column_dropped", message=text, count=rows) for text in texts)


def _why_dropped(name: str, request: ReadRequest) -> str:
    if UNNAMED_INDEX.fullmatch(name):
        return "is the index of a pandas frame, which has no name, and was left out; to_parquet(index=False) omits it"
    text = "is not a field of the collection and was left out"
    return f"{text}, as unknown_columns=drop says" if request.schema.dynamic else text


def merge_dynamic(
    dynamic: DynamicColumns,
    batch: pa.RecordBatch,
    request: ReadRequest,
    first_row: int,
    file_of: Mapping[str | None, str] | None = None,
) -> Iterator[RowBatch]:
    """Merge the unknown columns of a batch whose first row in the range is ``first_row``; ``bytes_read`` is 0.

    ``file_of`` names the file of each column, where it isn't the request's first one.

    Raises:
        DataError: with the file and the row in the range; of a request that skips bad rows, a whole column is bad.
    """
    try:
        if request.skips_bad_rows:
            yield from _good_rows(dynamic, batch, first_row)
            return
        for output in dynamic.batches(batch):
            yield RowBatch(batch=output, first_row=first_row, bytes_read=0)
            first_row += output.num_rows
    except DataError as error:
        name = request.sources[0].name if file_of is None else file_of.get(error.field)
        raise error.at(file=name, row=first_row + (error.row or 0)) from None


def _good_rows(dynamic: DynamicColumns, batch: pa.RecordBatch, first_row: int) -> Iterator[RowBatch]:
    bad = BadRows()
    with dynamic.counted_once() as reset:

        def merged(rows: Rows) -> list[pa.RecordBatch]:
            reset()
            return list(dynamic.batches(take_rows(batch, rows)))

        outputs, kept = make_good_rows(merged, batch.num_rows, bad)
    rejects: Sequence[RejectedRow] = rejected_rows(bad, first_row, batch)
    if not rejects:
        for output in outputs:
            yield RowBatch(batch=output, first_row=first_row, bytes_read=0)
            first_row += output.num_rows
        return
    if not outputs:
        yield RowBatch(batch=batch.slice(0, 0), first_row=first_row, bytes_read=0, rows=kept, rejects=rejects)
    start = 0
    for output in outputs:
        rows = first_row + kept[start : start + output.num_rows]
        yield RowBatch(batch=output, first_row=int(rows[0]), bytes_read=0, rows=rows, rejects=rejects)
        start += output.num_rows
        rejects = ()


def cut_batch(batch: pa.RecordBatch, limit: int) -> Iterator[pa.RecordBatch]:
    """Halve a batch until each slice decodes to at most ``limit`` bytes (or has one row); rows of it can be taken."""
    return map(takeable, _halved(with_takeable_dictionaries(batch), limit))


def _halved(batch: pa.RecordBatch, limit: int) -> Iterator[pa.RecordBatch]:
    if batch.num_rows < 2 or decoded_bytes(batch) <= limit:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _halved(batch.slice(0, half), limit)
    yield from _halved(batch.slice(half), limit)


def pack(sizes: Sequence[int], split_bytes: int) -> Iterator[tuple[int, int]]:
    """Pack chunks of these decoded sizes into ranges of about ``split_bytes``; no chunks make one empty range."""
    start = size = 0
    for number, chunk in enumerate(sizes):
        if size and size + chunk > split_bytes:
            yield start, number
            start, size = number, 0
        size += chunk
    yield start, len(sizes)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a file that are read together: their bytes in the file, those once decoded (an estimate), and the most
    rows that they may be."""

    size: int
    decoded_size: int
    max_rows: int


def shares(size: int, weights: Sequence[int]) -> list[int]:
    """Divide the bytes of a file among its parts by their weights; together they are all bytes."""
    ends = list(accumulate(weights, initial=0))
    total = max(1, ends[-1])
    return [size * end // total - size * start // total for start, end in pairwise(ends)]


class ColumnarFile(Protocol):
    """An open file of a columnar format."""

    @property
    def names(self) -> Sequence[str]:
        """The columns, as they are named in the file."""
        ...

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The chunks of rows, in order; a file without rows may have none."""
        ...

    @property
    def notes(self) -> Sequence[JobWarning]:
        """What the user should know of the file as a whole."""
        ...

    def batches(self, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read these columns of chunk ``number``, in the order of the rows.

        Raises:
            DataError: the file is damaged.
        """
        ...


@dataclass(frozen=True, slots=True)
class ColumnarReader:
    """Reader of a format whose files are sequences of chunks. A range is ``{"chunks": [start, stop]}``.

    ``open_file`` opens the file of a request; it raises DataError where that is not of the format.
    """

    open_file: Callable[[ReadRequest], AbstractContextManager[ColumnarFile]]

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[FileRange]:
        with self.open_file(request) as file:
            check_names(file.names, request.sources[0].name)
            columns = select_columns(file.names, request)
            chunks = file.chunks
            request.warnings.extend(file.notes)
            if chunks:
                check_fields(columns, request)
        ranges = []
        for start, stop in pack([chunk.decoded_size for chunk in chunks], split_bytes):
            packed = chunks[start:stop]
            ranges.append(
                FileRange(
                    spec={"chunks": [start, stop]},
                    size=sum(chunk.size for chunk in packed),
                    max_rows=sum(chunk.max_rows for chunk in packed),
                    decoded_size=sum(chunk.decoded_size for chunk in packed),
                )
            )
        return ranges

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        start, stop = spec["chunks"]
        with self.open_file(request) as file:
            columns = select_columns(file.names, request)
            dynamic = DynamicColumns(request.schema, request.batch_bytes)
            row = done = 0
            for number, chunk in enumerate(file.chunks[start:stop], start):
                first, decoded = row, 0
                for batch in _batches(file, number, columns.selected, request, first):
                    decoded += batch.nbytes
                    read = done + min(chunk.size, chunk.size * decoded // max(1, chunk.decoded_size))
                    _check_count(row + batch.num_rows - first, chunk, request)
                    for output in merge_dynamic(dynamic, batch, request, row):
                        yield replace(output, bytes_read=read)
                    row += batch.num_rows
                done += chunk.size
            warn_of_dropped(request, columns, row)
            request.warnings.extend(dynamic.warnings())

    def sample(self, request: SampleRequest) -> Sample:
        read = request.read_request()
        with self.open_file(read) as file:
            check_names(file.names, read.sources[0].name)
            names = file.names[: request.max_columns]
            batches: list[pa.RecordBatch] = []
            rows = size = 0
            is_complete = True
            for number in range(len(file.chunks)):
                for batch in _batches(file, number, names, read, rows):
                    batches.append(batch)
                    rows += batch.num_rows
                    size += decoded_bytes(batch)
                    if rows > request.max_rows or size > request.max_bytes:
                        is_complete = False
                        break
                if not is_complete:
                    break
            table = pa.Table.from_batches(batches) if batches else pa.table({name: pa.nulls(0) for name in names})
            table = table.slice(0, request.max_rows)
            return Sample(
                columns=dict(zip(names, table.columns, strict=True)),
                rows=table.num_rows,
                arrow={name: table.schema.field(name) for name in names},
                is_complete=is_complete,
                has_all_columns=len(names) == len(file.names),
            )


def _batches(
    file: ColumnarFile, number: int, columns: Sequence[str], request: ReadRequest, first_row: int
) -> Iterator[pa.RecordBatch]:
    """Read a chunk in batches that keep the byte budget. Raises DataError; one without a row gets that reached."""
    row = first_row
    try:
        for batch in file.batches(number, columns):
            if batch.num_rows:
                yield from cut_batch(batch.select(list(columns)), request.batch_bytes)
            row += batch.num_rows
    except DataError as error:
        raise error.at(
            file=error.file or request.sources[0].name, row=row if error.row is None else row + error.row
        ) from None


def _check_count(rows: int, chunk: Chunk, request: ReadRequest) -> None:
    """Raise for more rows than the plan reserved ids for."""
    if rows > chunk.max_rows:
        raise DataError(
            f"the file holds more than {chunk.max_rows:,} rows where its size allows for no more",
            file=request.sources[0].name,
            remedy=f"{REWRITE} without dictionaries and compression",
        )


@contextmanager
def content_errors(title: str, name: str, *kinds: type[Exception]) -> Iterator[None]:
    """Translate the errors that a library raises for the content of a file of the format ``title``.

    These are of ``kinds``, or an OSError that is not of the disk.
    """
    translated: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except (PenstockError, MemoryError):
        raise
    except translated as error:
        if is_of_disk(error):
            raise
        raise broken(title, error, name) from error


def broken(title: str, error: Exception, name: str) -> DataError:
    """The error for a file of the format ``title`` that its library can't read."""
    text = " ".join(str(error).split())
    return DataError(
        f"the {title} file can't be read: {text[:300] or type(error).__name__}",
        file=name,
        remedy=f"{REWRITE}, or copy it again if it was damaged on the way",
    )
