"""What calls look up again and again is read from SQLite once, and never older than the last change of it."""

from __future__ import annotations

import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db.read_cache import CACHED_TABLES, ReadCache
from penstock.domain.collections import Collection, LoadState
from penstock.domain.index import IndexSpec, Metric
from penstock.domain.jobs import JobState
from penstock.errors import CollectionNotFound
from tests.support.catalogs import (
    CLUSTER,
    input_file,
    migrated_file,
    new_job,
    new_split,
    opened_catalog,
    stored_collection,
)
from tests.support.examples import examples

KEY = Fernet.generate_key()
SPEC = IndexSpec(name="v", field_name="vector", metric=Metric.L2)


@pytest.fixture
def two_openings(tmp_path: Path) -> Iterator[tuple[Catalog, Catalog]]:
    """A catalog in SQLite, as two processes have it open: in PostgreSQL nothing is cached."""
    with opened_catalog(tmp_path, KEY) as one, opened_catalog(tmp_path, KEY) as other:
        yield one, other


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


def test_a_call_between_two_changes_executes_no_statement(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        name = stored_collection(catalog).name
        look_up(catalog, name)
        with statements(catalog) as executed:
            assert look_up(catalog, name) == []
        assert executed == []


def test_commits_of_jobs_leave_what_was_read(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        look_up(catalog, docs.name)
        catalog.jobs.insert(new_job(docs))
        job = catalog.leases.claim("worker", 60_000)
        assert job is not None
        job = catalog.leases.move(job, JobState.PLANNING)
        catalog.leases.save_plan(job, [input_file()], [new_split(max_rows=7)], auto_id=True)
        with statements(catalog) as executed:
            look_up(catalog, docs.name)
        assert executed == []


def test_all_that_is_cached_is_read_from_the_tables_whose_changes_are_counted(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        catalog.aliases.create(docs, "alias")
        with statements(catalog) as executed:
            look_up(catalog, "alias")
        read = {name for text in executed for name in re.findall(r'(?:FROM|JOIN) "?(\w+)', text)}
        assert read == set(CACHED_TABLES)


@pytest.mark.parametrize("table", CACHED_TABLES)
def test_a_change_of_any_column_by_any_program_is_counted(tmp_path: Path, table: str) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        catalog.aliases.create(docs, "alias")
        catalog.collections.add_index(docs.id, SPEC)
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as connection:

        def is_counted(statement: str, values: tuple[Any, ...] = ()) -> bool:
            query = "SELECT number FROM read_cache_version"
            (before,) = connection.execute(query).fetchone()
            assert connection.execute(statement, values).rowcount == 1
            (after,) = connection.execute(query).fetchone()
            return bool(after > before)

        cursor = connection.execute(f'SELECT * FROM "{table}"')
        (row,), names = cursor.fetchall(), [column[0] for column in cursor.description]
        for name in names:
            assert is_counted(f'UPDATE "{table}" SET "{name}" = "{name}"'), name
        assert is_counted(f'DELETE FROM "{table}"')
        assert is_counted(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', row)


def test_ids_that_jobs_reserve_are_no_change(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        look_up(catalog, docs.name)
        with catalog.database.write() as connection:
            catalog.collections.reserve_auto_ids(connection, docs.id, 7)
        with statements(catalog) as executed:
            look_up(catalog, docs.name)
        assert executed == []


def test_each_change_by_any_process_is_seen_at_once(servers: list[Catalog]) -> None:
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


def test_a_read_that_begins_after_a_commit_sees_it_whatever_runs_meanwhile(
    two_openings: tuple[Catalog, Catalog],
) -> None:
    one, other = two_openings
    docs = stored_collection(one)
    changes, committed, has_ended = 60, 0, threading.Event()

    def change() -> None:
        nonlocal committed
        try:
            for number in range(1, changes + 1):
                CHANGES["properties of the database"](one, docs, number)
                committed = number
                CHANGES["job"](one, docs, number)
        finally:
            has_ended.set()

    def look(catalog: Catalog) -> list[tuple[int, int]]:
        late = []
        while not has_ended.is_set():
            least = committed
            seen = int(catalog.databases.get(CLUSTER, "default").properties.get("number", 0))
            if seen < least:
                late.append((seen, least))
        return late

    with ThreadPoolExecutor(5) as threads:
        looking = [threads.submit(look, catalog) for catalog in (one, one, other, other)]
        threads.submit(change).result()
    assert [thread.result() for thread in looking] == [[], [], [], []]
    for catalog in two_openings:
        assert catalog.databases.get(CLUSTER, "default").properties == {"number": str(changes)}


def test_what_was_read_before_a_change_is_not_kept_after_it(tmp_path: Path) -> None:
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


def test_nothing_is_cached_of_a_catalog_that_counts_no_changes(tmp_path: Path) -> None:
    with opened_catalog(tmp_path) as catalog:
        name = stored_collection(catalog).name
        for statement in ("DELETE FROM read_cache_version", "DROP TABLE read_cache_version"):
            with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection, connection:
                for trigger in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                    connection.execute(f"DROP TRIGGER {trigger[0]}")
                connection.execute(statement)
            for _ in range(2):
                with statements(catalog) as executed:
                    look_up(catalog, name)
                assert len(executed) == 6


Change = Callable[[Catalog, Collection, int], object]

CHANGES: dict[str, Change] = {
    "region": lambda catalog, docs, number: catalog.clusters.ensure(CLUSTER, f"region-{number}"),
    "properties of the database": lambda catalog, docs, number: catalog.databases.alter(
        CLUSTER, "default", lambda _: {"number": str(number)}
    ),
    "settings": lambda catalog, docs, number: catalog.collections.alter(
        docs.id, lambda now: replace(now, settings=replace(now.settings, properties={"mmap.enabled": str(number)}))
    ),
    "load state": lambda catalog, docs, number: catalog.collections.set_load_state(
        docs.id, list(LoadState)[number % len(LoadState)]
    ),
    "version": lambda catalog, docs, number: catalog.collections.raise_version(docs.id, number),
    "name": lambda catalog, docs, number: catalog.collections.rename(
        docs, catalog.databases.get(CLUSTER, "default"), f"docs_{number}"
    ),
    "partition": lambda catalog, docs, number: catalog.collections.create_partition(docs.id, f"p_{number}"),
    "dropped partition": lambda catalog, docs, number: [
        catalog.collections.drop_partition(
            docs.id, partition.name, catalog.collections.jobs_of_partition(docs.id, partition.name)
        )
        for partition in catalog.collections.partitions(docs.id)[1:]
    ],
    "index": lambda catalog, docs, number: catalog.collections.add_index(docs.id, SPEC),
    "dropped index": lambda catalog, docs, number: catalog.collections.drop_index(docs.id, SPEC.name),
    "alias": lambda catalog, docs, number: catalog.aliases.create(docs, f"alias_{number % 3}"),
    "job": lambda catalog, docs, number: catalog.jobs.insert(new_job(docs)),
}
"""What either process may do to a collection; ``number`` counts up."""


def view(catalog: Catalog, docs: Collection, number: int) -> list[object]:
    """All that calls look up, by every key that the changes may have touched."""
    database, collections = catalog.databases.get(CLUSTER, "default"), catalog.collections
    names = [docs.name, *(f"docs_{each}" for each in range(number + 1)), *(f"alias_{each}" for each in range(3))]
    return [
        catalog.clusters.get(CLUSTER),
        database,
        [collections.find(database, name) for name in names],
        collections.by_id(docs.id),
        collections.partitions(docs.id),
        collections.indexes(docs.id),
    ]


@settings(max_examples=examples(15, 300), deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.booleans()), min_size=1, max_size=12))
def test_two_processes_see_what_the_catalog_has(steps: list[tuple[str, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{migrated_file(Path(folder))}"
        with opened_catalog(url) as one, closing(open_catalog(url, KEY)) as other:
            docs = stored_collection(one)
            for number, (change, by_other) in enumerate(steps):
                now = one.collections.by_id(docs.id)
                assert now is not None
                CHANGES[change](other if by_other else one, now, number)
                with closing(open_catalog(url, KEY)) as fresh:
                    expected = view(fresh, docs, number)
                assert view(one, docs, number) == expected, change
                assert view(other, docs, number) == expected, change
