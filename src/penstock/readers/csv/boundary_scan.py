"""Find exact row boundaries of a CSV file by counting all of its quotes, in parallel over spans.

A line break ends a row if an even number of quotes precedes it. The scan of a span lacks the quotes before it, so it
finds the first end of a row for both cases; the sum of all counts then selects one. Where quotes are misplaced, the
range with the first such place fails there, as the uncut file would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from penstock.domain.jobs import FileRange
from penstock.readers.byte_ranges import blocks, even_spans
from penstock.readers.csv.records import row_ends
from penstock.sources.base import Source

_QUOTE = 0x22
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _SpanScan:
    """Findings of one span. ``ends``: offset behind the first row's end if it begins outside quotes, and inside."""

    ends: tuple[int | None, int | None]
    odd_quotes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvBoundaryScan:
    """Scan for row ends from ``start``, where the first row begins, to ``size``.

    ``count`` is the number of spans.
    """

    start: int
    size: int
    count: int
    min_row_bytes: int

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        return even_spans(self.start, self.size, self.count)

    def scan(self, source: Source, span: tuple[int, int], check: Callable[[int], None]) -> _SpanScan:
        ends: list[int | None] = [None, None]
        base, quoted = span[0], False
        for block in blocks(source, *span, size=_BLOCK_BYTES):
            check(base - span[0])
            if None in ends:
                for case, position in zip((quoted, not quoted), row_ends(block, quoted), strict=True):
                    if ends[case] is None and position is not None:
                        ends[case] = base + position
            quoted ^= int(np.count_nonzero(np.frombuffer(block, np.uint8) == _QUOTE)) % 2 == 1
            base += len(block)
        return _SpanScan((ends[0], ends[1]), quoted)

    def cut(self, findings: Sequence[_SpanScan]) -> Sequence[FileRange]:
        bounds = [self.start]
        quoted = False
        for number, finding in enumerate(findings):
            end = finding.ends[quoted] if number else None
            if end is not None and end < self.size:
                bounds.append(end)
            quoted ^= finding.odd_quotes
        return [
            FileRange(
                spec={"start": start, "end": end},
                # The header belongs to the first range.
                size=end - (start if number else 0),
                max_rows=(end - start) // self.min_row_bytes + 1,
            )
            for number, (start, end) in enumerate(pairwise([*bounds, self.size]))
        ]
