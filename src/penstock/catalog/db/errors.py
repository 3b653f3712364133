"""Translate database errors to the catalog's errors: transient or not, and never with a secret."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from penstock.errors import CatalogError, CatalogFull, CatalogUnavailable

# https://www.sqlite.org/rescode.html; the names of extended codes begin with that of their primary code.
_SQLITE_UNAVAILABLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
_SQLITE_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")  # the latter: no space for its shared memory, on opening
_SQLITE_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL_UNAVAILABLE = (
    "08",  # connection exceptions
    "25006",  # a standby, which is read-only
    "40",  # deadlocks and serialisation failures
    "53200",  # out of memory
    "53300",  # too many connections
    "55P03",  # waited too long for a lock
    "57",  # shutting down, starting up, cancelled by a timeout
)
_POSTGRESQL_FULL = "53100"
_POSTGRESQL_FOREIGN = ("42501", "42P01", "42703", "3F000")  # no privilege, or not Penstock's tables


def translate(error: SQLAlchemyError, where: str) -> Exception:
    """Return the error to raise instead; violated constraints and programming errors are returned unchanged.

    Args:
        where: the database's URL without secrets.
    """
    if isinstance(error, PoolTimeout):
        return CatalogUnavailable(
            f"the catalog {where} is busy: no connection became free in time. Try again, "
            "or raise --catalog-connections",
            catalog=where,
        )
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
        return error
    message = " ".join(str(error.orig).split())
    sqlite = str(getattr(error.orig, "sqlite_errorname", ""))
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if sqlite in _SQLITE_FULL or state == _POSTGRESQL_FULL:
        return CatalogFull(
            f"No space is left for the catalog {where}. Free space on its disk, then try again; "
            f"nothing was written. ({message})",
            catalog=where,
        )
    disconnected = error.connection_invalidated or (not sqlite and not state and isinstance(error, OperationalError))
    if disconnected or sqlite.startswith(_SQLITE_UNAVAILABLE) or state.startswith(_POSTGRESQL_UNAVAILABLE):
        return CatalogUnavailable(f"the catalog {where} is unavailable: {message}", catalog=where)
    if sqlite.startswith(_SQLITE_DAMAGED):
        return CatalogError(
            f"the catalog {where} is damaged or not a catalog: {message}. Restore it from a backup", catalog=where
        )
    if state in _POSTGRESQL_FOREIGN or (sqlite and message.startswith("no such table")):
        return CatalogError(
            f"the catalog {where} lacks the tables of this version, or they are inaccessible: {message}",
            catalog=where,
        )
    return error
