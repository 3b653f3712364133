"""Plan an export: a snapshot of the table, and the parts that its fragments make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.domain.exports import ExportPart
from penstock.engines.values import SnapshotFragment

_PARTITION_FOLDER = "partition-"


def plan_parts(
    fragments: Sequence[SnapshotFragment], partitions: Mapping[int, str] | None, part_bytes: int
) -> list[ExportPart]:
    """Join neighbouring fragments to parts of at most ``part_bytes`` stored bytes, at least one fragment each.

    Args:
        partitions: the names of the partitions to export, by number: each gets a folder and its own parts. None: all
            rows go to the target itself.
    """
    groups: list[tuple[int | None, str, list[tuple[SnapshotFragment, int]]]]
    if partitions is None:
        groups = [(None, "", [(fragment, fragment.rows) for fragment in fragments])]
    else:
        groups = [
            (
                number,
                f"{_PARTITION_FOLDER}{name}",
                [(fragment, fragment.partitions[number]) for fragment in fragments if number in fragment.partitions],
            )
            for number, name in partitions.items()
        ]
    parts: list[ExportPart] = []
    for number, folder, members in groups:
        for start, end in _runs([_size(fragment, rows) for fragment, rows in members], part_bytes):
            chosen = members[start:end]
            parts.append(
                ExportPart(
                    ordinal=len(parts),
                    fragments=tuple(fragment.id for fragment, _ in chosen),
                    rows=sum(rows for _, rows in chosen),
                    size=sum(_size(fragment, rows) for fragment, rows in chosen),
                    partition=number,
                    folder=folder,
                )
            )
    return parts


def _size(fragment: SnapshotFragment, rows: int) -> int:
    return fragment.size * rows // max(fragment.rows, 1)


def _runs(sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Cut a sequence into runs, start and end, of at most ``most`` together."""
    runs, start, total = [], 0, 0
    for position, size in enumerate(sizes):
        if position > start and total + size > most:
            runs.append((start, position))
            start, total = position, 0
        total += size
    if start < len(sizes):
        runs.append((start, len(sizes)))
    return runs
