"""Writes of many threads in few transactions: what was told done is there, and errors meet their own callers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from penstock.catalog.db.commit_hooks import read_once, write_at_commit, write_deferred
from penstock.catalog.db.connection import CatalogDatabase
from penstock.errors import InvalidParameter, PenstockError
from tests.support.catalogs import writer_held


@pytest.fixture
def database(tmp_path: Path) -> Iterator[CatalogDatabase]:
    made = CatalogDatabase(f"sqlite:///{tmp_path / 'some.db'}")
    with made.write() as connection:
        connection.execute(text("CREATE TABLE number (value INTEGER PRIMARY KEY)"))
    yield made
    made.close()


def add(connection: Connection, value: int) -> int:
    connection.execute(text("INSERT INTO number VALUES (:value)"), {"value": value})
    return value


def numbers(database: CatalogDatabase) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(text("SELECT value FROM number ORDER BY value")).scalars())


def test_many_at_once(database: CatalogDatabase) -> None:
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    with ThreadPoolExecutor(16) as threads:
        with writer_held(database):
            asked = [threads.submit(database.run_grouped, lambda c, n=n: add(c, n)) for n in range(16)]
        assert [each.result(10) for each in asked] == list(range(16))
    assert numbers(database) == list(range(16))
    assert len(commits) < 12  # the one that held, those that gathered meanwhile, and those of the reads


def test_an_error_undoes_its_own_write_only(database: CatalogDatabase) -> None:
    def refused(connection: Connection) -> int:
        add(connection, 100)
        raise InvalidParameter("no")

    with ThreadPoolExecutor(8) as threads:
        with writer_held(database):
            good = [threads.submit(database.run_grouped, lambda c, n=n: add(c, n)) for n in (1, 2, 3)]
            twice = threads.submit(database.run_grouped, lambda c: [add(c, 50), add(c, 50)])
            bad = threads.submit(database.run_grouped, refused)
        assert [each.result(10) for each in good] == [1, 2, 3]
        with pytest.raises(IntegrityError):
            twice.result(10)
        with pytest.raises(InvalidParameter):
            bad.result(10)
    assert numbers(database) == [1, 2, 3]


def test_a_transaction_that_breaks_is_made_again_without_the_one_that_broke_it(database: CatalogDatabase) -> None:
    def breaks(connection: Connection) -> None:
        add(connection, 100)
        connection.exec_driver_sql("ROLLBACK")  # as SQLite does by itself when the disk is full
        raise RuntimeError("broken")

    with ThreadPoolExecutor(8) as threads:
        with writer_held(database):
            good = [threads.submit(database.run_grouped, lambda c, n=n: add(c, n)) for n in (1, 2, 3)]
            bad = threads.submit(database.run_grouped, breaks)
        assert [each.result(10) for each in good] == [1, 2, 3]
        with pytest.raises((RuntimeError, OperationalError, PenstockError)):
            bad.result(10)
    assert numbers(database) == [1, 2, 3]


def test_what_is_not_durable_does_not_wait_for_the_disk(database: CatalogDatabase) -> None:
    def synchronous(*, durable: bool) -> int:
        with database.write(durable=durable) as connection:
            return int(connection.execute(text("PRAGMA synchronous")).scalar_one())

    normal, full = 1, 2
    assert [synchronous(durable=each) for each in (True, False, True)] == [full, normal, full]


def test_callbacks_run_after_the_commit_and_only_those_of_writes_that_stay(database: CatalogDatabase) -> None:
    called: list[int] = []

    def write(connection: Connection, value: int, *, fails: bool = False) -> int:
        database.after_commit(connection, lambda: called.append(value))
        add(connection, value)
        if fails:
            raise InvalidParameter("no")
        return value

    def broken() -> None:
        raise RuntimeError("a listener fails, the write doesn't")

    def listened(connection: Connection) -> int:
        database.after_commit(connection, broken)
        return write(connection, 5)

    with ThreadPoolExecutor(8) as threads:
        with writer_held(database):
            good = [threads.submit(database.run_grouped, lambda c, n=n: write(c, n)) for n in (1, 2)]
            bad = threads.submit(database.run_grouped, lambda c: write(c, 3, fails=True))
            last = threads.submit(database.run_grouped, listened)
        assert [each.result(10) for each in [*good, last]] == [1, 2, 5]
        with pytest.raises(InvalidParameter):
            bad.result(10)
    assert sorted(called) == numbers(database) == [1, 2, 5]


def test_what_waits_for_the_commit_is_written_once_for_a_group(database: CatalogDatabase) -> None:
    calls: list[list[int]] = []

    def insert(connection: Connection, values: Sequence[int]) -> None:
        calls.append(sorted(values))
        for value in values:
            add(connection, value)

    with ThreadPoolExecutor(16) as threads:
        with writer_held(database):
            asked = [
                threads.submit(database.run_grouped, lambda c, n=n: write_at_commit(c, insert, [n]))
                for n in range(16)
            ]
        for each in asked:
            each.result(10)
    assert numbers(database) == list(range(16))
    assert len(calls) < 12
    assert sorted(value for values in calls for value in values) == list(range(16))


def test_a_write_that_fails_takes_back_what_it_left_for_the_commit(database: CatalogDatabase) -> None:
    def insert(connection: Connection, values: Sequence[int]) -> None:
        for value in values:
            add(connection, value)

    def refused(connection: Connection) -> None:
        write_at_commit(connection, insert, [100])
        raise InvalidParameter("no")

    with ThreadPoolExecutor(8) as threads:
        with writer_held(database):
            good = [
                threads.submit(database.run_grouped, lambda c, n=n: write_at_commit(c, insert, [n])) for n in (1, 2)
            ]
            bad = threads.submit(database.run_grouped, refused)
        for each in good:
            each.result(10)
        with pytest.raises(InvalidParameter):
            bad.result(10)
    assert numbers(database) == [1, 2]


def test_where_what_waits_for_the_commit_fails_each_write_has_its_own_error(database: CatalogDatabase) -> None:
    def insert(connection: Connection, values: Sequence[int]) -> None:
        for value in values:
            add(connection, value)

    with ThreadPoolExecutor(8) as threads:
        with writer_held(database):
            good = threads.submit(database.run_grouped, lambda c: write_at_commit(c, insert, [1]))
            twice = threads.submit(database.run_grouped, lambda c: write_at_commit(c, insert, [2, 2]))
        good.result(10)
        with pytest.raises(IntegrityError):
            twice.result(10)
    assert numbers(database) == [1]


def test_a_transaction_may_read_what_waits_for_its_commit(database: CatalogDatabase) -> None:
    def insert(connection: Connection, values: Sequence[int]) -> None:
        for value in values:
            add(connection, value)

    with database.write() as connection:
        write_at_commit(connection, insert, [7])
        assert connection.execute(text("SELECT count(*) FROM number")).scalar_one() == 0
        write_deferred(connection)
        assert connection.execute(text("SELECT count(*) FROM number")).scalar_one() == 1
    assert numbers(database) == [7]


def test_what_the_writes_of_a_transaction_have_in_common_is_read_once(database: CatalogDatabase) -> None:
    reads: list[int] = []

    def write(connection: Connection, value: int) -> int:
        def read() -> int:
            reads.append(value)
            return len(numbers(database))

        add(connection, value)
        return read_once(connection, "present", read)

    with ThreadPoolExecutor(16) as threads:
        with writer_held(database):
            asked = [threads.submit(database.run_grouped, lambda c, n=n: write(c, n)) for n in range(16)]
        seen = [each.result(10) for each in asked]
    assert len(reads) == len(set(seen)) < 12
    assert database.run_grouped(lambda c: write(c, 16)) == 16, "the next transaction reads anew"
