"""Pack file ranges into splits: small ranges are joined, and staged splits of an earlier plan are reused."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.domain.jobs import FileRange, Split, SplitState
from penstock.imports.planner import Plan

_MIN_BYTES = 4 << 20
"""A split costs some 20 ms of overhead (a task, a file of the engine, waits for the disk): smaller ones don't pay."""
_SHARES = 3
"""Splits per worker in a job too small for full ones: at the end, workers wait for the last split."""
_FILE_BYTES = 64 << 10
"""Cost of opening a file, in bytes read in that time: very many tiny files fill several splits."""


def pack_splits(
    plan: Plan,
    *,
    split_bytes: int,
    workers: int,
    locations: Mapping[int, Sequence[Mapping[str, Any]]],
    splits: Sequence[Split],
) -> tuple[list[Split], list[Split]]:
    """Pack a plan into splits of about ``split_bytes``, or of less where a job is too small for all ``workers``.

    A staged split of an earlier plan is reused when none of its files has changed and all its file ranges are equal.
    ``locations`` are those of the earlier plan's files by ordinal, as JSON, ``splits`` its splits; both empty for a
    new job.

    Returns:
        The splits in order, and the staged splits of the earlier plan that can't be reused.
    """
    reused, stale = _reuse_staged(plan, locations, splits)
    staged_numbers = {number for numbers, _ in reused for number in numbers}
    rest = [number for number in range(len(plan.ranges)) if number not in staged_numbers]
    weight = sum(_weight(plan.ranges[number]) for number in rest)
    limit = min(split_bytes, max(weight // (workers * _SHARES), _MIN_BYTES))
    new = [
        (numbers, Split(ordinal=0, ranges=tuple(plan.ranges[number] for number in numbers)))
        for numbers in _runs(plan.ranges, rest, limit)
    ]
    ordered = sorted([*new, *reused], key=lambda pair: pair[0][0])
    return [replace(split, ordinal=ordinal) for ordinal, (_, split) in enumerate(ordered)], stale


def _weight(file_range: FileRange) -> int:
    return file_range.weight + _FILE_BYTES


def _runs(ranges: Sequence[FileRange], numbers: Sequence[int], limit: int) -> Iterator[list[int]]:
    run: list[int] = []
    size = 0
    for number in numbers:
        weight = _weight(ranges[number])
        if run and size + weight > limit:
            yield run
            run, size = [], 0
        run.append(number)
        size += weight
    if run:
        yield run


def _reuse_staged(
    plan: Plan, locations: Mapping[int, Sequence[Mapping[str, Any]]], splits: Sequence[Split]
) -> tuple[list[tuple[list[int], Split]], list[Split]]:
    """Staged splits that the plan can reuse, each with the numbers of its file ranges; and the stale ones."""
    staged = [split for split in splits if split.state is SplitState.STAGED]
    if not staged:
        return [], []
    free: dict[str, deque[int]] = defaultdict(deque)
    planned = [[location.to_json() for location in file.locations] for file in plan.files]
    for number, file_range in enumerate(plan.ranges):
        free[_identity(planned[file_range.file], file_range)].append(number)
    reused, stale = [], []
    for split in staged:
        numbers = _take(free, [_identity(locations[old.file], old) for old in split.ranges])
        if numbers is None:
            stale.append(split)
            continue
        ranges = [
            replace(plan.ranges[number], rows=old.rows) for number, old in zip(numbers, split.ranges, strict=True)
        ]
        reused.append((numbers, replace(split, ranges=tuple(ranges))))
    return reused, stale


def _take(free: Mapping[str, deque[int]], names: Sequence[str]) -> list[int] | None:
    """Take one file range per name, or None. Each is taken once: a file that is named twice is imported twice."""
    matches: list[tuple[str, int]] = []
    for name in names:
        if not free.get(name):
            for match, number in reversed(matches):
                free[match].appendleft(number)
            return None
        matches.append((name, free[name].popleft()))
    return [number for _, number in matches]


def _identity(locations: Sequence[Mapping[str, Any]], file_range: FileRange) -> str:
    return json.dumps([*locations, file_range.to_json()["spec"]], sort_keys=True, default=dict)
