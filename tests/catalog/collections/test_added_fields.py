"""Intents to add fields: recorded, finished by whoever comes, never lost and never done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from penstock.catalog import Catalog
from penstock.domain.collections import Collection
from penstock.domain.schema import DataType, Field
from penstock.errors import CollectionNotFound, InvalidName, InvalidSchema
from tests.support.catalogs import CLUSTER, new_job, stored_collection

SIZE = Field(name="size", type=DataType.INT32, default=7)
NOTE = Field(name="note", type=DataType.VARCHAR, max_length=20, nullable=True)


def fresh(catalog: Catalog, collection: Collection) -> Collection:
    found = catalog.collections.by_id(collection.id)
    assert found is not None
    return found


def test_the_schema_has_the_field_once_it_is_finished(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    assert catalog.added_fields.begin(docs.id, SIZE) == SIZE
    assert fresh(catalog, docs) == docs
    for _ in range(2):
        catalog.added_fields.finish(docs.id, SIZE, docs.version + 5)
        after = fresh(catalog, docs)
        assert after.schema == docs.schema.with_field(SIZE)
        assert after.version == docs.version + 5
        assert after.updated_at > docs.updated_at
    assert catalog.added_fields.unfinished(0) == []
    catalog.added_fields.begin(docs.id, NOTE)
    catalog.added_fields.finish(docs.id, NOTE, 1)
    assert fresh(catalog, docs).version == docs.version + 5


def test_a_field_whose_addition_was_interrupted_comes_first(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.added_fields.begin(docs.id, SIZE)
    assert catalog.added_fields.begin(docs.id, NOTE) == SIZE
    catalog.added_fields.finish(docs.id, NOTE, 9)  # that isn't what is going on
    assert fresh(catalog, docs).schema == docs.schema
    catalog.added_fields.finish(docs.id, SIZE, 2)
    assert catalog.added_fields.begin(docs.id, NOTE) == NOTE


def test_what_breaks_a_rule_of_schemas_is_not_begun(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    with pytest.raises(InvalidSchema, match="duplicated field name id found"):
        catalog.added_fields.begin(docs.id, Field(name="id", type=DataType.INT8, nullable=True))
    with pytest.raises(InvalidName):
        catalog.added_fields.begin(docs.id, Field(name="$meta", type=DataType.JSON, nullable=True))
    assert catalog.added_fields.unfinished(0) == []


def test_unfinished_additions_by_age(catalog: Catalog) -> None:
    docs, notes = stored_collection(catalog), stored_collection(catalog, "notes")
    catalog.added_fields.begin(docs.id, SIZE)
    catalog.added_fields.begin(notes.id, NOTE)
    assert dict(catalog.added_fields.unfinished(0)) == {docs.id: SIZE, notes.id: NOTE}
    assert catalog.added_fields.unfinished(60_000) == []


def test_a_dropped_collection_takes_its_intent_along(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.added_fields.begin(docs.id, SIZE)
    catalog.collections.drop(docs.id)
    assert catalog.added_fields.unfinished(0) == []
    catalog.added_fields.finish(docs.id, SIZE, 2)
    with pytest.raises(CollectionNotFound):
        catalog.added_fields.begin(docs.id, NOTE)
    catalog.collections.forget(docs.id)


def test_of_two_servers_that_begin_at_once_both_do_the_same_first(servers: list[Catalog]) -> None:
    servers[0].clusters.ensure(CLUSTER, "local")
    docs = stored_collection(servers[0])
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda call: call[0].added_fields.begin(docs.id, call[1]), zip(servers[:2], (SIZE, NOTE), strict=True)
        )
    assert first == second
    assert [field for _, field in servers[2].added_fields.unfinished(0)] == [first]


def test_other_changes_keep_the_intent(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    catalog.added_fields.begin(docs.id, SIZE)
    catalog.collections.rename(docs, catalog.databases.get(CLUSTER, "default"), "texts")
    catalog.collections.alter(docs.id, lambda present: present)
    catalog.added_fields.finish(docs.id, SIZE, 2)
    assert fresh(catalog, docs).schema == docs.schema.with_field(SIZE)


def test_a_job_knows_how_many_fields_there_were(catalog: Catalog) -> None:
    docs = stored_collection(catalog)
    assert catalog.jobs.insert(new_job(docs)).field_count is None
    job = catalog.jobs.insert(replace(new_job(docs), field_count=2))
    assert catalog.jobs.get(CLUSTER, job.id).field_count == 2
