"""The limit of a result's bytes: a read ends as soon as its rows would exceed it, however long their values are."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from penstock.errors import InvalidParameter


@dataclass(slots=True)
class ResultLimit:
    """Counts the rows of a result that is read part by part, in canonical types; ``max_bytes`` None is no limit."""

    max_bytes: int | None
    rows: int = 0
    size: int = 0

    def add(self, rows: pa.Table) -> None:
        """Count further rows.

        Raises:
            InvalidParameter: all so far take more than the limit.
        """
        self.rows += len(rows)
        self.size += rows.nbytes
        if self.max_bytes is not None and self.size > self.max_bytes:
            raise result_too_large(self.rows, self.size, self.max_bytes)


def result_too_large(rows: int, size: int, max_bytes: int) -> InvalidParameter:
    """The error for rows that take more bytes than a result may have."""
    return InvalidParameter(
        f"{rows} rows would take about {size >> 20} MiB, more than the {max_bytes >> 20} MiB of one result. Use "
        "limit and offset, or fewer outputFields",
        rows=rows,
        size=size,
        max_bytes=max_bytes,
    )
