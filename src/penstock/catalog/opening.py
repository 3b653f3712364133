"""The catalog's stores, opened together on one database."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.catalog.claims import ClaimStore
from penstock.catalog.clusters import ClusterStore, DatabaseStore
from penstock.catalog.collections import CollectionStore
from penstock.catalog.database import CatalogDatabase
from penstock.catalog.job_list import JobList
from penstock.catalog.jobs import JobStore
from penstock.catalog.sealing import Seal

__all__ = ["Catalog", "open_catalog"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All stores of one database."""

    database: CatalogDatabase
    clusters: ClusterStore
    databases: DatabaseStore
    collections: CollectionStore
    jobs: JobStore
    job_list: JobList
    claims: ClaimStore

    def close(self) -> None:
        self.database.close()


def open_catalog(url: str, key: bytes) -> Catalog:
    """Open and migrate the catalog at an SQLAlchemy ``url``; ``key`` seals what callers entrust to jobs.

    Raises:
        StoreError: a newer Penstock wrote it.
    """
    database = CatalogDatabase(url)
    database.migrate()
    collections = CollectionStore(database)
    return Catalog(
        database=database,
        clusters=ClusterStore(database),
        databases=DatabaseStore(database),
        collections=collections,
        jobs=JobStore(database, Seal(key)),
        job_list=JobList(database),
        claims=ClaimStore(database, collections),
    )
