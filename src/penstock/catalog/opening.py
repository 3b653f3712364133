"""The catalog's stores, opened together on one database."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.catalog.accounts import AccountStore
from penstock.catalog.audit import AuditStore
from penstock.catalog.claims import ClaimStore
from penstock.catalog.clusters import ClusterStore, DatabaseStore
from penstock.catalog.collections import CollectionStore
from penstock.catalog.database import CatalogDatabase
from penstock.catalog.job_list import JobList
from penstock.catalog.jobs import JobStore
from penstock.catalog.leftovers import LeftoverStore
from penstock.catalog.maintenance import MaintenanceStore
from penstock.catalog.orgs import OrgStore
from penstock.catalog.quotas import QuotaStore
from penstock.catalog.retention import RetentionStore
from penstock.catalog.sealing import Seal

__all__ = ["Catalog", "open_catalog"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All stores of one database."""

    database: CatalogDatabase
    orgs: OrgStore
    quotas: QuotaStore
    accounts: AccountStore
    audit: AuditStore
    clusters: ClusterStore
    databases: DatabaseStore
    collections: CollectionStore
    jobs: JobStore
    job_list: JobList
    leftovers: LeftoverStore
    claims: ClaimStore
    maintenance: MaintenanceStore
    retention: RetentionStore

    def close(self) -> None:
        self.database.close()


def open_catalog(url: str, key: bytes, connections: int = 20) -> Catalog:
    """Open and migrate the catalog at ``sqlite:///…`` or ``postgresql://…``.

    Args:
        key: seals what callers entrust to jobs.
        connections: to PostgreSQL at most.

    Raises:
        InvalidParameter: the URL won't do, or the driver isn't installed.
        StoreError: a newer Penstock wrote it.
        CatalogUnavailable: it can't be reached.
    """
    database = CatalogDatabase(url, connections)
    try:
        database.migrate()
        return _stores(database, Seal(key))
    except BaseException:
        database.close()
        raise


def _stores(database: CatalogDatabase, seal: Seal) -> Catalog:
    collections = CollectionStore(database)
    return Catalog(
        database=database,
        orgs=OrgStore(database),
        quotas=QuotaStore(database),
        accounts=AccountStore(database),
        audit=AuditStore(database),
        clusters=ClusterStore(database),
        databases=DatabaseStore(database),
        collections=collections,
        jobs=JobStore(database, seal),
        job_list=JobList(database),
        leftovers=LeftoverStore(database),
        claims=ClaimStore(database, collections),
        maintenance=MaintenanceStore(database),
        retention=RetentionStore(database),
    )
