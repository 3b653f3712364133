"""Changing collections that exist."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from penstock.collections.alterations import RenameCollection
from penstock.collections.index_requests import CreateIndex
from penstock.domain.access import ANONYMOUS, Caller, Grant, Role
from penstock.domain.collections import TTL
from penstock.domain.schema import MAX_FIELDS, CollectionSchema, DataType, Field
from penstock.engines.values import Table
from penstock.errors import (
    CollectionLoaded,
    CollectionNotFound,
    DatabaseNotFound,
    FieldNotFound,
    IndexNotFound,
    InvalidName,
    InvalidParameter,
    InvalidSchema,
    PermissionDenied,
    Unsupported,
)
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER
from tests.support.tables import plain

HERE = (CLUSTER, "default")


def renaming(name: str, new_name: str, **more: Any) -> RenameCollection:
    values: dict[str, Any] = {"caller": ANONYMOUS, "cluster_id": CLUSTER, "database": "default", **more}
    return RenameCollection(name=name, new_name=new_name, **values)


def test_rows_and_note_are_those_of_the_renamed_collection(cases: UseCases) -> None:
    docs = cases.put(cases.create(), rows=3)
    cases.databases.create(CLUSTER, "sales", {})
    cases.alterations.rename(renaming("docs", "texts", new_database="sales"))
    assert cases.collections.count(CLUSTER, "sales", "texts") == 3
    note = json.loads(cases.engine.note(docs.id) or b"")
    assert (note["name"], note["database"]["name"]) == ("texts", "sales")
    with pytest.raises(CollectionNotFound):
        cases.collections.get(*HERE, "docs")
    cases.databases.create(CLUSTER, "empty", {})
    cases.alterations.rename(renaming("texts", "texts", database="sales", new_database="empty"))
    cases.databases.drop(CLUSTER, "sales")


def test_renames_that_are_refused(cases: UseCases) -> None:
    cases.create()
    cases.aliases.create(*HERE, "docs", "current")
    with pytest.raises(InvalidParameter, match="collection name or database name should be different"):
        cases.alterations.rename(renaming("docs", "docs"))
    with pytest.raises(InvalidParameter, match="unsupported use an alias to rename collection, alias:current"):
        cases.alterations.rename(renaming("current", "texts"))
    with pytest.raises(InvalidParameter, match="duplicated new collection name default:current"):
        cases.alterations.rename(renaming("docs", "current"))
    with pytest.raises(InvalidName):
        cases.alterations.rename(renaming("docs", "1st"))
    with pytest.raises(CollectionNotFound):
        cases.alterations.rename(renaming("nope", "texts"))
    with pytest.raises(DatabaseNotFound):
        cases.alterations.rename(renaming("docs", "texts", new_database="nope"))


def test_a_rename_into_another_database_takes_a_writer_of_both(cases: UseCases) -> None:
    cases.create()
    cases.databases.create(CLUSTER, "sales", {})
    org = cases.catalog.clusters.get(CLUSTER).org_id
    writer = Grant(role=Role.WRITER, cluster_id=CLUSTER, database="default")
    reader = Grant(role=Role.READER, cluster_id=CLUSTER, database="sales")
    caller = Caller(name="ann", org_id=org, grants=(writer, reader))
    with pytest.raises(PermissionDenied, match="ann needs the role writer in the database sales"):
        cases.alterations.rename(renaming("docs", "docs", new_database="sales", caller=caller))
    cases.alterations.rename(renaming("docs", "texts", caller=caller))


# Properties

FIELDS = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="tag", type=DataType.VARCHAR, max_length=8, default="none"),
        Field(name="sizes", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=4),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
    )
)


def properties(cases: UseCases) -> dict[str, str]:
    return dict(cases.collections.get(*HERE, "docs").settings.properties)


def test_properties_are_added_replaced_and_removed(cases: UseCases) -> None:
    docs = cases.create()
    cases.alterations.alter_properties(*HERE, "docs", {"ttl.seconds": "60", "timezone": "UTC"})
    cases.alterations.alter_properties(*HERE, "docs", {TTL: 120, "mmap.enabled": True, "lazyload.enabled": None})
    assert properties(cases) == {TTL: "120", "timezone": "UTC", "mmap.enabled": "true"}
    assert cases.maintained == [docs.id] * 2, "so that rows are deleted when they expire"
    cases.alterations.drop_properties(*HERE, "docs", ["ttl.seconds", "timezone", "nope"])
    assert properties(cases) == {"mmap.enabled": "true"}
    assert cases.collections.get(*HERE, "docs").updated_at > docs.updated_at
    assert json.loads(cases.engine.note(docs.id) or b"")["settings"]["properties"] == {"mmap.enabled": "true"}


def test_a_change_that_changes_nothing_is_no_update(cases: UseCases) -> None:
    cases.create()
    cases.alterations.alter_properties(*HERE, "docs", {"timezone": "UTC"})
    altered = cases.collections.get(*HERE, "docs")
    cases.alterations.alter_properties(*HERE, "docs", {"timezone": "UTC"})
    cases.alterations.drop_properties(*HERE, "docs", ["nope"])
    assert cases.collections.get(*HERE, "docs").updated_at == altered.updated_at


def test_properties_that_are_refused(cases: UseCases) -> None:
    cases.create()
    with pytest.raises(InvalidParameter, match="no properties or delete keys provided"):
        cases.alterations.alter_properties(*HERE, "docs", {})
    with pytest.raises(InvalidParameter, match="no properties or delete keys provided"):
        cases.alterations.drop_properties(*HERE, "docs", [])
    with pytest.raises(InvalidParameter, match="did you mean timezone"):
        cases.alterations.alter_properties(*HERE, "docs", {"time_zone": "UTC"})
    with pytest.raises(Unsupported, match="limits are set per org"):
        cases.alterations.alter_properties(*HERE, "docs", {"collection.diskQuota.mb": 5})
    with pytest.raises(InvalidParameter, match="takes whole seconds"):
        cases.alterations.alter_properties(*HERE, "docs", {TTL: 10**13})
    assert properties(cases) == {}


def test_how_files_are_mapped_changes_only_while_a_collection_is_released(cases: UseCases) -> None:
    docs = cases.create()
    cases.indexes.create(docs, CreateIndex(field_name="vector", metric="L2"))
    cases.collections.load(*HERE, "docs")
    loaded = cases.collections.get(*HERE, "docs")
    with pytest.raises(CollectionLoaded, match=r"collection already loaded\[collection=docs\]"):
        cases.alterations.alter_properties(*HERE, "docs", {"mmap.enabled": True})
    with pytest.raises(CollectionLoaded):
        cases.alterations.alter_field(*HERE, "docs", "vector", {"mmap.enabled": True})
    with pytest.raises(CollectionLoaded, match="can't alter index on loaded collection"):
        cases.indexes.alter_properties(loaded, "vector", {"mmap.enabled": True})
    cases.alterations.alter_properties(*HERE, "docs", {TTL: 60})
    cases.collections.release(*HERE, "docs")
    cases.alterations.alter_properties(*HERE, "docs", {"mmap.enabled": True})


def test_limits_of_fields_hold_from_now_on(cases: UseCases) -> None:
    cases.create(schema=FIELDS)
    cases.alterations.alter_field(*HERE, "docs", "tag", {"max_length": "300", "mmap.enabled": False})
    cases.alterations.alter_field(*HERE, "docs", "sizes", {"max_capacity": 2})
    schema = cases.collections.get(*HERE, "docs").schema
    assert (schema["tag"].max_length, schema["tag"].params) == (300, {"mmap.enabled": "false"})
    assert schema["sizes"].max_capacity == 2
    with pytest.raises(InvalidParameter, match="id can not modify the maxlength for non-string types"):
        cases.alterations.alter_field(*HERE, "docs", "id", {"max_length": 10})
    with pytest.raises(InvalidParameter, match="tag can not modify the maxcapacity for non-array types"):
        cases.alterations.alter_field(*HERE, "docs", "tag", {"max_capacity": 10})
    with pytest.raises(InvalidSchema, match="the maximum length specified"):
        cases.alterations.alter_field(*HERE, "docs", "tag", {"max_length": 70_000})
    with pytest.raises(InvalidSchema, match="the default none does not fit"):
        cases.alterations.alter_field(*HERE, "docs", "tag", {"max_length": 3})
    with pytest.raises(InvalidParameter, match="dim is not a parameter of fieldParams"):
        cases.alterations.alter_field(*HERE, "docs", "vector", {"dim": 8})
    with pytest.raises(FieldNotFound):
        cases.alterations.alter_field(*HERE, "docs", "nope", {"max_length": 10})
    assert cases.collections.get(*HERE, "docs").schema == schema


def test_properties_of_an_index(cases: UseCases) -> None:
    docs = cases.create()
    cases.indexes.create(docs, CreateIndex(field_name="vector", index_type="HNSW", metric="L2", params={"M": 16}))
    cases.indexes.alter_properties(docs, "vector", {"mmap.enabled": True})
    assert cases.indexes.get(docs, "vector").params == {"M": 16, "mmap.enabled": True}
    with pytest.raises(InvalidParameter, match="M is not a parameter of properties of an index"):
        cases.indexes.drop_properties(docs, "vector", ["M"])
    cases.indexes.drop_properties(docs, "vector", ["mmap.enabled"])
    assert cases.indexes.get(docs, "vector").params == {"M": 16}
    with pytest.raises(IndexNotFound):
        cases.indexes.alter_properties(docs, "nope", {"mmap.enabled": True})


def test_properties_of_a_database(cases: UseCases) -> None:
    cases.databases.create(CLUSTER, "sales", {"timezone": "UTC"})
    cases.databases.alter_properties(CLUSTER, "sales", {"database.replica.number": 2})
    altered = cases.databases.drop_properties(CLUSTER, "sales", ["timezone", "nope"])
    assert altered.properties == {"database.replica.number": "2"}
    with pytest.raises(InvalidParameter, match="alter database with empty properties and delete keys"):
        cases.databases.alter_properties(CLUSTER, "sales", {})
    with pytest.raises(Unsupported):
        cases.databases.alter_properties(CLUSTER, "sales", {"database.max.collections": 3})
    with pytest.raises(DatabaseNotFound):
        cases.databases.drop_properties(CLUSTER, "nope", ["timezone"])


# Fields

SIZE = Field(name="size", type=DataType.INT32, default=7)
NOTE = Field(name="note", type=DataType.VARCHAR, max_length=20, nullable=True)


def sizes(cases: UseCases, *names: str) -> list[dict[str, Any]]:
    docs = cases.collections.get(*HERE, "docs")
    return cases.engine.query(Table.of(docs), columns=list(names)).to_pylist()


def test_a_field_is_added_for_rows_that_are_there_and_to_come(cases: UseCases) -> None:
    docs = cases.put(cases.create(), rows=2)
    cases.aliases.create(*HERE, "docs", "current")
    cases.alterations.add_field(*HERE, "docs", SIZE)
    cases.alterations.add_field(*HERE, "current", NOTE)
    altered = cases.collections.get(*HERE, "docs")
    assert altered.schema.names == (*docs.schema.names, "size", "note")
    assert altered.updated_at > docs.updated_at
    assert sizes(cases, "size", "note") == [{"id": i, "size": 7, "note": None} for i in range(2)]
    note = json.loads(cases.engine.note(docs.id) or b"")
    assert [field["name"] for field in note["schema"]["fields"]][-2:] == ["size", "note"]
    cases.indexes.create(altered, CreateIndex(field_name="size", index_name="s", index_type="STL_SORT"))
    with pytest.raises(InvalidSchema, match="duplicated field name size found"):
        cases.alterations.add_field(*HERE, "docs", SIZE)


@pytest.mark.parametrize(
    ("field", "error", "text"),
    [
        (replace(SIZE, default=None), InvalidParameter, "added field must be nullable, .* = size; or give it a def"),
        (
            Field(name="v", type=DataType.FLOAT_VECTOR, dim=4),
            InvalidParameter,
            r"added field must be nullable, please check it, field name = v\Z",
        ),
        (Field(name="k", type=DataType.INT64, primary=True), InvalidParameter, "not support to add pk field, .* = k"),
        (
            Field(name="k", type=DataType.INT64, partition_key=True, default=1),
            InvalidParameter,
            "not support to add partition key field, field name = k",
        ),
        (replace(SIZE, default=2**40), InvalidSchema, "the default 1099511627776 does not fit the type Int32"),
        (replace(NOTE, max_length=None), InvalidSchema, r"type param\(max_length\) should be specified"),
        (replace(NOTE, name="1st"), InvalidName, "1st"),
        (replace(NOTE, name="id"), InvalidSchema, "duplicated field name id found"),
        (
            Field(name="s", type=DataType.ARRAY_OF_STRUCT, max_capacity=2, nullable=True, fields=(SIZE,)),
            Unsupported,
            "a struct array cannot be added to a collection that exists, field name = s",
        ),
    ],
)
def test_fields_that_are_refused(cases: UseCases, field: Field, error: type[Exception], text: str) -> None:
    cases.create()
    with pytest.raises(error, match=text):
        cases.alterations.add_field(*HERE, "docs", field)
    assert cases.catalog.added_fields.unfinished(0) == []


def test_there_are_as_many_fields_as_at_creation(cases: UseCases) -> None:
    extra = tuple(Field(name=f"f{i}", type=DataType.INT8, nullable=True) for i in range(MAX_FIELDS - 4))
    cases.create(schema=replace(plain(), fields=(*plain().fields, *extra)))
    with pytest.raises(InvalidSchema, match=f"maximum field's number should be limited to {MAX_FIELDS}"):
        cases.alterations.add_field(*HERE, "docs", SIZE)


@pytest.mark.parametrize("has_column", [False, True])
def test_an_interrupted_addition_is_finished_by_the_next_call(cases: UseCases, has_column: bool) -> None:
    docs = cases.put(cases.create(), rows=1)
    cases.catalog.added_fields.begin(docs.id, SIZE)
    if has_column:
        cases.engine.add_field(Table.of(docs), SIZE)
    assert cases.collections.get(*HERE, "docs").schema == docs.schema
    cases.put(docs, rows=1, first_id=1)
    cases.alterations.add_field(*HERE, "docs", NOTE)
    assert sizes(cases, "size", "note") == [{"id": i, "size": 7, "note": None} for i in range(2)]


def test_the_call_again_finishes_it(cases: UseCases) -> None:
    docs = cases.create()
    cases.catalog.added_fields.begin(docs.id, SIZE)
    cases.alterations.add_field(*HERE, "docs", SIZE)
    assert cases.collections.get(*HERE, "docs").schema.names[-1] == "size"


def test_calls_at_the_same_moment_add_both_fields_once(cases: UseCases) -> None:
    cases.put(cases.create(), rows=2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda field: cases.alterations.add_field(*HERE, "docs", field), (SIZE, NOTE)))
    names = cases.collections.get(*HERE, "docs").schema.names
    assert sorted(names[-2:]) == ["note", "size"]
    assert sizes(cases, "size", "note") == [{"id": i, "size": 7, "note": None} for i in range(2)]
