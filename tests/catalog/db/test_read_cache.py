"""What calls look up again and again is read from SQLite once, and never older than the last commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from penstock.catalog import Catalog
from penstock.catalog.db.read_cache import ReadCache
from penstock.domain.index import IndexSpec, Metric
from penstock.errors import CollectionNotFound
from tests.support.catalogs import CLUSTER, opened_catalog, stored_collection

SPEC = IndexSpec(name="v", field_name="vector", metric=Metric.L2)


@contextmanager
def statements(catalog: Catalog) -> Iterator[list[str]]:
    """The SELECT statements that are executed meanwhile."""
    texts: list[str] = []

    def note(connection: object, cursor: object, statement: str, *others: object) -> None:
        del connection, cursor, others
        if statement.startswith("SELECT"):
            texts.append(statement)

    event.listen(catalog.database.engine, "before_cursor_execute", note)
    try:
        yield texts
    finally:
        event.remove(catalog.database.engine, "before_cursor_execute", note)


def look_up(catalog: Catalog, name: str) -> list[IndexSpec]:
    database = catalog.databases.get(catalog.clusters.get(CLUSTER).id, "default")
    collection = catalog.collections.by_id(catalog.collections.get(database, name).id)
    assert collection is not None
    assert len(catalog.collections.partitions(collection.id)) == 1
    return list(catalog.collections.indexes(collection.id))


def test_a_call_between_two_commits_executes_no_statement(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        name = stored_collection(catalog).name
        look_up(catalog, name)
        with statements(catalog) as executed:
            assert look_up(catalog, name) == []
        assert executed == []


def test_each_commit_of_any_process_is_seen_at_once(servers: list[Catalog]) -> None:
    one, other, _ = servers
    one.clusters.ensure(CLUSTER, "local")
    collection = stored_collection(one)
    for number in range(3):
        assert look_up(other, collection.name) == []
        one.collections.add_index(collection.id, SPEC)
        assert look_up(other, collection.name) == look_up(one, collection.name) == [SPEC]
        other.collections.drop_index(collection.id, SPEC.name)
        assert look_up(one, collection.name) == [], number
    one.collections.drop(collection.id)
    for catalog in servers:
        with pytest.raises(CollectionNotFound):
            look_up(catalog, collection.name)


def test_what_was_read_before_a_commit_is_not_kept_after_it(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        collection = stored_collection(catalog)
        cache = ReadCache(catalog.database.engine)
        has_read, may_return = threading.Event(), threading.Event()

        def read_slowly() -> list[IndexSpec]:
            old = list(catalog.collections.indexes(collection.id))
            has_read.set()
            assert may_return.wait(30)
            return old

        thread = threading.Thread(target=cache.get, args=("indexes", read_slowly))
        thread.start()
        assert has_read.wait(30)
        catalog.collections.add_index(collection.id, SPEC)
        assert cache.get("other", lambda: 1) == 1
        may_return.set()
        thread.join()
        assert cache.get("indexes", lambda: list(catalog.collections.indexes(collection.id))) == [SPEC]
        cache.close()
