"""Protocol of the readers of import files.

A reader turns the bytes of one split of one file (or NumPy set) into Arrow record batches under a byte budget.
Columns are named as in the file. Columnar formats deliver the stored Arrow types; row formats, which have no
types of their own, parse straight into the canonical types of the collection's schema (see
``penstock.domain.arrow_schema``). All put columns and keys that are not in the schema into a ``$meta`` column of
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
    """A planned split.

    ``spec`` is JSON that :meth:`Reader.read` understands; ``size`` is bytes of input, for progress and balance;
    ``max_rows`` is an upper bound on rows (exact where the format records it), for reserving ids. ``decoded_size``
    estimates its Arrow bytes, where that differs from ``size``: split packing uses it.
    """

    spec: Mapping[str, Any]
    size: int
    max_rows: int
    decoded_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """A record batch, the number of its first row in the split, and the bytes of the split read so far.

    ``is_checked``: all columns of the file's fields, and ``$meta`` of a dynamic collection, are there in canonical
    types, and every value keeps the rules. The row formats' column builders check while they build.
    """

    batch: pa.RecordBatch
    first_row: int
    bytes_read: int
    is_checked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """What to read: the sources of one file (several for a NumPy set), the schema, and the batch size.

    ``batch_bytes`` bounds the Arrow bytes of one batch (a single row may exceed it). ``unknown_columns`` decides
    about columns that are no field. ``warnings`` collects what the reader dropped or rounded.
    """

    sources: Sequence[Source]
    schema: CollectionSchema
    batch_bytes: int
    csv: CsvOptions = CsvOptions()
    unknown_columns: UnknownColumns = UnknownColumns.DYNAMIC
    warnings: list[JobWarning] = field(default_factory=list)


class BoundaryScan(Protocol):
    """Boundary scan: a parallel pass over a file's spans, whose findings in order give the splits.

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

    def cut(self, findings: Sequence[Any]) -> Sequence[SplitPlan]:
        """Return the splits for the findings of all spans, in order."""
        ...


class Reader(Protocol):
    """Reader of one file format."""

    def plan(self, request: ReadRequest, split_bytes: int) -> Sequence[SplitPlan] | BoundaryScan:
        """Cut a file into splits of about ``split_bytes``; reads headers and footers only.

        Returns a :class:`BoundaryScan` instead where record boundaries can be found only by scanning every byte.

        Raises:
            DataError: the file is empty, truncated or not of this format.
            SourceError: it can't be read.
        """
        ...

    def read(self, request: ReadRequest, spec: Mapping[str, Any]) -> Iterator[RowBatch]:
        """Read the rows of one split, in order.

        Raises:
            DataError: with row, field, value and byte offset as far as the format has them.
            SourceError: the file can't be read.
        """
        ...


def plan_at_once(reader: Reader, request: ReadRequest, split_bytes: int) -> Sequence[SplitPlan]:
    """Plan the splits of a file, running any boundary scan in this thread. Raises as :meth:`Reader.plan`."""
    plan = reader.plan(request, split_bytes)
    if isinstance(plan, Sequence):
        return plan
    return plan.cut([plan.scan(request.sources[0], span, lambda _: None) for span in plan.spans])
