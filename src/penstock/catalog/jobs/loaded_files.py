"""The history of loaded files: which files a collection has the rows of, and the jobs that loaded them.

A file is recognized by its address, size and version (a local file's inode and times, an object's ETag). One without
a version, as on some web servers, is never taken for loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select

from penstock.catalog.db import tables
from penstock.catalog.db.commit_hooks import write_at_commit
from penstock.catalog.db.connection import CatalogDatabase, from_millis, now_millis, upsert_insert
from penstock.domain.jobs import FileState, ImportJob
from penstock.domain.names import DEFAULT_PARTITION
from penstock.domain.write_modes import WriteMode

_IN_A_QUERY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFile:
    """A file that a job has loaded into a collection. ``name`` is as that job named it."""

    name: str
    job_id: int
    loaded_at: datetime


def identity_of(locations: Sequence[Mapping[str, Any]]) -> str | None:
    """What an input file is recognized by; None if the version of one of its locations is unknown."""
    if not all(location["version"] for location in locations):
        return None
    facts = sorted([location["uri"], location["size"], location["version"]] for location in locations)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def record_loaded_files(connection: Connection, job: ImportJob) -> None:
    """Record the files of a job, in the transaction that notes that its rows are visible.

    Files that the job left out are not loaded; an overwrite removes the rows of what was loaded before.
    """
    write_at_commit(connection, _record_in_order, [job])


def _record_in_order(connection: Connection, jobs: Sequence[ImportJob]) -> None:
    """Record the files of jobs: an overwrite forgets those of the jobs before it, and none of the jobs after it."""
    appended: list[ImportJob] = []
    for job in jobs:
        if job.options.get("write_mode") == WriteMode.OVERWRITE:
            _insert_loaded_files(connection, appended)
            appended = []
            _forget_overwritten(connection, job)
        appended.append(job)
    _insert_loaded_files(connection, appended)


def _insert_loaded_files(connection: Connection, jobs: Sequence[ImportJob]) -> None:
    if not jobs:
        return
    now = now_millis()
    rows = [
        {
            "of_collection": job.collection_id,
            "of_job": job.id,
            "of_partition": job.partition or DEFAULT_PARTITION,
            "now": now,
        }
        for job in jobs
    ]
    connection.execute(_files_of_job(connection.dialect.name), rows)


# Cached, every job needs it: building the statement takes longer than running it.
@lru_cache
def _files_of_job(dialect: str) -> Any:
    """Insert the files of a job that it has not left out."""
    file, loaded = tables.job_file.c, tables.loaded_file.c
    files = (
        select(
            bindparam("of_collection", type_=loaded.collection_id.type),
            file.identity,
            file.job_id,
            func.min(file.name),
            bindparam("of_partition", type_=loaded.partition.type),
            bindparam("now", type_=loaded.loaded_at.type),
        )
        .where(file.job_id == bindparam("of_job"), file.identity.is_not(None), file.state != FileState.FAILED.value)
        .group_by(file.identity, file.job_id)
    )
    columns = ["collection_id", "identity", "job_id", "name", "partition", "loaded_at"]
    return (
        upsert_insert(dialect, tables.loaded_file)
        .from_select(columns, files)
        .on_conflict_do_nothing(index_elements=["collection_id", "identity", "job_id"])
    )


def _forget_overwritten(connection: Connection, job: ImportJob) -> None:
    loaded = tables.loaded_file.c
    statement = delete(tables.loaded_file).where(loaded.collection_id == job.collection_id, loaded.job_id != job.id)
    if job.partition is not None:
        statement = statement.where(loaded.partition == job.partition)
    connection.execute(statement)


def forget_loaded_files(connection: Connection, collection_id: str, *, job_id: int) -> None:
    """Forget what a job has loaded, as its rows are removed: a later import of the same files loads them."""
    loaded = tables.loaded_file.c
    connection.execute(
        delete(tables.loaded_file).where(loaded.collection_id == collection_id, loaded.job_id == job_id)
    )


def forget_partition_files(connection: Connection, collection_id: str, partition: str) -> None:
    """Forget what was loaded into a partition, as it is dropped."""
    loaded = tables.loaded_file.c
    connection.execute(
        delete(tables.loaded_file).where(loaded.collection_id == collection_id, loaded.partition == partition)
    )


class LoadedFileRepository:
    """Look up loaded files."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def find(self, collection_id: str, identities: Sequence[str]) -> Mapping[str, LoadedFile]:
        """The loaded ones of these files, by identity, each with the last job that loaded it."""
        loaded = tables.loaded_file.c
        matches: dict[str, LoadedFile] = {}
        with self._database.read() as connection:
            for start in range(0, len(identities), _IN_A_QUERY):
                rows = connection.execute(
                    select(loaded.identity, loaded.name, loaded.job_id, loaded.loaded_at)
                    .where(
                        loaded.collection_id == collection_id,
                        loaded.identity.in_(identities[start : start + _IN_A_QUERY]),
                    )
                    .order_by(loaded.job_id)
                )
                for row in rows:
                    matches[row.identity] = LoadedFile(
                        name=row.name, job_id=row.job_id, loaded_at=from_millis(row.loaded_at)
                    )
        return matches
