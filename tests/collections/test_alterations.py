"""Changing collections that exist."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.collections.alterations import RenameCollection
from penstock.domain.access import ANONYMOUS, Caller, Grant, Role
from penstock.errors import CollectionNotFound, DatabaseNotFound, InvalidName, InvalidParameter, PermissionDenied
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER

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
