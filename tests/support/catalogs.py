"""A catalog on a fresh database, with one collection in it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from cryptography.fernet import Fernet

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.collections.collections import new_collection_id
from penstock.catalog.db.connection import CatalogDatabase, from_millis
from penstock.catalog.jobs.jobs import NewJob
from penstock.domain.collections import Collection, CollectionSettings
from penstock.domain.exports import ExportJob, ExportRequest, ExportState
from penstock.domain.ids import millis_of, new_id
from penstock.domain.jobs import FileRange, Split
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.readers.base import InputFile
from penstock.sources.base import Location

__all__ = [
    "CLUSTER",
    "SCHEMA",
    "input_file",
    "migrated_file",
    "new_export",
    "new_job",
    "new_split",
    "opened_catalog",
    "stored_collection",
    "tenant",
    "writer_held",
]

CLUSTER = "in01-local"
SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
    ),
    dynamic=True,
)


@contextmanager
def opened_catalog(where: Path | str, key: bytes | None = None) -> Iterator[Catalog]:
    """The catalog at a URL, or in a file of a folder; new ones get a cluster."""
    url = where if isinstance(where, str) else f"sqlite:///{migrated_file(where)}"
    catalog = open_catalog(url, key or Fernet.generate_key())
    catalog.clusters.ensure(CLUSTER, "local")
    try:
        yield catalog
    finally:
        catalog.close()


def migrated_file(folder: Path) -> Path:
    """The SQLite catalog of a folder; a new one has all tables, and nothing in them.

    It is a copy: the migrations take ten times as long as most tests of a catalog. Servers that are started as
    processes run them, and so do the tests of migrations.
    """
    file = folder / "catalog.db"
    if not file.exists():
        file.write_bytes(_migrated())
        file.chmod(0o600)
    return file


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.db"
        open_catalog(f"sqlite:///{file}", Fernet.generate_key()).close()
        return file.read_bytes()


def tenant(catalog: Catalog, org: str, cluster_id: str) -> Collection:
    """The collection ``docs`` in a cluster of an org; each is made if it isn't there."""
    owner = catalog.orgs.ensure(org).id
    if cluster_id not in catalog.clusters.ids():
        catalog.clusters.create(cluster_id, "local", "", owner)
    there = catalog.collections.find(catalog.databases.get(cluster_id, "default"), "docs")
    return there or stored_collection(catalog, cluster_id=cluster_id)


def stored_collection(
    catalog: Catalog,
    name: str = "docs",
    schema: CollectionSchema = SCHEMA,
    cluster_id: str = CLUSTER,
    database: str = "default",
) -> Collection:
    """A collection in the catalog only: no engine has a table for it."""
    return catalog.collections.create(
        catalog.databases.get(cluster_id, database),
        name,
        schema,
        CollectionSettings(),
        collection_id=new_collection_id(),
        engine="lance",
        storage_version="2.0",
        version=1,
    )


def new_job(collection: Collection, **secret: str) -> NewJob:
    return NewJob(
        cluster_id=collection.cluster_id,
        database_id=collection.database_id,
        database=collection.database,
        collection_id=collection.id,
        collection=collection.name,
        partition=None,
        groups=[["a.parquet"]],
        options={},
        auto_commit=True,
        secret=secret,
    )


def new_export(collection: Collection) -> ExportJob:
    export_id = new_id()
    return ExportJob(
        id=export_id,
        cluster_id=collection.cluster_id,
        database_id=collection.database_id,
        database=collection.database,
        collection_id=collection.id,
        collection=collection.name,
        request=ExportRequest(target=f"out/{export_id}"),
        location=f"file:///out/{export_id}",
        state=ExportState.PENDING,
        created_at=from_millis(millis_of(export_id)),
    )


def input_file(name: str = "a.parquet", size: int = 10, total_rows: int = 7) -> InputFile:
    location = Location(uri=f"file:///{name}", name=name, size=size)
    return InputFile(locations=[location], format="Parquet", total_rows=total_rows)


def new_split(size: int = 10, max_rows: int = 0, group: int = 0) -> Split:
    """A split of one row group of the first file."""
    spec = {"row_groups": [group, group + 1]}
    return Split(ordinal=0, ranges=(FileRange(spec=spec, size=size, max_rows=max_rows, format="Parquet"),))


@contextmanager
def writer_held(database: CatalogDatabase) -> Iterator[None]:
    """Another writer is at work, so that what is asked for meanwhile gathers to one group commit."""
    begun, go = threading.Event(), threading.Event()

    def write() -> None:
        with database.write():
            begun.set()
            go.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait(10)
    try:
        yield
    finally:
        go.set()
        thread.join()
