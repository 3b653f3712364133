"""The error tree of Penstock.

::

    PenstockError
    ├── InvalidParameter            a value in a request is wrong
    │   ├── MissingParameter        a required value is absent
    │   ├── InvalidName             a collection, field, partition or database name breaks the naming rules
    │   ├── InvalidSchema           a collection schema breaks a rule
    │   ├── InvalidFilter           a filter expression can't be parsed or served
    │   ├── UploadCorrupt           the bytes sent do not have the announced checksum
    │   └── Unsupported             well-formed, but not offered by this server
    │       └── MissingExtra        an optional part that is not installed
    ├── NotFound
    │   ├── ClusterNotFound, DatabaseNotFound, CollectionNotFound, PartitionNotFound
    │   ├── FieldNotFound, IndexNotFound, AliasNotFound
    │   └── JobNotFound, AccountNotFound, OrgNotFound, WebhookNotFound, UploadNotFound
    ├── Conflict                    the current state forbids it
    │   ├── CollectionExists, DatabaseExists, DatabaseNotEmpty, IndexExists, AccountExists
    │   ├── AliasExists, AliasNameConflict
    │   ├── ClusterExists, ClusterNotEmpty
    │   ├── CollectionNotLoaded, CollectionLoaded
    │   ├── TargetNotEmpty          an export never changes files
    │   ├── JobStateConflict        commit, abort, retry or revert in a state that forbids it
    │   │   └── RevertImpossible    what a completed job replaced can't come back, or a later job stands
    │   └── UploadConflict          another offset than sent, or another call is writing
    ├── AccessDenied
    │   ├── Unauthenticated         no credentials, or wrong ones
    │   ├── TooManyAttempts         (transient) too many wrong credentials from one address or for one user
    │   └── PermissionDenied        the caller lacks the role for it
    ├── ImportRefused               a create request that can never become a job
    │   └── LimitExceeded           a limit of the server, by name
    │       └── QuotaExceeded       (transient) a limit of the caller's org; says when to retry
    ├── SourceError                 a file can't be read
    │   ├── PathNotAllowed          outside every import root, or a form that is never opened
    │   ├── FileMissing             looked for in every place that the message names
    │   ├── FileUnreadable          there, but can't be opened
    │   └── SourceUnavailable       (transient) the object store or network fails
    ├── DataError                   the content of a file is wrong: file, row, field, value, remedy
    ├── CatalogError                the database of jobs and schemas fails
    │   ├── CatalogFull             no space left
    │   └── CatalogUnavailable      (transient) it can't be reached, or is too busy; nothing was written
    ├── StorageError                  the engine or its store fails
    │   ├── StorageFull               no space left
    │   ├── TableDamaged            a table lacks a file, or no version of it can be opened
    │   ├── StorageConflict           (transient) a concurrent publish came first
    │   └── StorageUnavailable        (transient) the store can't be reached
    ├── JobWithdrawn                a job whose commit intent was withdrawn
    ├── LeaseLost                   a write to a job that another process works on, or that has ended
    ├── WorkerLost                  (transient) a worker process died during a split
    ├── MemoryExceeded              a file takes more memory than a worker may have
    ├── TaskCancelled               a split was cancelled
    └── DataFolderInUse             another server holds the data folder

The type says whether to retry: with the :class:`Transient` mix-in the same call may succeed later, everything else
is terminal. ``code`` is stable and documented in ``docs/errors.md``; wire dialects translate it into
their own numbers by tables. Every error keeps its arguments in ``details`` and survives pickling (errors cross
process boundaries).
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

MAX_MESSAGE = 4000
_MESSAGE_TAIL = 600


class PenstockError(Exception):
    """Base of all errors that Penstock raises on purpose.

    ``message`` is one or two whole sentences for users; ``details`` holds its facts by name. Names and values
    come from callers and files and may be megabytes long: a message longer than :data:`MAX_MESSAGE` characters loses
    its middle.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(_within_limit(message))
        self.details = details

    @cached_property
    def message(self) -> str:
        text: str = self.args[0]
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)

    def __str__(self) -> str:
        return self.message


