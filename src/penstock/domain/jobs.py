"""Import jobs: states, the transition table, and the frozen values stored in the catalog.

The life cycle of a job (design: one import)::

    Pending → Planning → Importing → (Uncommitted) → Committing → Indexing → Completed
       └─────────┴───────────┴────────────┴──► Failed | Aborted

From Committing on a job can't be aborted: the intent is written, and recovery finishes it. It fails only where its
table is damaged and the engine has withdrawn the intent (docs/decisions/0012-withdrawing-an-intent.md).

A job never leaves a final state by itself. Only a user's ``retry`` takes a Failed job back to Pending, from where it
takes the same steps again and keeps its staged files; and only a user's ``revert`` takes a Completed job on::

    Completed → Reverting → Reverted, or Completed again if that turned out to be impossible
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from penstock.domain.import_options import is_true


class JobState(StrEnum):
    PENDING = "Pending"
    PLANNING = "Planning"
    IMPORTING = "Importing"
    UNCOMMITTED = "Uncommitted"
    COMMITTING = "Committing"
    INDEXING = "Indexing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ABORTED = "Aborted"
    REVERTING = "Reverting"
    REVERTED = "Reverted"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES

    @property
    def is_committed(self) -> bool:
        """Whether the commit's intent is written: the rows will be (or are) visible, unless the table is damaged."""
        return self in (JobState.COMMITTING, JobState.INDEXING, JobState.COMPLETED, JobState.REVERTING)


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.ABORTED, JobState.REVERTED})
IN_TRANSACTION = frozenset({JobState.COMMITTING, JobState.REVERTING})
"""An intent is written; the transaction of the engine follows it, or is there already."""
LIVE_STATES = frozenset(JobState) - FINAL_STATES

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset({JobState.PLANNING, JobState.FAILED, JobState.ABORTED}),
    JobState.PLANNING: frozenset({JobState.IMPORTING, JobState.FAILED, JobState.ABORTED}),
    JobState.IMPORTING: frozenset({JobState.UNCOMMITTED, JobState.COMMITTING, JobState.FAILED, JobState.ABORTED}),
    JobState.UNCOMMITTED: frozenset({JobState.COMMITTING, JobState.FAILED, JobState.ABORTED}),
    JobState.COMMITTING: frozenset({JobState.INDEXING, JobState.FAILED}),
    JobState.INDEXING: frozenset({JobState.COMPLETED}),
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.ABORTED: frozenset(),
    JobState.REVERTING: frozenset({JobState.REVERTED, JobState.COMPLETED}),
    JobState.REVERTED: frozenset(),
}


# By users only, never by a worker. An aborted job stays aborted: a user decided that; and so does a reverted one.
REOPENINGS: Mapping[JobState, frozenset[JobState]] = {
    JobState.FAILED: frozenset({JobState.PENDING}),
    JobState.COMPLETED: frozenset({JobState.REVERTING}),
}


def can_reopen_as(now: JobState, then: JobState) -> bool:
    """Whether a retry or a revert may take a job from the final state ``now`` to ``then``."""
    return then in REOPENINGS.get(now, ())


def can_transition(now: JobState, then: JobState) -> bool:
    """Whether the transition table allows ``now`` → ``then``."""
    return then in TRANSITIONS[now]


class FileState(StrEnum):
    """State of one file (or NumPy set) of a job."""

    PENDING = "Pending"
    IMPORTING = "Importing"
    COMPLETED = "Completed"
    FAILED = "Failed"


class SplitState(StrEnum):
    PENDING = "Pending"
    STAGED = "Staged"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWarning:
    """A warning of a job to its owner, and how often it occurred: a dropped column, a widened type."""

    code: str
    message: str
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "count": self.count}


