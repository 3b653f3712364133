"""Where a JSON text of many rows may be cut: exactly, by looking through all of it, in parts and side by side.

Whether a bracket counts depends on the quotes before it, and whether it ends a row on the brackets before it. A part
of a file doesn't know what stands before; so each is looked through for both cases, in a string and not, and for
every depth at which it may begin. One pass over these findings in order then tells which case holds. The rules are
those of :class:`~penstock.readers.json.record_scanner.RecordScanner`, in texts that are not JSON too: a cut file
fails as it would in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from penstock.readers.base import SplitPlan
from penstock.readers.byte_ranges import blocks, even_spans
from penstock.readers.json.structural_index import StructuralIndexer
from penstock.sources.base import Source

__all__ = ["JsonBoundaryScan"]

_BLOCK_BYTES = 1 << 20
_MAX_DEPTH = 64
"""A part that begins deeper inside a row than this is not cut."""


@dataclass(frozen=True, slots=True)
class _ScanState:
    """What a part comes to if it begins in a string, or out of one.

    ``delta`` is the depth at its end and ``lowest`` the least one, both relative to its beginning. ``ends[n]`` is the
    offset behind the first bracket that closes to ``n`` below the beginning's depth: a row's end, for a part that
    begins ``n`` brackets deep in it. For 0 that is the first row that begins and ends in the part.
    """

    delta: int
    lowest: int
    ends: Sequence[int | None]

    def row_end(self, depth: int) -> int | None:
        """The offset behind the first row that ends here, unless the list of rows ends before."""
        end = self.ends[depth] if 0 <= depth < len(self.ends) else None
        below = self.ends[depth + 1] if depth + 1 < len(self.ends) else None
        return end if end is None or below is None or end < below else None


@dataclass(frozen=True, slots=True)
class _RangeScan:
    """``ways`` for a beginning out of a string and in one.

    ``quote_first``: a quote follows the backslashes (if any) that the part begins with. ``all_slashes``: there is
    nothing else in it. ``escaping``: it ends in an odd run of backslashes.
    """

    ways: tuple[_ScanState, _ScanState]
    odd_quotes: bool
    quote_first: bool
    all_slashes: bool
    escaping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonBoundaryScan:
    """Looks for the ends of rows from ``start`` to ``size``, where a row may begin at ``start``.

    Splits are ``{"start", "end"}`` and what is in ``spec``; all but the first begin behind a row's closing bracket.
    ``least`` is the fewest bytes that a row takes.
    """

    start: int
    size: int
    parts: int
    least: int
    spec: dict[str, bool]

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        return even_spans(self.start, self.size, self.parts)

    def scan(self, source: Source, span: tuple[int, int], check: Callable[[int], None]) -> _RangeScan:
        finder = StructuralIndexer()
        ways = (_ScanStateBuilder(), _ScanStateBuilder())
        base, quotes = span[0], 0
        first = b""
        for block in blocks(source, *span, size=_BLOCK_BYTES):
            check(base - span[0])
            first = first or block.lstrip(b"\\")[:1]
            marks = finder.feed(block)
            deltas = np.where(marks.opens, 1, -1)
            odd = marks.odd ^ bool(quotes % 2)
            for way, chosen in zip(ways, (~odd, odd), strict=True):
                way.add(marks.positions[chosen] + base, deltas[chosen])
            quotes += marks.quotes
            base += len(block)
        return _RangeScan(
            ways=(ways[0].made(), ways[1].made()),
            odd_quotes=quotes % 2 == 1,
            quote_first=first == b'"',
            all_slashes=not first,
            escaping=finder.escaping,
        )

    def cut(self, findings: Sequence[_RangeScan]) -> Sequence[SplitPlan]:
        bounds = [0]
        in_string = escaping = ended = False
        depth = 0
        for number, finding in enumerate(findings):
            # The first quote was counted as if no backslash stood before the part. If an odd run of them does, it is
            # the other way round with it: all behind it is as if the part had begun in the other case.
            if escaping and finding.quote_first:
                in_string = not in_string
            way = finding.ways[in_string]
            end = way.row_end(depth) if number and not ended else None
            if end is not None and end < self.size:
                bounds.append(end)
            ended = ended or depth + way.lowest < 0
            depth += way.delta
            in_string ^= finding.odd_quotes
            escaping = finding.escaping ^ (escaping and finding.all_slashes)
        return [
            SplitPlan(
                spec={"start": start, "end": end, **self.spec},
                size=end - start,
                max_rows=(end - start) // self.least + 1,
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

    def made(self) -> _ScanState:
        return _ScanState(self._depth, self._lowest, tuple(self._ends))
