"""The catalog's stores, opened together on one database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from penstock.catalog.access.accounts import AccountRepository
from penstock.catalog.access.audit import AuditRepository
from penstock.catalog.access.clusters import ClusterRepository, DatabaseRepository
from penstock.catalog.access.orgs import OrgRepository
from penstock.catalog.collections.collections import CollectionRepository
from penstock.catalog.collections.descriptions import DescriptionStore
from penstock.catalog.collections.maintenance_leases import MaintenanceLeases
from penstock.catalog.collections.row_expiry import RowExpiryRepository
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.db.errors import CatalogUnavailable
from penstock.catalog.jobs.jobs import JobRepository
from penstock.catalog.jobs.leases import JobLeases
from penstock.catalog.jobs.listing import JobList
from penstock.catalog.jobs.quotas import QuotaRepository
from penstock.catalog.jobs.retention import RetentionRepository
from penstock.catalog.jobs.staged_files import StagedFileRepository

__all__ = ["Catalog", "open_catalog"]

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Catalog:
    """All stores of one database."""

    database: CatalogDatabase
    orgs: OrgRepository
    quotas: QuotaRepository
    accounts: AccountRepository
    audit: AuditRepository
    clusters: ClusterRepository
    databases: DatabaseRepository
    collections: CollectionRepository
    descriptions: DescriptionStore
    jobs: JobRepository
    job_list: JobList
    staged_files: StagedFileRepository
    claims: JobLeases
    maintenance: MaintenanceLeases
    retention: RetentionRepository
    row_expiry: RowExpiryRepository

    def close(self) -> None:
        self.database.close()


def open_catalog(url: str, key: bytes, connections: int = 20, timeout: float = 0.0) -> Catalog:
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
        _wait_until_available(database.migrate, timeout if database.is_shared else 0.0)
        return _stores(database, Encryptor(key))
    except BaseException:
        database.close()
        raise


def _wait_until_available(work: Callable[[], None], timeout: float) -> None:
    """Servers and their database often start together. Why one waits is logged each time it looks."""

    def tell(state: RetryCallState) -> None:
        reason = state.outcome and str(state.outcome.exception())
        log.warning(
            "catalog.waiting", reason=reason, waited=round(state.seconds_since_start or 0, 1), timeout=timeout
        )

    attempts = Retrying(
        retry=retry_if_exception_type(CatalogUnavailable),
        stop=stop_after_delay(timeout),
        wait=wait_fixed(_LOOK_SECONDS),
        before_sleep=tell,
        reraise=True,
    )
    attempts(work)


def _stores(database: CatalogDatabase, seal: Encryptor) -> Catalog:
    collections = CollectionRepository(database)
    return Catalog(
        database=database,
        orgs=OrgRepository(database),
        quotas=QuotaRepository(database),
        accounts=AccountRepository(database),
        audit=AuditRepository(database),
        clusters=ClusterRepository(database),
        databases=DatabaseRepository(database),
        collections=collections,
        descriptions=DescriptionStore(database),
        jobs=JobRepository(database, seal),
        job_list=JobList(database),
        staged_files=StagedFileRepository(database),
        claims=JobLeases(database, collections),
        maintenance=MaintenanceLeases(database),
        retention=RetentionRepository(database),
        row_expiry=RowExpiryRepository(database),
    )
