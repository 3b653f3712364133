"""What every reader of import files offers.

A reader turns the bytes of one split of one file (or NumPy set) into Arrow record batches under a byte budget.
Columns are named as in the file. Columnar formats deliver the Arrow types they find; row formats, which have no
types of their own, parse straight into the canonical types of the collection's schema (see
``penstock.domain.arrow_schema``). All put columns and keys that the schema doesn't know into a ``$meta`` column of
JSON text where the collection is dynamic, unless the request says otherwise.

Rows are counted from 0 in the split; ``DataError`` carries that row, and the executor adds the rows before the split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import CollectionSchema
from penstock.readers.unknown_columns import UnknownColumns
from penstock.sources.base import Source

__all__ = ["BoundaryScan", "CsvOptions", "ReadRequest", "Reader", "RowBatch", "SplitPlan", "plan_at_once"]


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """CSV options of the create call: one separator character, and the cell text that means null."""

    separator: str = ","
    null_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """One split as the reader plans it.

    ``spec`` is JSON that :meth:`Reader.read` understands; ``size`` is bytes of input, for progress and balance;
    ``max_rows`` is an upper bound on rows (exact where the format tells), for reserving ids. ``decoded_size`` is
    about what it takes as Arrow, where that differs from ``size``: small files are joined by it.
    """

    spec: Mapping[str, Any]
    size: int
    max_rows: int
    decoded_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """A record batch, the row in the split of its first row, and how many bytes of the split are read by now."""

    batch: pa.RecordBatch
    first_row: int
    bytes_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """What to read: the sources of one file (several for a NumPy set), for which schema, in batches of what size.

    ``batch_bytes`` bounds the Arrow bytes of one batch (a single row may exceed it). ``unknown_columns`` is what
    becomes of columns that are no field. ``warnings`` collects what the reader dropped or rounded.
    """

    sources: Sequence[Source]
    schema: CollectionSchema
    batch_bytes: int
    csv: CsvOptions = CsvOptions()
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    warnings: list[JobWarning] = field(default_factory=list)


class BoundaryScan(Protocol):
    """A file that must be looked through before it can be cut: its parts each by itself, then all findings in order.

    It is picklable, as findings are, so that parts can be looked through side by side.
    """

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """The byte ranges of the parts, in order."""
        ...

    def scan(self, source: Source, span: tuple[int, int], check: Callable[[int], None]) -> Any:
        """What is to be known of one part: a small value. Reads it once, in small blocks.

        ``check`` is called before each block with the bytes looked through so far, and may raise to stop.

        Raises:
            SourceError: the file can't be had.
        """
        ...

    def cut(self, findings: Sequence[Any]) -> Sequence[SplitPlan]:
        """The splits, given the findings of all parts in order."""
        ...


class Reader(Protocol):
    """One file format."""

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[SplitPlan] | BoundaryScan:
        """Cut a file into splits of about ``split_bytes``; reads headers and footers only.

        Where only a look at every byte tells the boundaries of records, it gives a :class:`BoundaryScan` instead.

        Raises:
            DataError: the file is empty, truncated or not of this format.
            SourceError: it can't be had.
        """
        ...

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        """The rows of one split, in order.

        Raises:
            DataError: with row, field, value and byte offset as far as the format knows them.
            SourceError: the file can't be had.
        """
        ...


def plan_at_once(reader: Reader, request: ReadRequest, split_bytes: int) -> Sequence[SplitPlan]:
    """The splits of a file, looked through here and now where that is needed. Raises as :meth:`Reader.plan`."""
    plan = reader.plan(request, split_bytes)
    if isinstance(plan, Sequence):
        return plan
    return plan.cut([plan.scan(request.sources[0], span, lambda _: None) for span in plan.spans])
