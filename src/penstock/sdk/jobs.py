"""Import jobs of the client: frozen values parsed from servers' answers.

Answers differ: ``list`` gives less than ``describe``, Milvus less than Penstock. Missing values are None (or empty),
never invented.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.domain.jobs import JobWarning

__all__ = [
    "ErrorGroup",
    "ImportJob",
    "ImportedFile",
    "JobWarning",
    "Reason",
    "RowError",
    "error_from_wire",
    "file_from_wire",
    "group_from_wire",
    "job_from_wire",
]

_FINISHED = frozenset({"Completed", "Failed", "Aborted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFile:
    """One file (or NumPy set) of a job. ``size`` is in bytes, ``progress`` 0 to 100."""

    name: str
    size: int | None = None
    state: str = ""
    progress: int = 0
    rows: int | None = None
    total_rows: int | None = None
    completed_at: datetime | None = None
    reason: str | None = None
    rejected_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a row was rejected: field (None for the whole row), name of the rule, value (cut), and a sentence."""

    field: str | None
    rule: str
    value: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """A rejected row of a job, or a file that failed or was left out as a whole.

    Attributes:
        row: counted from 0 in the file; None where that isn't known.
        offset: the byte where the row begins, in files of text.
        key: its primary key, as text.
        source: the row as JSON, or as its text.
    """

    file: str | None
    row: int | None = None
    offset: int | None = None
    key: str | None = None
    whole_file: bool = False
    reasons: tuple[Reason, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """The errors of one rule, field and file: how many rows, and the first ones."""

    rule: str
    field: str | None
    file: str | None
    rows: int
    examples: tuple[RowError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """An import job.

    Attributes:
        state: ``Pending``, ``Importing``, ``Uncommitted``, ``Committing``, ``Completed``, ``Failed``, or another
            state of the server.
        stage: the server's step within the state, if given.
        progress: 0 to 100.
        reason: why it failed.
        rows, total_rows: rows read so far while the job runs, and all of them; 0 once it has failed.
        size: bytes of all files.
        verification: the result of the option ``verify``: ``ok``, ``problems``, ``readRows``, ``countedRows``,
            ``files`` and ``searches``, as docs/loaded-files.md describes them.
        rejected_rows, skipped_files: what was left out, by the option ``on_error``.
        replay_of: the id of the job whose rejected rows or files it imports.
        dry_run: whether the job only checks its files.
        report: what a dry run has found, as docs/checking-files.md describes it; None unless it has completed.
        replaced_rows: rows that went for those of an upsert or overwrite; None for other jobs and servers.
        revert: ``Reverting`` or ``Reverted``, of a job that was reverted; its state is ``Failed`` in the end.
        restored_rows: replaced rows that came back when it was reverted.
        raw: the server's own answer.
    """

    id: str
    collection: str
    state: str
    progress: int = 0
    stage: str | None = None
    reason: str | None = None
    rows: int | None = None
    total_rows: int | None = None
    size: int | None = None
    replaced_rows: int | None = None
    revert: str | None = None
    restored_rows: int | None = None
    files: tuple[ImportedFile, ...] = ()
    warnings: tuple[JobWarning, ...] = ()
    verification: Mapping[str, Any] | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    rejected_rows: int = 0
    skipped_files: int = 0
    replay_of: str | None = None
    dry_run: bool = False
    report: Mapping[str, Any] | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self.state in _FINISHED

    @property
    def has_succeeded(self) -> bool:
        return self.state == "Completed"

    @property
    def duration(self) -> timedelta | None:
        """From create to the end; until now while it runs. None if the server doesn't say when it began or ended."""
        end = self.completed_at if self.is_finished else datetime.now(UTC)
        return None if self.created_at is None or end is None else max(timedelta(), end - self.created_at)


def job_from_wire(data: Mapping[str, Any]) -> ImportJob:
    """Parse a job from a row of ``list`` or the ``data`` of ``describe``.

    Raises:
        KeyError, TypeError, ValueError: it lacks ``jobId`` or ``state``, or a value is invalid.
    """
    return ImportJob(
        id=str(data["jobId"]),
        collection=str(data.get("collectionName") or ""),
        state=str(data["state"]),
        progress=int(data.get("progress") or 0),
        stage=data.get("stage") or None,
        reason=data.get("reason") or None,
        rows=_number(data, "importedRows"),
        total_rows=_number(data, "totalRows"),
        size=_number(data, "fileSize"),
        replaced_rows=_number(data, "replacedRows"),
        revert=data.get("revert") or None,
        restored_rows=_number(data, "restoredRows"),
        files=tuple(file_from_wire(item) for item in data.get("details") or ()),
        warnings=tuple(_warnings(data.get("warnings") or ())),
        verification=data.get("verification"),
        created_at=_moment(data, "createTime"),
        completed_at=_moment(data, "completeTime"),
        rejected_rows=_number(data, "rejectedRows") or 0,
        skipped_files=_number(data, "skippedFiles") or 0,
        replay_of=data.get("replayOf") or None,
        dry_run=data.get("dryRun") is True,
        report=data.get("report"),
        raw=data,
    )


def file_from_wire(data: Mapping[str, Any]) -> ImportedFile:
    """Parse a file from an item of ``details``; Milvus writes its name as ``[path]``."""
    name = str(data.get("fileName") or "")
    return ImportedFile(
        name=name[1:-1] if name.startswith("[") and name.endswith("]") else name,
        size=_number(data, "fileSize"),
        state=str(data.get("state") or ""),
        progress=int(data.get("progress") or 0),
        rows=_number(data, "importedRows"),
        total_rows=_number(data, "totalRows"),
        completed_at=_moment(data, "completeTime"),
        reason=data.get("reason") or None,
        rejected_rows=_number(data, "rejectedRows") or 0,
    )


def error_from_wire(data: Mapping[str, Any]) -> RowError:
    """Parse an item of ``errors``."""
    return RowError(
        file=data["file"],
        row=data["row"],
        offset=data["offset"],
        key=data["key"],
        whole_file=bool(data["wholeFile"]),
        reasons=tuple(
            Reason(field=reason["field"], rule=reason["rule"], value=reason["value"], message=reason["message"])
            for reason in data["reasons"]
        ),
        source=data["source"],
    )


def group_from_wire(data: Mapping[str, Any]) -> ErrorGroup:
    """Parse an item of ``groups``."""
    return ErrorGroup(
        rule=data["rule"],
        field=data["field"],
        file=data["file"],
        rows=int(data["rows"]),
        examples=tuple(map(error_from_wire, data["examples"])),
    )


def _warnings(items: Iterable[Any]) -> Iterable[JobWarning]:
    for item in items:
        if isinstance(item, Mapping):
            count = item.get("count")
            yield JobWarning(
                code=str(item.get("code") or ""),
                message=str(item.get("message") or ""),
                count=1 if count is None else int(count),
            )
        else:
            yield JobWarning(code="", message=str(item))


def _number(data: Mapping[str, Any], key: str) -> int | None:
    value = data.get(key)
    return None if value in (None, "") else int(value)


def _moment(data: Mapping[str, Any], key: str) -> datetime | None:
    value = data.get(key)
    return datetime.fromisoformat(value) if value else None
