"""The catalog's repositories, opened together on one database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from penstock.catalog.access.accounts import AccountRepository
from penstock.catalog.access.audit import AuditRepository
from penstock.catalog.access.clusters import ClusterRepository, DatabaseRepository
from penstock.catalog.access.failed_logins import FailedLogins
from penstock.catalog.access.orgs import OrgRepository
from penstock.catalog.access.sessions import SessionRepository
from penstock.catalog.collections.added_fields import AddedFieldRepository
from penstock.catalog.collections.aliases import AliasRepository
from penstock.catalog.collections.collections import CollectionRepository
from penstock.catalog.collections.descriptions import DescriptionRepository
from penstock.catalog.collections.maintenance_leases import MaintenanceLeases
from penstock.catalog.collections.row_expiry import RowExpiryRepository
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.db.encryption import Encryptor
from penstock.catalog.exports import ExportRepository
from penstock.catalog.jobs.jobs import JobRepository
from penstock.catalog.jobs.leases import JobLeases
from penstock.catalog.jobs.listing import JobList
from penstock.catalog.jobs.loaded_files import LoadedFileRepository
from penstock.catalog.jobs.outbox import WebhookOutbox
from penstock.catalog.jobs.quotas import QuotaRepository
from penstock.catalog.jobs.retention import RetentionRepository
from penstock.catalog.jobs.reversals import ReversalRepository
from penstock.catalog.jobs.staged_files import StagedFileRepository
from penstock.catalog.jobs.uploads import UploadRepository
from penstock.catalog.jobs.webhooks import WebhookRepository
from penstock.errors import CatalogUnavailable

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Catalog:
    """All repositories of one database."""

    database: CatalogDatabase
    orgs: OrgRepository
    quotas: QuotaRepository
    accounts: AccountRepository
    sessions: SessionRepository
    failed_logins: FailedLogins
    audit: AuditRepository
    clusters: ClusterRepository
    databases: DatabaseRepository
    collections: CollectionRepository
    aliases: AliasRepository
    added_fields: AddedFieldRepository
    descriptions: DescriptionRepository
    jobs: JobRepository
    job_list: JobList
    reversals: ReversalRepository
    staged_files: StagedFileRepository
    leases: JobLeases
    maintenance: MaintenanceLeases
    retention: RetentionRepository
    row_expiry: RowExpiryRepository
    exports: ExportRepository
    loaded_files: LoadedFileRepository
    webhooks: WebhookRepository
    uploads: UploadRepository

    def close(self) -> None:
        self.database.close()


def open_catalog(url: str, key: bytes, connections: int = 20, timeout: float = 0.0) -> Catalog:
    """Open and migrate the catalog at ``sqlite:///…`` or ``postgresql://…``.

    Args:
        key: encryption key for the credentials of jobs.
        connections: limit of connections to PostgreSQL.
        timeout: seconds to wait for PostgreSQL while it is unavailable.

    Raises:
        InvalidParameter: the URL is invalid, or the driver isn't installed.
        CatalogError: a newer version of Penstock wrote the catalog.
        CatalogUnavailable: the database can't be reached.
    """
    database = CatalogDatabase(url, connections)
    try:
        _wait_until_available(database.migrate, timeout if database.is_shared else 0.0)
        return _stores(database, Encryptor(key))
    except BaseException:
        database.close()
        raise


def _wait_until_available(work: Callable[[], None], timeout: float) -> None:
    """Retry ``work`` until the database is up: it often starts together with the servers. Each retry is logged."""

    def log_retry(state: RetryCallState) -> None:
        reason = state.outcome and str(state.outcome.exception())
        log.warning(
            "catalog.waiting", reason=reason, waited=round(state.seconds_since_start or 0, 1), timeout=timeout
        )

    retrying = Retrying(
        retry=retry_if_exception_type(CatalogUnavailable),
        stop=stop_after_delay(timeout),
        wait=wait_fixed(_RETRY_SECONDS),
        before_sleep=log_retry,
        reraise=True,
    )
    retrying(work)


def _stores(database: CatalogDatabase, encryptor: Encryptor) -> Catalog:
    collections = CollectionRepository(database)
    outbox = WebhookOutbox(database)
    return Catalog(
        database=database,
        orgs=OrgRepository(database),
        quotas=QuotaRepository(database),
        accounts=AccountRepository(database),
        sessions=SessionRepository(database),
        failed_logins=FailedLogins(database, encryptor),
        audit=AuditRepository(database),
        clusters=ClusterRepository(database),
        databases=DatabaseRepository(database),
        collections=collections,
        aliases=AliasRepository(database),
        added_fields=AddedFieldRepository(database),
        descriptions=DescriptionRepository(database),
        jobs=JobRepository(database, encryptor, outbox),
        job_list=JobList(database),
        reversals=ReversalRepository(database, outbox),
        staged_files=StagedFileRepository(database),
        leases=JobLeases(database, collections, outbox),
        maintenance=MaintenanceLeases(database),
        retention=RetentionRepository(database),
        row_expiry=RowExpiryRepository(database),
        exports=ExportRepository(database, encryptor),
        loaded_files=LoadedFileRepository(database),
        webhooks=WebhookRepository(database, encryptor, outbox),
        uploads=UploadRepository(database),
    )
