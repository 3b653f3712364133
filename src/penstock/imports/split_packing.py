"""Pack file ranges into splits: small ranges are joined, and staged splits of an earlier plan are reused."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
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

    The ranges stay in order: it decides which row of a key is the last one, and rows are counted in it.

    A staged split of an earlier plan is reused when none of its files has changed and all its file ranges are equal,
    with no new ones between them; one with rejected rows, only when its files have the same ordinals, by which what
    is kept of these rows names them. One with a range without rows is staged again: its file may have been left out.
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
        if run and (size + weight > limit or number != run[-1] + 1):
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
        names = [_identity(locations[old.file], old) for old in split.ranges]
        numbers = _take(free, names)
        if numbers is not None and not _is_reusable(split, numbers, plan):
            _give_back(free, names, numbers)
            numbers = None
        if numbers is None:
            stale.append(split)
            continue
        ranges = [
            replace(plan.ranges[number], rows=old.rows) for number, old in zip(numbers, split.ranges, strict=True)
        ]
        reused.append((numbers, replace(split, ranges=tuple(ranges))))
    return reused, stale


def _is_reusable(split: Split, numbers: Sequence[int], plan: Plan) -> bool:
    """Whether a staged split can stand for the ranges with these numbers, which are equal to its own."""
    if any(number != before + 1 for before, number in pairwise(numbers)):
        return False
    return all(
        old.read_rows and (not old.rejected or old.file == plan.ranges[number].file)
        for old, number in zip(split.ranges, numbers, strict=True)
    )


def _take(free: Mapping[str, deque[int]], names: Sequence[str]) -> list[int] | None:
    """Take one file range per name, or None. Each is taken once: a file that is named twice is imported twice."""
    numbers: list[int] = []
    for name in names:
        if not free.get(name):
            _give_back(free, names, numbers)
            return None
        numbers.append(free[name].popleft())
    return numbers


def _give_back(free: Mapping[str, deque[int]], names: Sequence[str], numbers: Sequence[int]) -> None:
    """Undo what :func:`_take` has taken, for the first of the names if there are fewer numbers."""
    for name, number in reversed(list(zip(names, numbers, strict=False))):
        free[name].appendleft(number)


def _identity(locations: Sequence[Mapping[str, Any]], file_range: FileRange) -> str:
    return json.dumps([*locations, file_range.to_json()["spec"]], sort_keys=True, default=dict)
