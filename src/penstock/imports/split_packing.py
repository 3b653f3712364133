"""From pieces of files to splits: small ones are joined, and what an earlier plan has staged is kept."""

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

_LEAST_BYTES = 4 << 20
"""A split costs some 20 ms of its own: a task, a file of the engine, waits for the disk. It should be worth it."""
_SHARES = 3
"""Splits that each worker gets of a job that is too small for full ones: the last to end keeps the others waiting."""
_FILE_BYTES = 64 << 10
"""What opening a file costs, in bytes that could be read meanwhile: very many tiny files fill several splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """Files and splits to save; ``stale`` are splits of the earlier plan that were staged and are of no use now."""

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
    """Splits of about ``split_bytes`` each, of less where a job would not give every one of ``workers`` some.

    A staged split of an earlier plan is kept when none of its files has changed and all of its parts are the same.
    ``files`` are the earlier plan's locations by ordinal, ``splits`` its splits; both empty for a new job.
    """
    kept, stale = _reuse_staged(plan, files, splits)
    taken = {number for _, numbers in kept for number in numbers}
    rest = [number for number in range(len(plan.pieces)) if number not in taken]
    weight = sum(_weight(plan.pieces[number]) for number in rest)
    limit = min(split_bytes, max(weight // (workers * _SHARES), _LEAST_BYTES))
    made = [(numbers[0], _split(plan, numbers, auto_id)) for numbers in _runs(plan.pieces, rest, limit)]
    made += [(numbers[0], split) for split, numbers in kept]
    missing = {plan.pieces[number].part.file for number in rest}
    return SplitPlan(
        files=_with_earlier(plan.files, files, missing),
        splits=[split for _, split in sorted(made, key=lambda pair: pair[0])],
        stale=stale,
    )


def _weight(piece: PlannedRange) -> int:
    return piece.weight + _FILE_BYTES


def _runs(pieces: Sequence[PlannedRange], numbers: Sequence[int], limit: int) -> Iterator[list[int]]:
    run: list[int] = []
    size = 0
    for number in numbers:
        weight = _weight(pieces[number])
        if run and size + weight > limit:
            yield run
            run, size = [], 0
        run.append(number)
        size += weight
    if run:
        yield run


def _split(plan: Plan, numbers: Sequence[int], auto_id: bool) -> PlannedSplit:
    pieces = [plan.pieces[number] for number in numbers]
    return PlannedSplit(
        parts=[piece.part for piece in pieces], auto_ids=sum(piece.max_rows for piece in pieces) if auto_id else 0
    )


def _reuse_staged(
    plan: Plan, files: Mapping[int, Sequence[Mapping[str, Any]]], splits: Sequence[Split]
) -> tuple[list[tuple[PlannedSplit, list[int]]], list[Split]]:
    """The staged splits that the plan still has use for, with the pieces that they hold; and the others."""
    staged = [split for split in splits if split.state is SplitState.STAGED]
    if not staged:
        return [], []
    free: dict[str, deque[int]] = defaultdict(deque)
    for number, piece in enumerate(plan.pieces):
        free[_identity(plan.files[piece.part.file].locations, piece.part)].append(number)
    kept, stale = [], []
    for split in staged:
        numbers = _take(free, [_identity(files[part.file], part) for part in split.parts])
        if numbers is None:
            stale.append(split)
            continue
        parts = [
            replace(plan.pieces[number].part, rows=part.rows)
            for number, part in zip(numbers, split.parts, strict=True)
        ]
        kept.append((PlannedSplit(parts=parts, auto_ids=0, kept=split.ordinal), numbers))
    return kept, stale


def _take(free: Mapping[str, deque[int]], names: Sequence[str]) -> list[int] | None:
    """One piece for each name, or None. A piece is taken once: a file that is named twice is imported twice."""
    taken: list[tuple[str, int]] = []
    for name in names:
        if not free.get(name):
            for other, number in reversed(taken):
                free[other].appendleft(number)
            return None
        taken.append((name, free[name].popleft()))
    return [number for _, number in taken]


def _with_earlier(
    planned: Sequence[PlannedFile], files: Mapping[int, Sequence[Mapping[str, Any]]], missing: set[int]
) -> list[PlannedFile]:
    """The files, each with its ordinal in the earlier plan. ``missing`` are those that have something to stage."""
    ordinals: dict[str, list[int]] = {}
    for ordinal, locations in sorted(files.items(), reverse=True):
        ordinals.setdefault(_text(locations), []).append(ordinal)
    same = [ordinals.get(_text(file.locations)) for file in planned] if ordinals else [None] * len(planned)
    return [
        replace(file, kept=earlier.pop() if earlier else None, whole=number not in missing)
        for number, (file, earlier) in enumerate(zip(planned, same, strict=True))
    ]


def _identity(locations: Sequence[Mapping[str, Any]], part: Part) -> str:
    return _text([*locations, part.spec])


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)
