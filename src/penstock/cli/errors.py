"""Error messages of failed commands: what happened, and what to do next."""

from __future__ import annotations

import errno
import os

import click

from penstock.domain.control_characters import escape_controls
from penstock.errors import PenstockError
from penstock.sdk.errors import AccessDenied, AnswerTimeout, ConnectionFailed, ImportCallError, NotFound, SdkError

FAILED = 1
UNFINISHED = 3
INTERRUPTED = 130

_JOB_UNKNOWN = frozenset({2101, 21119, 90144})
COLLECTION_UNKNOWN = frozenset({100, 80020, 90102})
DATABASE_UNKNOWN = frozenset({800})
PARTITION_UNKNOWN = frozenset({200})
_INDEX_UNKNOWN = frozenset({700})
_NOT_LOADED = 101
_BUSY_STATUS = frozenset({408, 429, 502, 503, 504})


class Failure(click.ClickException):
    """The command failed; its message goes to the standard error after ``Error:``, and the exit code is 1."""

    exit_code = FAILED

    def format_message(self) -> str:
        return escape_controls(super().format_message())


def explain(error: Exception) -> str | None:
    """Return the message of an error; None for one that isn't meant for users."""
    if isinstance(error, ImportCallError):
        hint = _next_step(error)
        return f"{error}\n{hint}" if hint else str(error)
    if isinstance(error, SdkError | PenstockError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None and error.errno != errno.EPIPE:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return None


def _next_step(error: ImportCallError) -> str:
    if isinstance(error, AnswerTimeout) or error.http_status in _BUSY_STATUS:
        return "The server is busy. Try the same command again later; after an import, look first: penstock jobs list"
    if isinstance(error, ConnectionFailed) and error.url.startswith("https:"):
        return "For a server without TLS, use http:// in the address: --url http://HOST:PORT"
    if isinstance(error, ConnectionFailed):
        return (
            "Is the server running? Start it with: penstock serve --data-dir ./data --import-root ./files\n"
            "If it listens elsewhere, set its address with --url, PENSTOCK_URL or --profile."
        )
    if isinstance(error, AccessDenied):
        return "Set a key with this permission in the environment variable PENSTOCK_API_KEY, or in a profile."
    if isinstance(error, NotFound):
        return _where_to_look(error.code)
    if error.code == _NOT_LOADED:
        return "Load it: penstock collections load NAME"
    return ""


def _where_to_look(code: int | None) -> str:
    if code in _JOB_UNKNOWN:
        return "List the jobs: penstock jobs list"
    if code in COLLECTION_UNKNOWN:
        return (
            "List the collections: penstock collections list; create one from your files: "
            "penstock import FILES --collection NAME --create"
        )
    if code in DATABASE_UNKNOWN:
        return "List the databases: penstock databases list"
    if code in _INDEX_UNKNOWN:
        return (
            "List the indexes: penstock indexes list COLLECTION; create one: penstock indexes create COLLECTION FIELD"
        )
    if code in PARTITION_UNKNOWN:
        return "List the partitions: penstock partitions list COLLECTION"
    return ""
