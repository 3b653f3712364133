"""What a database says when it can't serve, in words of the catalog: transient or not, and never with a secret."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from penstock.errors import StoreError, StoreFull, StoreUnavailable

__all__ = ["CatalogUnavailable", "translate"]


class CatalogUnavailable(StoreUnavailable):
    """The catalog can't be reached, or is too busy, at present. Nothing was written."""

    code = "catalog_unavailable"


# https://www.sqlite.org/rescode.html; extended codes begin with the name of their primary one.
_SQLITE_AWAY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
_SQLITE_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")  # the latter: its shared memory, when it is opened
_SQLITE_BROKEN = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL_AWAY = (
    "08",  # connection exceptions
    "25006",  # a standby: it takes no writes
    "40",  # deadlocks and serialisation failures
    "53200",  # out of memory
    "53300",  # too many connections
    "55P03",  # waited too long for a lock
    "57",  # shut down, starting up, cancelled by a time limit
)
_POSTGRESQL_FULL = "53100"
_POSTGRESQL_FOREIGN = ("42501", "42P01", "42703", "3F000")  # no right, or not our tables


def translate(error: SQLAlchemyError, where: str) -> Exception:
    """The error to raise instead; violated constraints, and what is a mistake of ours, stay what they are.

    Args:
        where: names the database without its password.
    """
    if isinstance(error, PoolTimeout):
        return CatalogUnavailable(
            f"the catalog {where} is busy: no connection to it became free in time. Try again, "
            "or raise --catalog-connections",
            catalog=where,
        )
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
        return error
    said = " ".join(str(error.orig).split())
    sqlite = str(getattr(error.orig, "sqlite_errorname", ""))
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if sqlite in _SQLITE_FULL or state == _POSTGRESQL_FULL:
        return StoreFull(
            f"No space is left for the catalog {where}. Free space on its disk, then try again; "
            f"nothing was written. ({said})",
            catalog=where,
        )
    lost = error.connection_invalidated or (not sqlite and not state and isinstance(error, OperationalError))
    if lost or sqlite.startswith(_SQLITE_AWAY) or state.startswith(_POSTGRESQL_AWAY):
        return CatalogUnavailable(f"the catalog {where} can't be used at present: {said}", catalog=where)
    if sqlite.startswith(_SQLITE_BROKEN):
        return StoreError(
            f"the catalog {where} is damaged or no catalog: {said}. Restore it from a backup", catalog=where
        )
    if state in _POSTGRESQL_FOREIGN or (sqlite and said.startswith("no such table")):
        return StoreError(
            f"the catalog {where} doesn't have the tables of this version, or they are out of reach: {said}",
            catalog=where,
        )
    return error