def _within_limit(message: str) -> str:
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[: MAX_MESSAGE - _MESSAGE_TAIL - 1]}…{message[-_MESSAGE_TAIL:]}"


def _rebuild(kind: type[PenstockError], message: str, details: dict[str, Any]) -> PenstockError:
    error = kind.__new__(kind)
    PenstockError.__init__(error, message, **details)
    return error


class Transient:
    """Mix-in: the same call may succeed later."""


class InvalidParameter(PenstockError):
    code = "invalid_parameter"


class MissingParameter(InvalidParameter):
    code = "missing_parameter"


class InvalidName(InvalidParameter):
    code = "invalid_name"


class InvalidSchema(InvalidParameter):
    code = "invalid_schema"


class InvalidFilter(InvalidParameter):
    code = "invalid_filter"


class Unsupported(InvalidParameter):
    code = "unsupported"


class MissingExtra(Unsupported, ImportError):
    """Also an ImportError, since ``import penstock.server`` raises it."""

    code = "missing_extra"


class UploadCorrupt(InvalidParameter):
    """``details``: ``upload``, ``expected``, ``actual``."""

    code = "upload_corrupt"


class NotFound(PenstockError):
    code = "not_found"


class ClusterNotFound(NotFound):
    code = "cluster_not_found"


class DatabaseNotFound(NotFound):
    code = "database_not_found"


class CollectionNotFound(NotFound):
    code = "collection_not_found"


class PartitionNotFound(NotFound):
    code = "partition_not_found"


class FieldNotFound(NotFound):
    code = "field_not_found"


class IndexNotFound(NotFound):
    code = "index_not_found"


class AliasNotFound(NotFound):
    """``details``: ``database``, ``alias``."""

    code = "alias_not_found"


class JobNotFound(NotFound):
    code = "job_not_found"


class AccountNotFound(NotFound):
    """No key or user has that id or name."""

    code = "account_not_found"


class WebhookNotFound(NotFound):
    code = "webhook_not_found"


class OrgNotFound(NotFound):
    """No org has that id or name."""

    code = "org_not_found"


class UploadNotFound(NotFound):
    """There is no such upload in the caller's org, or not any more. ``details``: ``upload``."""

    code = "upload_not_found"


class Conflict(PenstockError):
    code = "conflict"


class CollectionExists(Conflict):
    code = "collection_exists"


class DatabaseExists(Conflict):
    code = "database_exists"


class DatabaseNotEmpty(Conflict):
    code = "database_not_empty"


class IndexExists(Conflict):
    code = "index_exists"


class AliasExists(Conflict):
    """The name is an alias of another collection. ``details``: ``database``, ``alias``, ``collection``."""

    code = "alias_exists"


class AliasNameConflict(Conflict):
    """A collection and an alias of one database would have the same name. ``details``: ``database``, ``alias``."""

    code = "alias_name_conflict"


class AccountExists(Conflict):
    """A user of that name exists already."""

    code = "account_exists"


class ClusterExists(Conflict):
    """A cluster of that id exists already."""

    code = "cluster_exists"


class ClusterNotEmpty(Conflict):
    """The cluster still holds collections, or files of dropped ones."""

    code = "cluster_not_empty"


class CollectionLoaded(Conflict):
    """The property can be changed only while the collection is released. ``details``: ``collection``."""

    code = "collection_loaded"


class CollectionNotLoaded(Conflict):
    code = "collection_not_loaded"


class JobStateConflict(Conflict):
    code = "job_state_conflict"


class RevertImpossible(JobStateConflict):
    """A completed job can no longer be reverted. ``details``: ``job_id``."""

    code = "revert_impossible"


class UploadConflict(Conflict):
    """``details``: ``upload``, and ``offset``, the bytes received so far, unless another call is writing."""

    code = "upload_conflict"