def merge_warnings(groups: list[list[JobWarning]]) -> list[JobWarning]:
    """Merge warnings of equal code and message, adding counts, in order of first appearance."""
    merged: dict[tuple[str, str], int] = {}
    for group in groups:
        for warning in group:
            key = (warning.code, warning.message)
            merged[key] = merged.get(key, 0) + warning.count
    return [JobWarning(code=code, message=message, count=count) for (code, message), count in merged.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHistory:
    """What only a job's own page shows: who created it, from which address, and when it entered its states.

    ``server`` is the name of the server that works on it now. A state that the job came into several times has the
    last time.
    """

    created_by: str
    created_from: str
    server: str | None
    times: Mapping[JobState, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """An input file of a job: one file, or the set of ``.npy`` files that make up the columns of the same rows.

    ``name`` is the caller's text (a NumPy set: the paths joined by blanks). ``size`` is in bytes;
    ``rows`` is known once read, and so are the ``rejected_rows`` that were left out of them. ``error`` has the facts
    of the ``reason``: rule, field, row, offset and value, as far as known.
    """

    ordinal: int
    name: str
    size: int = 0
    state: FileState = FileState.PENDING
    progress: int = 0
    rows: int = 0
    total_rows: int = 0
    finished_at: datetime | None = None
    reason: str | None = None
    rejected_rows: int = 0
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRange:
    """A range of an input file as its reader cuts it: row groups, bytes or rows.

    ``spec`` is the reader's own description, as JSON. ``size`` is in bytes of input, for progress and balance;
    ``max_rows`` is an upper bound on rows (exact where the format records it), for reserving ids; ``decoded_size``
    estimates the Arrow bytes where they differ from ``size``, for split packing.

    The planner adds the ordinal of the ``file`` in the job, the name of its ``format``, the values of its partition
    ``columns``, and the ``partition`` of its rows (None where a partition key decides per row). ``rows`` and
    ``rejected`` rows are known once the range is staged. ``only`` are the numbers of the rows to import, in a replay
    of rejected rows; None is all. ``first_row`` is then the number of the range's first row in the file.
    """

    spec: Mapping[str, Any]
    size: int
    max_rows: int = 0
    decoded_size: int | None = None
    file: int = 0
    format: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    partition: int | None = None
    rows: int = 0
    rejected: int = 0
    only: tuple[int, ...] | None = None
    first_row: int | None = None

    @property
    def read_rows(self) -> int:
        """Rows of the file that the range holds, once it is staged."""
        return self.rows + self.rejected

    @property
    def numbered_rows(self) -> int:
        """How many numbers its rows take up, once it is staged: in a replay of rejected rows they have gaps."""
        return self.only[-1] + 1 if self.only and self.read_rows else self.read_rows

    @property
    def weight(self) -> int:
        """Estimated bytes once decoded."""
        return self.size if self.decoded_size is None else self.decoded_size

    def to_json(self) -> dict[str, Any]:
        """Serialize for the catalog all that reading the range takes."""
        spec: dict[str, Any] = {"format": self.format, "part": dict(self.spec), "partition": self.partition}
        if self.columns:
            spec["columns"] = dict(self.columns)
        if self.only is not None:
            spec |= {"only": list(self.only), "first_row": self.first_row}
        return {"file": self.file, "spec": spec, "size": self.size}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], rows: int = 0, rejected: int = 0) -> FileRange:
        """Deserialize the result of :meth:`to_json`; the catalog has the ``rows`` beside it."""
        spec = data["spec"]
        return cls(
            spec=spec["part"],
            size=data["size"],
            file=data["file"],
            format=spec["format"],
            columns=spec.get("columns", {}),
            partition=spec["partition"],
            rows=rows,
            rejected=rejected,
            only=None if spec.get("only") is None else tuple(spec["only"]),
            first_row=spec.get("first_row"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The unit of work that a worker stages at a time: a range of a large file, or many small files, in order.

    ``staged`` is the engine's opaque record of its staged files, ``warnings`` those of its staging; ``report`` is
    what a dry run has found, which stages nothing.
    ``auto_id_start`` begins the id range reserved at plan time, so that a retried split generates the same ids.
    """

    ordinal: int
    ranges: tuple[FileRange, ...]
    auto_id_start: int | None = None
    state: SplitState = SplitState.PENDING
    attempts: int = 0
    staged: Any = None
    warnings: tuple[JobWarning, ...] = ()
    report: Any = None

    @property
    def size(self) -> int:
        """Bytes of input."""
        return sum(file_range.size for file_range in self.ranges)

    @property
    def max_rows(self) -> int:
        """Upper bound on rows."""
        return sum(file_range.max_rows for file_range in self.ranges)

    @property
    def rows(self) -> int:
        """Rows that are staged."""
        return sum(file_range.rows for file_range in self.ranges)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """The public view of an import job. Times are UTC; ``progress`` is 0 to 100 and never falls.

    ``deadline`` is when an unfinished job times out; ``has_credentials`` says that its files are opened with the
    caller's own keys; ``trace`` is the W3C traceparent of the call that created it. ``field_count`` is how many
    fields the collection had then, the only ones that its rows have values of; None is all. ``verification``
    is the result of the option ``verify``, as JSON.

    ``rejected_rows`` and ``skipped_files`` were left out by its option on_error; ``reject_bytes`` is the size of the
    rejected rows that are kept. ``replay_of`` is the job whose rejected rows or files it imports; ``replays_rows``:
    those rows, from the files of that job.

    ``published_version`` is the version of the table that made its rows visible, ``replaced_rows`` how many rows went
    for them (None: unknown), ``restored_rows`` how many of these came back when it was reverted.
    """

    id: int
    cluster_id: str
    database_id: int
    database: str
    collection: str
    collection_id: str
    partition: str | None
    state: JobState
    created_at: datetime
    auto_commit: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    progress: int = 0
    stage: str = ""
    size: int = 0
    rows: int = 0
    total_rows: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    warnings: tuple[JobWarning, ...] = ()
    epoch: int = 0
    intent_version: int | None = None
    published_version: int | None = None
    replaced_rows: int | None = 0
    restored_rows: int = 0
    deadline: datetime | None = None
    has_credentials: bool = False
    trace: str | None = None
    field_count: int | None = None
    verification: Mapping[str, Any] | None = None
    rejected_rows: int = 0
    skipped_files: int = 0
    reject_bytes: int = 0
    replay_of: int | None = None
    replays_rows: bool = False

    @property
    def is_first_lease(self) -> bool:
        """Whether it was not leased before: then no plan was made of it."""
        return self.epoch <= 1

    @property
    def is_dry_run(self) -> bool:
        """Whether it only checks its files: none of its rows will be visible."""
        return is_true(self.options, "dry_run")

    @property
    def imported_rows(self) -> int:
        """Rows read while it runs, and visible rows once it has completed."""
        return 0 if self.has_failed or self.is_dry_run else self.rows

    @property
    def has_failed(self) -> bool:
        """Whether it ended without its rows, by itself or by a user: they never were visible, or no longer are."""
        return self.state in (JobState.FAILED, JobState.ABORTED, JobState.REVERTED)
