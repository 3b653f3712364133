"""Conform a reader's batches to a collection, leaving out the rows that break a rule where the job skips those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.domain.schema import CollectionSchema
from penstock.errors import DataError
from penstock.imports.column_mapping import ColumnMapping
from penstock.imports.mapped_batches import MappedBatches
from penstock.imports.partition_columns import add_dynamic_values
from penstock.readers.base import Origin, RejectedRow, RowBatch
from penstock.readers.origins import origins_of
from penstock.rules.bad_rows import BadRows, Rows, make_good_rows, take_rows
from penstock.validation import Conformer

_MAX_ATTEMPTS = 16
"""Rounds of leaving bad rows out of a batch: more than the rules of any type."""


@dataclass(frozen=True, slots=True)
class ConformedBatch:
    """Rows in canonical form, the rejected rows among them, and the bytes of the file range read so far."""

    batch: pa.RecordBatch
    rejects: Sequence[RejectedRow]
    bytes_read: int

    @property
    def row_count(self) -> int:
        """Rows of the file that it stands for."""
        return self.batch.num_rows + len(self.rejects)


@dataclass(slots=True)
class BatchConformer:
    """Steps of a batch of one file range from its reader to the engine.

    ``schema`` is the collection's with the values of the file's partition columns, ``values``. ``only`` are the
    numbers of the rows to keep, None for all. ``suspects`` are the fields that had bad rows in the batch before.
    """

    schema: CollectionSchema
    values: Mapping[str, Any]
    mapping: ColumnMapping
    mapped: MappedBatches
    conformer: Conformer
    skips_bad_rows: bool
    only: Sequence[int] | None = None
    suspects: frozenset[str] = frozenset()

    def batches(self, batches: Iterator[RowBatch]) -> Iterator[ConformedBatch]:
        """Yield the batches of a reader in canonical form.

        Raises:
            DataError: the first row that breaks a rule; where bad rows are skipped, the file as a whole breaks it.
        """
        while (batch := self.mapped.read(batches)) is not None:
            if self.only is not None:
                batch = _only(batch, self.only)
            yield self._without_bad_rows(batch) if self.skips_bad_rows else self._conform(batch)

    def _conform(self, batch: RowBatch) -> ConformedBatch:
        with_dynamic = self._with_dynamic_values(self.mapped.convert(batch))
        return ConformedBatch(self._canonical(with_dynamic), batch.rejects, batch.bytes_read)

    def _with_dynamic_values(self, batch: RowBatch) -> RowBatch:
        with_dynamic = add_dynamic_values(batch.batch, self.schema, self.values)
        return replace(batch, batch=with_dynamic, is_checked=batch.is_checked and with_dynamic is batch.batch)

    def _canonical(self, batch: RowBatch) -> pa.RecordBatch:
        """Raises DataError, which names the column of a mapped field."""
        try:
            return self.conformer.conform(batch)
        except DataError as error:
            raise self.mapping.name_column(error) from error

    def _without_bad_rows(self, batch: RowBatch) -> ConformedBatch:
        if not batch.batch.num_rows:
            return ConformedBatch(self.conformer.conform(batch), batch.rejects, batch.bytes_read)
        original, bad = batch, BadRows()
        mapped, kept = make_good_rows(lambda rows: self._mapped(original, rows), batch.batch.num_rows, bad)
        found = _by_number(original, bad)
        batch = replace(mapped, first_row=batch.first_row, rows=batch.row_numbers[kept], is_checked=batch.is_checked)
        batch = self._with_dynamic_values(batch)
        # A field with bad rows has them in most batches: they are looked for first then.
        suspects: frozenset[str] | None = self.suspects
        self.suspects = frozenset()
        for _ in range(_MAX_ATTEMPTS):
            if suspects is not None and not suspects:
                try:
                    with self.conformer.undone_on_error():
                        rows = self._canonical(batch)
                    break
                except DataError as error:
                    if error.row is None or error.is_of_column:
                        raise
                suspects = None
            bad = self._bad_rows(batch, suspects)
            suspects = frozenset()
            self.suspects |= _fields_of(bad)
            found.update(_by_number(batch, bad))
            if bad:
                kept = bad.kept(batch.batch.num_rows)
                batch = replace(batch, batch=take_rows(batch.batch, kept), rows=batch.row_numbers[kept])
        else:
            rows = self._canonical(batch)
        return ConformedBatch(rows, _rejects(original, found), batch.bytes_read)

    def _mapped(self, batch: RowBatch, rows: Rows) -> RowBatch:
        with self.mapped.undone_on_error():
            return self.mapped.convert(replace(batch, batch=take_rows(batch.batch, rows), first_row=0, rows=None))

    def _bad_rows(self, batch: RowBatch, fields: frozenset[str] | None) -> BadRows:
        try:
            bad = self.conformer.bad_rows(batch, fields)
        except DataError as error:
            raise self.mapping.name_column(error) from error
        named = BadRows()
        for row in bad.rows.tolist():
            for reason in bad.errors(row):
                named.add(row, self.mapping.name_column(reason))
        return named


def _only(batch: RowBatch, rows: Sequence[int]) -> RowBatch:
    """The rows of a batch that have these numbers."""
    numbers = batch.row_numbers
    kept = np.flatnonzero(np.isin(numbers, rows))
    wanted = set(rows)
    return replace(
        batch,
        batch=take_rows(batch.batch, kept),
        rows=numbers[kept],
        rejects=[reject for reject in batch.rejects if reject.row in wanted],
    )


def _fields_of(bad: BadRows) -> frozenset[str]:
    """The fields with errors; the field of structs for one of their parts, ``structs[part]``."""
    errors = (error for row in bad.rows.tolist() for error in bad.errors(row))
    return frozenset((error.field or "").partition("[")[0] for error in errors)


def _by_number(batch: RowBatch, bad: BadRows) -> dict[int, list[DataError]]:
    """The errors of bad rows by their numbers in the file range."""
    numbers = batch.row_numbers
    return {
        number: [error.at(row=number) for error in bad.errors(place)]
        for place in bad.rows.tolist()
        for number in (int(numbers[place]),)
    }


def _rejects(batch: RowBatch, found: Mapping[int, Sequence[DataError]]) -> Sequence[RejectedRow]:
    """The rejects of a reader's batch, with those that were found in it."""
    if not found:
        return batch.rejects
    rows = sorted(found)
    if batch.origin is not None:
        origins: Sequence[Origin] = [batch.origin(row) for row in rows]
    else:
        origins = origins_of(batch.batch, np.searchsorted(batch.row_numbers, rows))
    rejects = [RejectedRow(row, found[row], origin) for row, origin in zip(rows, origins, strict=True)]
    return sorted([*batch.rejects, *rejects], key=lambda reject: reject.row)
