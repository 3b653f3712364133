"""Translate Lance's exceptions into Penstock's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import (
    PenstockError,
    StorageConflict,
    StorageError,
    StorageFull,
    StorageUnavailable,
    TableDamaged,
)

_SOURCE_PLACE = re.compile(r",? ?/\S+\.rs:\d+(:\d+)?")
_PUBLIC = re.compile(r"(?i)region|endpoint|allow_http|virtual|timeout|addressing|bucket")

_MISSING = re.compile(
    r"(?i)(?:not found: |location )\S*?(([^\s/]+)\.lance/(?:data|_deletions|_indices|_versions)/[^\s,:]+)"
)
"""A table's file in the messages of local disks and object stores that it is missing."""

_UNEXPLAINED = "The engine failed while"

_FULL = ("no space left on device", "os error 28", "disk quota exceeded", "os error 122")
_CONFLICT = ("commit conflict", "incompatible transaction", "too many concurrent writers")
_UNAVAILABLE = (
    "connection refused",
    "connection reset",
    "http error:",  # of the object store's client: no answer, or one that was cut off
    "timed out",
    "timeout",
    "dns error",
    "503 service unavailable",
    "500 internal server error",
    "502 bad gateway",
    "504 gateway",
    "slowdown",
    "too many requests",
)
_FORBIDDEN = (
    "permission denied",
    "os error 13",
    "read-only file system",
    "os error 30",
    "403 forbidden",
    "accessdenied",
)


def translate(error: BaseException, doing: str, options: Mapping[str, str]) -> StorageError:
    """Translate ``error``, which was raised while ``doing`` (“reading table x”).

    Messages carry no value of ``options`` but the harmless ones (region, endpoint …): the rest may be secrets.
    """
    text = _SOURCE_PLACE.sub("", str(error).partition("\n\nDebug source:")[0]).strip()
    for key, value in options.items():
        if len(value) > 3 and not _PUBLIC.search(key):
            text = text.replace(value, "***")
    lower = text.lower()
    if any(sign in lower for sign in _FULL):
        return StorageFull(f"No space is left while {doing}. Free space on the store's disk, then retry. ({text})")
    if any(sign in lower for sign in _CONFLICT):
        return StorageConflict(f"Another process changed the table while {doing}. Try again. ({text})")
    if any(sign in lower for sign in _FORBIDDEN):
        return StorageError(f"The store denies access while {doing}. Check its permissions. ({text})")
    if isinstance(error, TimeoutError | ConnectionError) or any(sign in lower for sign in _UNAVAILABLE):
        return StorageUnavailable(f"The store cannot be reached while {doing}. Try again. ({text})")
    if (missing := _MISSING.search(text)) is not None:
        name, table = missing.groups()
        return TableDamaged(
            f"The table {table} is damaged: its file {name.partition('/')[2]} is missing, found while {doing}. "
            f"Restore it from a backup, or drop the collection. ({text})",
            table=table,
            file=name.partition("/")[2],
        )
    return StorageError(f"{_UNEXPLAINED} {doing}: {text}")


def is_unexplained(error: StorageError) -> bool:
    """Whether the engine failed for none of the reasons that :func:`translate` knows."""
    return type(error) is StorageError and str(error).startswith(_UNEXPLAINED)


@contextmanager
def translating_errors(doing: str, options: Mapping[str, str]) -> Iterator[None]:
    """Translate errors of Lance, Arrow or the disk into a :class:`StorageError`; Penstock's own errors pass."""
    try:
        yield
    except (PenstockError, DeadlineExceeded):
        raise
    except Exception as error:
        raise translate(error, doing, options) from error
    except BaseException as error:
        # A panic of the Rust side does not derive from Exception.
        if type(error).__name__ == "PanicException":
            raise translate(error, doing, options) from error
        raise
