"""Fields that are added between the steps of jobs, interruptions, compaction and deletes; a model knows the rows.

Catalog, service and engine are the real ones.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from penstock.catalog.collections.added_fields import finish_added_field
from penstock.domain.arrow_schema import canonical_schema
from penstock.domain.collections import Collection
from penstock.domain.ids import new_id
from penstock.domain.index import IndexSpec
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance import LanceEngine
from penstock.engines.values import Staged, Table
from penstock.filters import parse
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER, opened_catalog
from tests.support.examples import examples
from tests.support.tables import plain, plain_batch, vectors

HERE = (CLUSTER, "default", "docs")
ROWS = 3
KINDS = (
    {"type": DataType.INT32, "default": 7},
    {"type": DataType.VARCHAR, "max_length": 9, "nullable": True, "default": "none"},
    {"type": DataType.INT64, "nullable": True},
    {"type": DataType.FLOAT_VECTOR, "dim": 2, "nullable": True},
)
VALUES = {DataType.INT32: 1, DataType.VARCHAR: "x", DataType.INT64: 2, DataType.FLOAT_VECTOR: [1.0, 2.0]}


@dataclass
class Job:
    schema: CollectionSchema
    id: int = field(default_factory=new_id)
    staged: list[Staged] = field(default_factory=list)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)


class AddedFields(RuleBasedStateMachine):
    jobs = Bundle("jobs")
    published = Bundle("published")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-fields-"))
        self.context = opened_catalog(self.folder)
        engine = LanceEngine(str(self.folder / "collections"))
        engine.check()
        self.cases = UseCases(self.context.__enter__(), engine)
        self.cases.create()
        self.ids = 0
        self.rows: dict[int, dict[str, Any]] = {}
        self.names: list[str] = []

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    @property
    def docs(self) -> Collection:
        return self.cases.collections.get(*HERE)

    @property
    def is_interrupted(self) -> bool:
        return bool(self.cases.catalog.added_fields.unfinished(0))

    # Jobs

    @rule(target=jobs, has_values=st.booleans())
    def begin_job(self, has_values: bool) -> Job:
        job = Job(self.docs.schema)
        self.stage(job, has_values, 0)
        return job

    @rule(job=jobs, has_values=st.booleans(), partition=st.sampled_from([0, 1]))
    def stage_more(self, job: Job, has_values: bool, partition: int) -> None:
        self.stage(job, has_values, partition)

    def stage(self, job: Job, has_values: bool, partition: int) -> None:
        rows = plain_batch(vectors(ROWS), first_id=self.ids, partitions=partition)
        columns: dict[str, pa.Array[Any]] = dict(zip(rows.schema.names, rows.columns, strict=True))
        schema = canonical_schema(job.schema)
        for added in job.schema.fields[len(plain().fields) :]:
            value = VALUES[added.type] if has_values else added.default
            columns[added.name] = pa.array([value] * ROWS, schema.field(added.name).type)
        batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
        table = replace(Table.of(self.docs), schema=job.schema)
        job.staged.append(self.cases.engine.stage(table, job.id, iter([batch])))
        for row in range(ROWS):
            values = {
                added.name: (VALUES[added.type] if has_values else added.default)
                for added in job.schema.fields[len(plain().fields) :]
            }
            job.rows[self.ids + row] = {"__part": partition, **values}
        self.ids += ROWS

    @rule(target=published, job=consumes(jobs))
    def publish(self, job: Job) -> Job:
        self._publish(job)
        self.rows |= job.rows
        return job

    @rule(job=published)
    def publish_again(self, job: Job) -> None:
        if all(key in self.rows for key in job.rows):  # else it has no rows to be known by, as the service sees to
            self._publish(job)

    def _publish(self, job: Job) -> None:
        result = self.cases.engine.publish(Table.of(self.docs), job.id, 1, job.staged)
        self.cases.catalog.collections.raise_version(self.docs.id, result.version)

    # Fields

    def _new_field(self, kind: int) -> Field:
        return Field(name=f"f{len(self.names)}", **KINDS[kind])  # type: ignore[arg-type]

    @rule(kind=st.integers(0, len(KINDS) - 1))
    def add(self, kind: int) -> None:
        added = self._new_field(kind)
        self.names.append(added.name)
        self.cases.alterations.add_field(*HERE, added)

    @precondition(lambda self: not self.is_interrupted)
    @rule(kind=st.integers(0, len(KINDS) - 1), has_column=st.booleans())
    def interrupted(self, kind: int, has_column: bool) -> None:
        added = self._new_field(kind)
        self.names.append(added.name)
        self.cases.catalog.added_fields.begin(self.docs.id, added)
        if has_column:
            self.cases.engine.add_field(Table.of(self.docs), added)

    @precondition(lambda self: self.is_interrupted)
    @rule()
    def finish(self) -> None:
        catalog = self.cases.catalog
        for _, added in catalog.added_fields.unfinished(0):
            finish_added_field(catalog.database, self.cases.engines, self.docs, added)

    # Maintenance

    @rule()
    def compact(self) -> None:
        version = self.cases.engine.compact(Table.of(self.docs))
        self.cases.catalog.collections.raise_version(self.docs.id, version)

    @rule()
    def index(self) -> None:
        added = self.docs.schema.fields[len(plain().fields) :]
        specs = [
            IndexSpec(name=each.name, field_name=each.name, type="STL_SORT")
            for each in added
            if not each.type.is_vector
        ]
        version = self.cases.engine.index(Table.of(self.docs), specs)
        self.cases.catalog.collections.raise_version(self.docs.id, version)

    @rule()
    def remove_a_partition(self) -> None:
        version = self.cases.engine.remove_partition(Table.of(self.docs), 1)
        self.cases.catalog.collections.raise_version(self.docs.id, version)
        self.rows = {key: row for key, row in self.rows.items() if row["__part"] != 1}

    # The model

    @invariant()
    def every_row_has_its_value_the_default_or_null(self) -> None:
        docs = self.docs
        added = docs.schema.fields[len(plain().fields) :]
        pending = [each.name for _, each in self.cases.catalog.added_fields.unfinished(0)]
        assert [each.name for each in added] + pending == self.names
        expected = [
            {"id": key, **{each.name: row.get(each.name, each.default) for each in added}}
            for key, row in sorted(self.rows.items())
        ]
        table = Table.of(docs)
        names = [each.name for each in added]
        assert self.cases.engine.query(table, columns=names).to_pylist() == expected
        for each in added:
            if not each.type.is_vector:
                value = VALUES[each.type]
                shown = f"'{value}'" if isinstance(value, str) else value
                count = self.cases.engine.count(table, parse(f"{each.name} == {shown}", docs.schema))
                assert count == sum(row[each.name] == value for row in expected)


TestAddedFields = AddedFields.TestCase
TestAddedFields.settings = settings(max_examples=examples(4, 10), stateful_step_count=20, deadline=None)
