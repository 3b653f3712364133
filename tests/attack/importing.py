"""A file read as an import reads it: planned, looked through, and each split read and checked, in a worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.jobs import Split
from penstock.engines.values import Staged, Table
from penstock.errors import DataError, PenstockError
from penstock.imports.schema_inference import SampleTask, sample_and_infer
from penstock.imports.tasks import (
    BoundaryScanTask,
    PlanTask,
    RangeFailed,
    StageTask,
    plan_files,
    scan_range,
    stage_split,
)
from penstock.inference.infer import InferOptions
from penstock.readers.base import InputFile
from penstock.runners.base import TaskContext
from penstock.sources.base import Location
from tests.attack.mutations import Case, make_case
from tests.support.conforming import check_json

__all__ = ["CPU_SECONDS", "Attack", "Outcome", "import_broken_files"]

CPU_SECONDS = 10
"""Processor time after which a file counts as one that never ends."""
_BATCH = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Cases ``start`` to ``stop``, written below ``folder``; the worker is ended at ``memory_limit`` bytes."""

    folder: Path
    seed: int
    start: int
    stop: int
    memory_limit: int
    broken: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``rows`` that a case gave, or the ``error`` that ended it; what is wrong with that (``fault``), if anything;
    ``memory`` are the bytes by which the process grew at its peak."""

    number: int
    rows: int
    error: str
    fault: str
    memory: int


class _Drain:
    """An engine that checks what it is given and keeps nothing."""

    def stage(self, table: Table, job_id: int, batches: Iterator[pa.RecordBatch]) -> Staged:
        rows = 0
        wanted = canonical_schema(table.schema)
        for batch in batches:
            batch.validate(full=True)
            assert batch.schema.equals(wanted)
            check_json(batch, table.schema)
            rows += batch.num_rows
        return Staged(rows=rows, size=0, note={})


def import_broken_files(attack: Attack, context: TaskContext) -> list[Outcome]:
    """Runs in a worker. A case that never ends kills it: the signal's own action can't be put off by any library."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    found = []
    for number in range(attack.start, attack.stop):
        context.report(number, 0)
        case = make_case(number, attack.seed, broken=attack.broken)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            found.append(_attempt(case, attack.folder / str(number), context))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return found


def _attempt(case: Case, folder: Path, context: TaskContext) -> Outcome:
    locations = _written(case, folder)
    before = _peak_from_now()
    rows, error, fault = 0, "", ""
    try:
        _infer(case, locations, context)
        rows = _imported(case, locations, context)
    except PenstockError as refused:
        error = str(refused)
        fault = _fault(refused, case)
    except Exception as unexpected:  # noqa: BLE001 - that is what is looked for
        fault = f"{type(unexpected).__name__}: {unexpected}"
    memory = _peak() - before
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return Outcome(number=case.number, rows=rows, error=error, fault=fault, memory=memory)


def _fault(error: PenstockError, case: Case) -> str:
    """What a user would miss in the message."""
    named = error.file if isinstance(error, DataError) else str(error)
    if not any(name in (named or "") for name in case.files):
        return f"names no file: {error}"
    if isinstance(error, DataError) and not error.remedy:
        return f"has no remedy: {error}"
    return "" if len(str(error)) < 5000 else f"is {len(str(error))} characters long: {str(error)[:200]}"


def _written(case: Case, folder: Path) -> list[Location]:
    folder.mkdir(parents=True)
    found = []
    for name, content in case.files.items():
        path = folder / name
        path.write_bytes(content)
        found.append(Location(uri=path.as_uri(), name=name, size=len(content)))
    return found


def _infer(case: Case, locations: Sequence[Location], context: TaskContext) -> None:
    """Infer a schema, or be refused with a message as good as an import's; raises what is wrong with it."""
    task = SampleTask(
        files=[InputFile(locations=locations, format=case.format)],
        options=case.options,
        chosen=InferOptions(),
        is_complete=True,
    )
    try:
        sample_and_infer(task, context).schema.check()
    except PenstockError as refused:
        if fault := _fault(refused, case):
            raise AssertionError(f"the inference {fault}") from refused


def _imported(case: Case, locations: Sequence[Location], context: TaskContext) -> int:
    """The number of rows; raises what ends the import."""
    task = PlanTask(
        files=[InputFile(locations=locations, format=case.format)],
        schema=case.schema,
        options=case.options,
        split_bytes=case.split_bytes,
        batch_bytes=_BATCH,
    )
    [plan] = plan_files(task, context)
    ranges = plan.ranges
    if not isinstance(ranges, Sequence):
        spans = [BoundaryScanTask(location=locations[0], scan=ranges, span=span) for span in ranges.spans]
        ranges = ranges.cut([scan_range(span, context) for span in spans])
    rows = 0
    for file_range in ranges:
        split = Split(
            ordinal=0,
            ranges=(replace(file_range, format=case.format),),
            auto_id_start=1 if case.schema.auto_id else None,
        )
        stage = StageTask(
            engine=_Drain(),  # type: ignore[arg-type]
            table=Table(id="attacked", schema=case.schema),
            job_id=1,
            split=split,
            locations={0: locations},
            options=case.options,
            batch_bytes=_BATCH,
            partitions=[1],
        )
        try:
            rows += stage_split(stage, context).staged.rows
        except RangeFailed as failed:
            raise failed.error from failed
    return rows


def _peak_from_now() -> int:
    """Let the kernel forget the peak; the resident bytes of now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
