"""The catalog's stores, opened together on one database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from penstock.catalog.access.accounts import AccountStore
from penstock.catalog.access.audit import AuditStore
from penstock.catalog.jobs.leases import JobLeases
from penstock.catalog.access.clusters import ClusterStore, DatabaseStore
from penstock.catalog.collections.collections import CollectionStore
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.collections.descriptions import DescriptionStore
from penstock.catalog.db.errors import CatalogUnavailable
from penstock.catalog.jobs.listing import JobList
from penstock.catalog.jobs.jobs import JobStore
from penstock.catalog.jobs.staged_files import LeftoverStore
from penstock.catalog.collections.maintenance_leases import MaintenanceStore
from penstock.catalog.access.orgs import OrgStore
from penstock.catalog.jobs.quotas import QuotaStore
from penstock.catalog.jobs.retention import RetentionStore
from penstock.catalog.collections.row_expiry import RowExpiryStore
from penstock.catalog.db.encryption import Encryptor

__all__ = ["Catalog", "open_catalog"]

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0


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
    descriptions: DescriptionStore
    jobs: JobStore
    job_list: JobList
    leftovers: LeftoverStore
    claims: JobLeases
    maintenance: MaintenanceStore
    retention: RetentionStore
    row_expiry: RowExpiryStore

    def close(self) -> None:
        self.database.close()


def open_catalog(url: str, key: bytes, connections: int = 20, patience: float = 0.0) -> Catalog:
    """Open and migrate the catalog at ``sqlite:///…`` or ``postgresql://…``.

    Args:
        key: seals what callers entrust to jobs.
        connections: to PostgreSQL at most.
        patience: seconds to wait for PostgreSQL where it is away.

    Raises:
        InvalidParameter: the URL won't do, or the driver isn't installed.
        StoreError: a newer Penstock wrote it.
        CatalogUnavailable: it can't be reached.
    """
    database = CatalogDatabase(url, connections)
    try:
        _wait_until_available(database.migrate, patience if database.is_shared else 0.0)
        return _stores(database, Encryptor(key))
    except BaseException:
        database.close()
        raise


def _wait_until_available(work: Callable[[], None], patience: float) -> None:
    """Servers and their database often start together. Why one waits is logged each time it looks."""

    def tell(state: RetryCallState) -> None:
        reason = state.outcome and str(state.outcome.exception())
        log.warning(
            "catalog.awaited", reason=reason, waited=round(state.seconds_since_start or 0, 1), patience=patience
        )

    attempts = Retrying(
        retry=retry_if_exception_type(CatalogUnavailable),
        stop=stop_after_delay(patience),
        wait=wait_fixed(_LOOK_SECONDS),
        before_sleep=tell,
        reraise=True,
    )
    attempts(work)


def _stores(database: CatalogDatabase, seal: Encryptor) -> Catalog:
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
        descriptions=DescriptionStore(database),
        jobs=JobStore(database, seal),
        job_list=JobList(database),
        leftovers=LeftoverStore(database),
        claims=JobLeases(database, collections),
        maintenance=MaintenanceStore(database),
        retention=RetentionStore(database),
        row_expiry=RowExpiryStore(database),
    )
