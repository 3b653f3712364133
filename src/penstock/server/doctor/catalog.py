"""Check the catalog, its jobs, and the tables of the store that it refers to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from penstock.catalog.db import diagnostics
from penstock.catalog.db.connection import CatalogDatabase
from penstock.catalog.db.diagnostics import WaitingJob
from penstock.catalog.db.encryption import Encryptor
from penstock.errors import CatalogError, InvalidParameter, PenstockError
from penstock.server.doctor.result import CheckResult, fail, ok, warn
from penstock.server.doctor.store import check_store
from penstock.server.doctor.tenants import check_tenants
from penstock.server.engine_factory import engine_of
from penstock.server.lost_catalog import orphaned_tables
from penstock.server.process.data_dir import lock_owner
from penstock.server.storage_settings import catalog_url, encryption_key, key_file
from penstock.settings import Settings

_ABANDONED_SECONDS = 60.0
_UNCOMMITTED_SECONDS = 7 * 24 * 3600.0
_SKEW = timedelta(seconds=5)
_SHOWN_JOBS = 5
_RESTORE = "Restore the catalog from a backup, or create one from the tables with 'penstock doctor --adopt'"


def check_catalog(settings: Settings) -> Iterator[CheckResult]:
    database = CatalogDatabase(catalog_url(settings))
    catalog_name = database.url.render_as_string(hide_password=True)
    with closing(database):
        if database.url.get_backend_name() == "sqlite" and not Path(database.url.database or "").is_file():
            yield _absent(settings, catalog_name)
            return
        try:
            revision = diagnostics.revision_of(database)
        except (SQLAlchemyError, PenstockError) as error:
            reason = str(error).partition("\n")[0]
            yield fail(
                "catalog",
                f"{catalog_name} cannot be opened: {reason}",
                "Check its file or address, and its permissions",
            )
            return
        if not revision.known:
            yield fail(
                "catalog",
                f"{catalog_name} is at revision {revision.found}, which is unknown to this version of Penstock",
                "Use the newer version of Penstock that wrote it. Nothing else in it was checked",
            )
        elif revision.found is None:
            yield _absent(settings, catalog_name)
        elif revision.found != revision.head:
            yield warn(
                "catalog",
                f"{catalog_name} is at revision {revision.found}, this program's is {revision.head}",
                "Start a server of this version; it migrates the catalog. Nothing else in it was checked",
            )
        else:
            yield ok("catalog", f"{catalog_name} at revision {revision.found}")
            yield from _check_content(settings, database)


def _absent(settings: Settings, catalog_name: str) -> CheckResult:
    if orphaned_tables(engine_of(settings), ()):
        return fail(
            "catalog", f"{catalog_name} does not exist, but tables do", f"{_RESTORE}. Until then no server starts"
        )
    return warn(
        "catalog",
        f"{catalog_name} does not exist, or is empty",
        "Nothing was stored yet; the first start of the server creates it",
    )


def _check_content(settings: Settings, database: CatalogDatabase) -> Iterator[CheckResult]:
    problems = diagnostics.problems_of(database)
    if problems:
        remedy = "Stop the server, keep a copy of the folder, and restore the catalog from a backup"
        yield fail("integrity", "; ".join(problems), remedy)
        return
    yield ok("integrity", "the catalog is intact, and its counters agree with its jobs")
    yield from _check_credentials(settings, database)
    yield from _check_times(database)
    yield from _check_jobs(settings, database)
    yield from check_tenants(database)
    yield from check_store(settings, database)


def _check_credentials(settings: Settings, database: CatalogDatabase) -> Iterator[CheckResult]:
    path = key_file(settings)
    encrypted = diagnostics.sealed_secrets(database)
    if not encrypted or (settings.encryption_key is None and not path.exists()):
        return
    try:
        encryptor = Encryptor(encryption_key(settings))
        for secret in encrypted:
            encryptor.decrypt(secret)
    except (CatalogError, InvalidParameter):
        yield fail(
            "credentials",
            "the credentials of unfinished jobs were encrypted with another key",
            f"Restore the right {path.name}, or abort those jobs and create them again",
        )
    else:
        yield ok("credentials", "the credentials of unfinished jobs can be decrypted")


def _check_times(database: CatalogDatabase) -> Iterator[CheckResult]:
    now = datetime.now(UTC)
    newest, database_now = diagnostics.newest_job(database), diagnostics.database_time(database)
    if newest is not None and newest > now + _SKEW:
        yield warn(
            "clock",
            f"the newest job is of {newest:%Y-%m-%d %H:%M:%S} UTC, in the future",
            "Synchronise the clocks of all servers with NTP; leases depend on them",
        )
    if database_now is not None and abs(database_now - now) > _SKEW:
        apart = abs((database_now - now).total_seconds())
        yield warn(
            "clock",
            f"the database's clock differs from this one by {apart:.0f} s",
            "Synchronise both with NTP; leases depend on them",
        )


def _check_jobs(settings: Settings, database: CatalogDatabase) -> Iterator[CheckResult]:
    abandoned = diagnostics.abandoned_jobs(database, _ABANDONED_SECONDS)
    is_running = settings.catalog_url is not None or lock_owner(settings.data_dir) is not None
    if abandoned:
        remedy = "Restart the server and check its log" if is_running else "Start the server; it resumes them"
        yield warn("jobs", f"no process works on {_job_names(abandoned)}, whose lease has expired", remedy)
    waiting = diagnostics.uncommitted_jobs(database, _UNCOMMITTED_SECONDS)
    if waiting:
        remedy = "penstock jobs commit ID, or penstock jobs abort ID; their staged files use disk space"
        yield warn("jobs", f"these have waited for their commit for more than a week: {_job_names(waiting)}", remedy)
    if not abandoned and not waiting:
        yield ok("jobs", "no job is stuck")
    jobs, size = diagnostics.jobs_with_staged_files(database)
    if jobs:
        yield ok(
            "staged files",
            f"{jobs:,} failed jobs keep {size:,} staged bytes for a retry; they are deleted automatically",
        )


def _job_names(jobs: Sequence[WaitingJob]) -> str:
    names = ", ".join(f"{job.id} ({job.state}, since {job.since:%Y-%m-%d %H:%M})" for job in jobs[:_SHOWN_JOBS])
    rest = len(jobs) - _SHOWN_JOBS
    return names if rest <= 0 else f"{names} and {rest:,} more"
