"""Aliases: other names for collections, in every use case that takes a name."""

from __future__ import annotations

import json

import pytest

from penstock.errors import AliasNameConflict, CollectionNotFound, InvalidName, InvalidParameter
from tests.collections.conftest import UseCases
from tests.support.catalogs import CLUSTER

HERE = (CLUSTER, "default")


def test_reading_by_an_alias(cases: UseCases) -> None:
    docs = cases.put(cases.create(), rows=3)
    cases.aliases.create(*HERE, "docs", "current")
    assert cases.collections.get(*HERE, "current").id == docs.id
    assert cases.collections.has(*HERE, "current")
    assert cases.collections.count(*HERE, "current") == 3
    details = cases.collections.describe(*HERE, "current")
    assert (details.collection.name, details.aliases) == ("docs", ["current"])


def test_an_alias_of_an_alias_is_one_of_the_collection(cases: UseCases) -> None:
    cases.create()
    cases.aliases.create(*HERE, "docs", "a")
    cases.aliases.create(*HERE, "a", "b")
    assert [(alias.name, alias.collection) for alias in cases.aliases.list(*HERE)] == [("a", "docs"), ("b", "docs")]


def test_listing_those_of_one_collection(cases: UseCases) -> None:
    for name in ("docs", "notes"):
        cases.create(name)
        cases.aliases.create(*HERE, name, f"{name}_now")
    assert [alias.name for alias in cases.aliases.list(*HERE, "notes")] == ["notes_now"]
    with pytest.raises(CollectionNotFound):
        cases.aliases.list(*HERE, "nope")


def test_names_that_are_refused(cases: UseCases) -> None:
    cases.create()
    with pytest.raises(InvalidName, match="Invalid collection alias: 1st"):
        cases.aliases.create(*HERE, "docs", "1st")
    cases.aliases.create(*HERE, "docs", "current")
    with pytest.raises(AliasNameConflict):
        cases.create("current")
    assert len(cases.engine.tables()) == 1, "the table of the refused collection is gone"


def test_what_has_aliases_is_dropped_by_neither_name(cases: UseCases) -> None:
    docs = cases.create()
    cases.aliases.create(*HERE, "docs", "current")
    with pytest.raises(InvalidParameter, match="cannot drop the collection via alias = current"):
        cases.collections.drop(*HERE, "current")
    with pytest.raises(InvalidParameter, match=r"associated aliases \[current\]"):
        cases.collections.drop(*HERE, "docs")
    note = json.loads(cases.engine.note(docs.id) or b"")
    assert (note["aliases"], note["dropped"]) == (["current"], False)
    for _ in range(2):
        cases.aliases.drop(*HERE, "current")
    assert "aliases" not in json.loads(cases.engine.note(docs.id) or b"")
    cases.collections.drop(*HERE, "docs")
