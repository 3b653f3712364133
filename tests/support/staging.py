"""Files planned, read, checked and staged in this process, by the functions that a job's workers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from penstock.domain.jobs import JobWarning, Split
from penstock.domain.schema import META_FIELD, CollectionSchema
from penstock.imports.planner import plan_ranges, resolve_files
from penstock.imports.requests import StoreCredentials
from penstock.imports.tasks import StageTask, stage_split
from penstock.sources.roots import ImportRoots
from tests.support.arrow_engine import ArrowEngine
from tests.support.tables import new_table
from tests.support.worlds import job_settings

__all__ = ["Rows", "stage_files"]


@dataclass(frozen=True)
class Rows:
    """The rows of a table in order of their keys, and the warnings of their import."""

    table: pa.Table
    warnings: Sequence[JobWarning]

    def __getitem__(self, column: str) -> list[Any]:
        return self.table.column(column).to_pylist()


class _Context:
    def report(self, done_bytes: int, done_rows: int) -> None:
        pass

    def check(self) -> None:
        pass


def stage_files(folder: Path, group: Sequence[str], schema: CollectionSchema, **options: str) -> Rows:
    """The rows of a job with these import options. Raises as the functions do, but an error of a range as itself."""
    settings = job_settings()

    def run(function: Callable[[Any, Any], Any], tasks: Sequence[Any]) -> list[Any]:
        return [function(task, _Context()) for task in tasks]

    files = resolve_files([group], ImportRoots([str(folder)]), StoreCredentials())
    plan = plan_ranges(files, schema, options, settings, None, run)
    engine = ArrowEngine(folder.parent / "tables")
    table = new_table(engine, schema)
    task = StageTask(
        engine=engine,
        table=table,
        job_id=1,
        split=Split(ordinal=0, ranges=tuple(plan.ranges), auto_id_start=1 if schema.auto_id else None),
        locations={ordinal: file.locations for ordinal, file in enumerate(plan.files)},
        partitions=[1],
        batch_bytes=settings.batch_bytes,
        options=options,
    )
    result = stage_split(task, _Context())
    published = engine.publish(table, 1, 1, [result.staged])
    names = [*schema.names, *([META_FIELD] if schema.dynamic else [])]
    rows = engine.query(replace(table, version=published.version), columns=names)
    return Rows(rows.sort_by(schema.primary.name), [*plan.warnings, *result.warnings])