class TargetNotEmpty(Conflict):
    """The folder of an export has files."""

    code = "target_not_empty"


class AccessDenied(PenstockError):
    code = "access_denied"


class Unauthenticated(AccessDenied):
    """``details``: ``kind`` of the error: credentials are ``absent``, ``illegal`` (malformed) or ``unknown``."""

    code = "unauthenticated"


class TooManyAttempts(AccessDenied, Transient):
    """``details``: ``seconds`` until a retry makes sense."""

    code = "too_many_attempts"


class PermissionDenied(AccessDenied):
    """``details``: ``caller``, ``role``, ``cluster_id``, ``database`` (None for a whole cluster)."""

    code = "permission_denied"


class ImportRefused(PenstockError):
    code = "import_refused"


class LimitExceeded(ImportRefused):
    code = "limit_exceeded"


class QuotaExceeded(LimitExceeded, Transient):
    """``details``: ``limit``, ``value``, ``present``, and ``seconds`` until a retry makes sense, if known."""

    code = "quota_exceeded"


class SourceError(PenstockError):
    code = "source_error"


class PathNotAllowed(SourceError):
    code = "path_not_allowed"


class FileMissing(SourceError):
    code = "file_missing"


class FileUnreadable(SourceError):
    code = "file_unreadable"


class SourceUnavailable(SourceError, Transient):
    code = "source_unavailable"


MAX_VALUE = 80
"""Maximum characters of a value in a DataError."""
_NAME = 300
"""Maximum characters of a name in a message: valid ones have at most 255."""
_LIMITS = {"rule": 1000, "field": _NAME, "value": MAX_VALUE, "remedy": 1000}
"""Maximum characters in a DataError's facts."""


