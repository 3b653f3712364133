"""Pack file ranges into splits: small ranges are joined, and staged splits of an earlier plan are reused."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.catalog.jobs.plans import PlannedFile, PlannedSplit
from penstock.domain.jobs import Part, Split, SplitState
from penstock.imports.planner import Plan, PlannedRange

__all__ = ["SplitPlan", "join"]

_MIN_BYTES = 4 << 20
"""A split costs some 20 ms of overhead (a task, a file of the engine, waits for the disk): smaller ones don't pay."""
_SHARES = 3
"""Splits per worker in a job too small for full ones: at the end, workers wait for the last split."""
_FILE_BYTES = 64 << 10
"""Cost of opening a file, in bytes read in that time: very many tiny files fill several splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """Files and splits to save; ``stale`` are staged splits of the earlier plan that can't be reused."""

    files: Sequence[PlannedFile]
    splits: Sequence[PlannedSplit]
    stale: Sequence[Split] = ()


def join(
    plan: Plan,
    *,
    split_bytes: int,
    workers: int,
    auto_id: bool,
    files: Mapping[int, Sequence[Mapping[str, Any]]],
    splits: Sequence[Split],
) -> SplitPlan:
    """Pack a plan into splits of about ``split_bytes``, or of less where a job is too small for all ``workers``.

    A staged split of an earlier plan is reused when none of its files has changed and all its file ranges are equal.
    ``files`` are the earlier plan's locations by ordinal, ``splits`` its splits; both empty for a new job.
    """
    reused, stale = _reuse_staged(plan, files, splits)
    staged_numbers = {number for _, numbers in reused for number in numbers}
    rest = [number for number in range(len(plan.pieces)) if number not in staged_numbers]
    weight = sum(_weight(plan.pieces[number]) for number in rest)
    limit = min(split_bytes, max(weight // (workers * _SHARES), _MIN_BYTES))
    numbered = [(numbers[0], _split(plan, numbers, auto_id)) for numbers in _runs(plan.pieces, rest, limit)]
    numbered += [(numbers[0], split) for split, numbers in reused]
    missing = {plan.pieces[number].part.file for number in rest}
    return SplitPlan(
        files=_with_earlier(plan.files, files, missing),
        splits=[split for _, split in sorted(numbered, key=lambda pair: pair[0])],
        stale=stale,
    )


def _weight(file_range: PlannedRange) -> int:
    return file_range.weight + _FILE_BYTES


def _runs(ranges: Sequence[PlannedRange], numbers: Sequence[int], limit: int) -> Iterator[list[int]]:
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


def _split(plan: Plan, numbers: Sequence[int], auto_id: bool) -> PlannedSplit:
    ranges = [plan.pieces[number] for number in numbers]
    return PlannedSplit(
        parts=[file_range.part for file_range in ranges],
        auto_ids=sum(file_range.max_rows for file_range in ranges) if auto_id else 0,
    )


def _reuse_staged(
    plan: Plan, files: Mapping[int, Sequence[Mapping[str, Any]]], splits: Sequence[Split]
) -> tuple[list[tuple[PlannedSplit, list[int]]], list[Split]]:
    """Staged splits that the plan can reuse, with the numbers of their file ranges; and the stale ones."""
    staged = [split for split in splits if split.state is SplitState.STAGED]
    if not staged:
        return [], []
    free: dict[str, deque[int]] = defaultdict(deque)
    for number, file_range in enumerate(plan.pieces):
        free[_identity(plan.files[file_range.part.file].locations, file_range.part)].append(number)
    reused, stale = [], []
    for split in staged:
        numbers = _take(free, [_identity(files[part.file], part) for part in split.parts])
        if numbers is None:
            stale.append(split)
            continue
        parts = [
            replace(plan.pieces[number].part, rows=part.rows)
            for number, part in zip(numbers, split.parts, strict=True)
        ]
        reused.append((PlannedSplit(parts=parts, auto_ids=0, kept=split.ordinal), numbers))
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


def _with_earlier(
    planned: Sequence[PlannedFile], files: Mapping[int, Sequence[Mapping[str, Any]]], missing: set[int]
) -> list[PlannedFile]:
    """Add to each file its ordinal in the earlier plan. ``missing`` are the files with something left to stage."""
    ordinals: dict[str, list[int]] = {}
    for ordinal, locations in sorted(files.items(), reverse=True):
        ordinals.setdefault(_text(locations), []).append(ordinal)
    matches = [ordinals.get(_text(file.locations)) for file in planned] if ordinals else [None] * len(planned)
    return [
        replace(file, kept=candidates.pop() if candidates else None, whole=number not in missing)
        for number, (file, candidates) in enumerate(zip(planned, matches, strict=True))
    ]


def _identity(locations: Sequence[Mapping[str, Any]], part: Part) -> str:
    return _text([*locations, part.spec])


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)
