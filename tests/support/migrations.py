"""Write a migration from what the tables in the code have and the migrations don't yet; dump a release's catalog.

    make migration MESSAGE="Why, in a few words"
    python -m tests.support.migrations --schema
    python -m tests.support.migrations --dump

See tests/catalog/released/README.md.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from penstock.catalog.db.connection import SQLITE_SCHEMA, CatalogDatabase, migrations
from penstock.domain.jobs import JobState
from tests.support.catalogs import input_file, new_job, new_split, opened_catalog, stored_collection

__all__ = ["RELEASED", "RELEASE_KEY", "dump_release", "head", "migrated_schema", "write_migration"]

RELEASED = Path(__file__).parents[1] / "catalog" / "released"
RELEASE_KEY = b"A" * 43 + b"="

_HEADER = "-- What the migrations make of an empty SQLite database. Written by: make migration\n"
_SCHEMA_OF_SQLITE = """
    SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'trigger', type = 'index', name
"""
"""In an order of its own: Alembic makes the indexes of a table in any."""


def head() -> str:
    """The newest migration's number."""
    return ScriptDirectory.from_config(migrations()).get_current_head() or "0000"


def write_migration(message: str) -> Path:
    """The new file in ``catalog/migrations/versions``, numbered after the last one."""
    config = migrations()
    number = f"{int(head()) + 1:04d}"
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    with tempfile.TemporaryDirectory() as folder:
        database = CatalogDatabase(f"sqlite:///{folder}/catalog.db")
        try:
            database.run_migration(lambda: command.upgrade(config, "head"), config)
            database.run_migration(
                lambda: command.revision(config, message, autogenerate=True, rev_id=number), config
            )
        finally:
            database.close()
    (written,) = (Path(config.get_main_option("script_location") or "") / "versions").glob(f"{number}_*.py")
    return written


def migrated_schema() -> str:
    """What the migrations make of an empty SQLite database, as statements between empty lines."""
    config = migrations()
    with tempfile.TemporaryDirectory() as folder:
        database = CatalogDatabase(f"sqlite:///{folder}/catalog.db")
        try:
            database.run_migration(lambda: command.upgrade(config, "head"), config)
        finally:
            database.close()
        with closing(sqlite3.connect(Path(folder) / "catalog.db")) as connection:
            rows = connection.execute(_SCHEMA_OF_SQLITE).fetchall()
    statements = [_HEADER + rows[0][0], *(sql for (sql,) in rows[1:])]
    statements.append("INSERT INTO read_cache_version VALUES (0)")
    statements.append(f"INSERT INTO alembic_version VALUES ('{head()}')")
    return "".join(f"{line.rstrip()}\n" for line in "\n\n".join(statements).splitlines())


def dump_release() -> Path:
    """Keep a small catalog of the schema as it is now: a finished, a failed and a waiting job."""
    with tempfile.TemporaryDirectory() as folder:
        with opened_catalog(Path(folder), RELEASE_KEY) as catalog:
            docs = stored_collection(catalog)
            for end in (JobState.COMPLETED, JobState.FAILED):
                catalog.jobs.insert(new_job(docs, token="t"))
                job = catalog.leases.claim("released", 60_000)
                assert job is not None
                job = catalog.leases.move(job, JobState.PLANNING)
                job = catalog.leases.save_plan(job, [input_file()], [new_split(max_rows=7)], auto_id=True)
                if end is JobState.FAILED:
                    catalog.leases.move(job, end, reason="row 3 is bad")
                    continue
                catalog.leases.save_split(job, 0, rows=[7], staged={"rows": 7, "size": 10, "note": {}}, warnings=[])
                for then in (JobState.COMMITTING, JobState.INDEXING, end):
                    job = catalog.leases.move(job, then, rows=7, progress=100)
            catalog.jobs.insert(new_job(docs, token="t"))
        written = RELEASED / f"{head()}.sql"
        with closing(sqlite3.connect(Path(folder) / "catalog.db")) as connection:
            written.write_text("\n".join(connection.iterdump()) + "\n")
    return written


def main(words: list[str]) -> None:
    if words == ["--dump"]:
        print(dump_release())
        return
    if words != ["--schema"]:
        print(write_migration(" ".join(words)))
    SQLITE_SCHEMA.write_text(migrated_schema())


if __name__ == "__main__":
    main(sys.argv[1:])