class DataError(PenstockError):
    """The content of a file breaks a rule.

    Args:
        rule: what is wrong, e.g. ``"the vector has 127 dimensions, the field has 128"``.
        file: the file as the user named it.
        row: zero-based row within the file (while a file range is read: within the range; staging adds the rows
            before it).
        field: the schema field or the column of the file.
        value: the offending value, shortened.
        offset: byte offset in the file, for formats that have one.
        remedy: what to do about it.
        rule_id: the rule's name in ``penstock.rules.table``, or one of a reader's own; stable, unlike ``rule``.

    The message is built from these; each is an attribute too. For callers that skip bad rows: ``violations`` computes
    the errors of all rows that break the same rule, where the check reports them (``penstock.rules.violations``), and
    ``is_of_column`` says that the column as a whole breaks it, such as by its type, so that no row of it can be kept.
    ``violations`` is lost in pickling.
    """

    code = "data_error"

    rule: str
    file: str | None
    row: int | None
    field: str | None
    value: str | None
    offset: int | None
    remedy: str | None
    rule_id: str
    is_of_column: bool
    violations: Callable[[], Any] | None

    def __init__(
        self,
        rule: str,
        *,
        file: str | None = None,
        row: int | None = None,
        field: str | None = None,
        value: object = None,
        offset: int | None = None,
        remedy: str | None = None,
        rule_id: str = "data_error",
        is_of_column: bool = False,
        violations: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(rule)
        self._set(
            rule=rule,
            file=file,
            row=row,
            field=field,
            value=value,
            offset=offset,
            remedy=remedy,
            rule_id=rule_id,
            is_of_column=is_of_column,
            violations=violations,
        )

    def _set(self, **facts: Any) -> None:
        """Set facts. Texts of files may be of any length, and are shortened."""
        for name, value in facts.items():
            limit = _LIMITS.get(name)
            setattr(self, name, value if limit is None or value is None else shorten(value, limit))

    @cached_property
    def message(self) -> str:
        # Made when it is shown: a rejected row has several errors on its way, each with more facts.
        places = [
            None if self.file is None else f"file {self.file!r}",
            None if self.row is None else f"row {self.row}",
            None if self.offset is None else f"byte {self.offset}",
            None if self.field is None else f"field {self.field!r}",
        ]
        where = ", ".join(place for place in places if place)
        message = f"{where}: {self.rule}" if where else self.rule
        if self.value is not None:
            message += f"; value: {self.value}"
        if self.remedy:
            message += f". {self.remedy}"
        return _within_limit(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_data_error, (self.rule, self._facts())

    def _facts(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "row": self.row,
            "field": self.field,
            "value": self.value,
            "offset": self.offset,
            "remedy": self.remedy,
            "rule_id": self.rule_id,
            "is_of_column": self.is_of_column,
        }

    def at(self, **changes: Any) -> DataError:
        """Return a copy with some facts filled in or replaced, e.g. ``error.at(file="a.csv", row=12)``.

        ``violations`` stays, likewise changed, unless the row changes, which is then one of another count.
        """
        violations = self.violations
        if violations is not None and "violations" not in changes:
            facts = dict(changes)
            changed = None if "row" in facts else lambda: violations().changed(lambda error: error.at(**facts))
            changes["violations"] = changed
        error = DataError.__new__(DataError, self.rule)
        error.__dict__.update(self.__dict__)
        error.__dict__.pop("message", None)
        error._set(**changes)
        return error


def _rebuild_data_error(rule: str, facts: dict[str, Any]) -> DataError:
    return DataError(rule, **facts)


_brief = reprlib.Repr()
_brief.maxlevel = 6
_brief.maxlist = _brief.maxtuple = _brief.maxdict = _brief.maxset = _brief.maxfrozenset = 100
_brief.maxstring = _brief.maxother = _brief.maxlong = 1000


def shorten(value: object, limit: int = MAX_VALUE) -> str:
    """Format a value in at most ``limit`` characters, for messages, without traversing all of a deep or long one."""
    text = value if isinstance(value, str) else _brief.repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shorten_name(name: object) -> str:
    """Format a name that a caller has given, for messages; valid ones are left whole."""
    return shorten(name, _NAME)


def facts_of(error: BaseException) -> dict[str, Any]:
    """The facts of an error of a file as JSON: rule, message, and of a DataError where and what."""
    facts: dict[str, Any] = {
        "rule": error.code if isinstance(error, PenstockError) else "internal",
        "message": str(error)[:MAX_MESSAGE],
    }
    if isinstance(error, DataError):
        facts |= {
            "rule": error.rule_id,
            # The place and the value are facts of their own.
            "message": str(error.at(file=None, row=None, offset=None, field=None, value=None))[:MAX_MESSAGE],
            "field": error.field,
            "row": error.row,
            "offset": error.offset,
            "value": error.value,
        }
    return facts


class CatalogError(PenstockError):
    """The catalog's database is damaged, of another version, or can't be decrypted."""

    code = "catalog_error"


class CatalogFull(CatalogError):
    code = "catalog_full"


class CatalogUnavailable(CatalogError, Transient):
    """The catalog can't be reached or is too busy. Nothing was written, unless it was lost during the commit."""

    code = "catalog_unavailable"


class StorageError(PenstockError):
    code = "storage_error"


class StorageFull(StorageError):
    code = "storage_full"


class TableDamaged(StorageError):
    """A table lacks a file that it names, or no version of it can be opened. ``details``: ``table``, ``file``."""

    code = "table_damaged"


class JobWithdrawn(PenstockError):
    """The job's commit intent was withdrawn, as its table records: its rows will not be published."""

    code = "job_withdrawn"


class LeaseLost(PenstockError):
    """Another process has taken the job over, or it has ended; the worker's write was discarded."""

    code = "lease_lost"


class StorageConflict(StorageError, Transient):
    code = "storage_conflict"


class StorageUnavailable(StorageError, Transient):
    code = "storage_unavailable"


class WorkerLost(PenstockError, Transient):
    code = "worker_lost"


class MemoryExceeded(PenstockError):
    code = "memory_exceeded"


class TaskCancelled(PenstockError):
    code = "task_cancelled"


class DataFolderInUse(PenstockError):
    code = "data_folder_in_use"
