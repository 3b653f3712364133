"""Decide which segments of an index are merged, and when an index is retrained: a log-structured merge by levels.

A vector index begins with a trained segment. Rows that came later are appended as segments of the same partitions,
each of which costs every search some more. Of them

* each one holds at least :data:`LEVEL_FACTOR` times as many rows as all newer ones together, once those that don't
  are merged in the background: a row is rewritten once per level, and there are logarithmically many segments;
* there are at most :data:`MAX_APPENDED`: beyond that, an extension is merged with the newest at once.

An index is retrained, in the background as well, when it has :data:`GROWTH` times the rows of its trained segment,
since its partitions grow with it. In all, a row is in two trainings on average.

One segment may stand before the trained one: that of the rows which were appended while it was being trained, with
the partitions of the one before. It can't be merged with later ones, and goes with the next training. So the trained
segment is the larger one of the first two.

All functions take the rows of the segments, oldest first. Segments that were trained together count as one: those
of a distributed build, which are never merged (:mod:`penstock.engines.lance.index.distributed`).
"""

from __future__ import annotations

from collections.abc import Sequence

LEVEL_FACTOR = 3
MAX_APPENDED = 3
GROWTH = 2

MAX_SEGMENTS = 3 + MAX_APPENDED
"""Of a vector index, while it is being trained by one task: one from the training before, the trained one, what was
appended to it and is merged before the training begins, and what is appended meanwhile."""


def _trained(rows: Sequence[int]) -> int:
    """The place of the trained segment."""
    return 1 if len(rows) > 1 and rows[1] > rows[0] else 0


def appended(rows: Sequence[int]) -> Sequence[int]:
    """The rows of the segments after the trained one."""
    return rows[_trained(rows) + 1 :]


def merged_by_extension(count: int) -> int:
    """How many of ``count`` appended segments, the newest ones, are merged with rows that are added now."""
    return max(0, count + 1 - MAX_APPENDED)


def merged_by_level(rows: Sequence[int]) -> int:
    """How many of the appended segments, the newest ones, are to be merged in the background; 0 for none."""
    for count in range(len(rows), 1, -1):
        oldest, *newer = rows[-count:]
        if oldest < LEVEL_FACTOR * sum(newer):
            return count
    return 0


def is_outgrown(rows: Sequence[int]) -> bool:
    """Whether a vector index is to be retrained."""
    return any(rows) and sum(rows) >= GROWTH * rows[_trained(rows)]
