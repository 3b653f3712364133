"""Find exact row boundaries of a JSON text by scanning all of it, in parallel over spans.

Whether a bracket counts depends on the quotes before it, and whether it ends a row on the brackets before it. The
scan of a span lacks the text before it, so it covers both cases, in a string and not, and every depth at which the
span may begin. One pass over these findings in order then selects the case. The rules are those of
:class:`~penstock.readers.json.record_scanner.RecordScanner`, in texts that are not JSON too: a cut file fails as the
uncut one would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from penstock.domain.jobs import FileRange
from penstock.readers.byte_ranges import blocks, even_spans
from penstock.readers.json.structural_index import StructuralIndexer
from penstock.sources.base import Source

_BLOCK_BYTES = 1 << 20
_MAX_DEPTH = 64
"""A span that begins deeper inside a row than this is not cut."""


@dataclass(frozen=True, slots=True)
class _ScanState:
    """Findings of a span for one case: it begins inside a string, or outside.

    ``delta`` is the depth at its end and ``lowest`` the minimum depth, both relative to its beginning. ``ends[n]`` is
    the offset behind the first bracket that closes to ``n`` below the beginning's depth: a row's end, for a span that
    begins ``n`` brackets deep in it. For 0 that is the first row that begins and ends in the span.
    """

    delta: int
    lowest: int
    ends: Sequence[int | None]

    def row_end(self, depth: int) -> int | None:
        """Offset behind the first row that ends in the span, unless the list of rows ends before."""
        end = self.ends[depth] if 0 <= depth < len(self.ends) else None
        below = self.ends[depth + 1] if depth + 1 < len(self.ends) else None
        return end if end is None or below is None or end < below else None


@dataclass(frozen=True, slots=True)
class _SpanScan:
    """Findings of one span. ``cases``: it begins outside a string, and inside.

    ``quote_first``: a quote follows the backslashes (if any) at the span's beginning. ``all_slashes``: it has only
    backslashes. ``escaping``: it ends in an odd run of backslashes.
    """

    cases: tuple[_ScanState, _ScanState]
    odd_quotes: bool
    quote_first: bool
    all_slashes: bool
    escaping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonBoundaryScan:
    """Scan for row ends from ``start`` to ``size``, where a row may begin at ``start``.

    Ranges are ``{"start", "end"}`` and the items of ``spec``; all but the first begin behind a row's closing
    bracket. ``count`` is the number of spans.
    """

    start: int
    size: int
    count: int
    min_row_bytes: int
    spec: dict[str, bool]

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        return even_spans(self.start, self.size, self.count)

    def scan(self, source: Source, span: tuple[int, int], check: Callable[[int], None]) -> _SpanScan:
        indexer = StructuralIndexer()
        cases = (_ScanStateBuilder(), _ScanStateBuilder())
        base, quotes = span[0], 0
        first = b""
        for block in blocks(source, *span, size=_BLOCK_BYTES):
            check(base - span[0])
            first = first or block.lstrip(b"\\")[:1]
            marks = indexer.feed(block)
            deltas = np.where(marks.opens, 1, -1)
            odd = marks.odd ^ bool(quotes % 2)
            for builder, mask in zip(cases, (~odd, odd), strict=True):
                builder.add(marks.positions[mask] + base, deltas[mask])
            quotes += marks.quotes
            base += len(block)
        return _SpanScan(
            cases=(cases[0].build(), cases[1].build()),
            odd_quotes=quotes % 2 == 1,
            quote_first=first == b'"',
            all_slashes=not first,
            escaping=indexer.escaping,
        )

    def cut(self, findings: Sequence[_SpanScan]) -> Sequence[FileRange]:
        bounds = [0]
        in_string = escaping = ended = False
        depth = 0
        for number, finding in enumerate(findings):
            # The scan assumed no backslash before the span. An odd run of them inverts whether the first quote
            # counts, so all behind it is as if the span had begun in the opposite case.
            if escaping and finding.quote_first:
                in_string = not in_string
            case = finding.cases[in_string]
            end = case.row_end(depth) if number and not ended else None
            if end is not None and end < self.size:
                bounds.append(end)
            ended = ended or depth + case.lowest < 0
            depth += case.delta
            in_string ^= finding.odd_quotes
            escaping = finding.escaping ^ (escaping and finding.all_slashes)
        return [
            FileRange(
                spec={"start": start, "end": end, **self.spec},
                size=end - start,
                max_rows=(end - start) // self.min_row_bytes + 1,
            )
            for start, end in pairwise([*bounds, self.size])
        ]


class _ScanStateBuilder:
    def __init__(self) -> None:
        self._depth = 0
        self._lowest = 0
        self._ends: list[int | None] = [None]

    def add(self, offsets: npt.NDArray[np.int64], deltas: npt.NDArray[np.int64]) -> None:
        if not len(offsets):
            return
        depths = self._depth + np.cumsum(deltas)
        if self._ends[0] is None:
            closes = np.flatnonzero((depths == 0) & (deltas == -1))
            self._ends[0] = int(offsets[closes[0]]) + 1 if len(closes) else None
        lowest = int(depths.min())
        while len(self._ends) <= min(-lowest, _MAX_DEPTH):
            self._ends.append(int(offsets[np.argmax(depths == -len(self._ends))]) + 1)
        self._lowest = min(self._lowest, lowest)
        self._depth = int(depths[-1])

    def build(self) -> _ScanState:
        return _ScanState(self._depth, self._lowest, tuple(self._ends))
