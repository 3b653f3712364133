"""Read the rows of a file range and check them all: the good rows, and the errors of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.domain.jobs import FileRange, JobWarning
from penstock.engines.base import Table
from penstock.errors import DataError
from penstock.imports import tasks
from penstock.imports.mapped_batches import MappedBatches
from penstock.imports.mapping_options import column_mapping_of
from penstock.imports.partition_columns import add_dynamic_values, with_values
from penstock.readers.decompression_bombs import check_decompression_bomb
from penstock.readers.formats import format_named
from penstock.readers.unknown_columns import UnknownColumns
from penstock.sources.base import Location
from penstock.sources.opening import unchanged
from penstock.validation import Conformer


class ReadTask(Protocol):
    """What reading a file range takes."""

    @property
    def table(self) -> Table: ...
    @property
    def locations(self) -> Mapping[int, Sequence[Location]]: ...
    @property
    def options(self) -> Mapping[str, str]: ...
    @property
    def batch_bytes(self) -> int: ...
    @property
    def unknown_columns(self) -> UnknownColumns: ...
    @property
    def partitions(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRows:
    """A batch of rows: the good ones in canonical form with their numbers in the file range, and the errors of the
    ``bad_rows`` others, whose rows count in the file range too."""

    batch: pa.RecordBatch
    rows: npt.NDArray[np.int64]
    errors: Sequence[DataError]
    bad_rows: int
    bytes_read: int


def checked_rows(task: ReadTask, file_range: FileRange, warnings: list[list[JobWarning]]) -> Iterator[CheckedRows]:
    """Yield the rows of a file range, checked.

    Raises:
        DataError: the file as a whole is wrong; it names the file.
        SourceError: the file can't be read.
    """
    locations, columns = task.locations[file_range.file], file_range.columns
    mapping = column_mapping_of(task.options, task.table.schema)
    values = mapping.by_field(columns)
    schema = with_values(task.table.schema, values)
    request = tasks._read_request(task, mapping, schema, locations, columns)
    mapped = MappedBatches(mapping, schema)
    conformer = Conformer(schema, task.partitions[:1], 0 if schema.auto_id else None)
    decoded = 0
    try:
        with unchanged(request.sources):
            for batch in mapped.convert(format_named(file_range.format).reader.read(request, file_range.spec)):
                with_dynamic = add_dynamic_values(batch.batch, schema, values)
                is_checked = batch.is_checked and with_dynamic is batch.batch
                rows = tasks._conform(conformer, replace(batch, batch=with_dynamic, is_checked=is_checked), mapping)
                decoded += rows.nbytes
                check_decompression_bomb(decoded, file_range.size)
                numbers = np.arange(batch.first_row, batch.first_row + rows.num_rows)
                yield CheckedRows(batch=rows, rows=numbers, errors=(), bad_rows=0, bytes_read=batch.bytes_read)
    except DataError as error:
        raise tasks.explained(error, locations, schema) from error
    finally:
        warnings += [request.warnings, mapped.warnings, conformer.warnings]
