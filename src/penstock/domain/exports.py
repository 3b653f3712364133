"""Export jobs: states, and the frozen values stored in the catalog.

::

    Pending → Exporting → Completed
       └──────────┴─────► Failed | Aborted

A retry takes a Failed export back to where it was; an abort ends it and deletes its files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from penstock.domain.expiry import Expiry
from penstock.domain.schema import CollectionSchema
from penstock.domain.times import UTC_ZONE

SCHEMA_FILE, MANIFEST_FILE = "_schema.json", "_manifest.json"
"""Files next to the parts. Imports of a folder skip them as side files."""


class ExportState(StrEnum):
    PENDING = "Pending"
    EXPORTING = "Exporting"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ABORTED = "Aborted"

    @property
    def is_final(self) -> bool:
        return self in (ExportState.COMPLETED, ExportState.FAILED, ExportState.ABORTED)


class ExportFormat(StrEnum):
    """File formats; the value is the extension."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """A written file: its path below the target, rows, bytes, and the SHA-256 of its content in hexadecimal."""

    name: str
    rows: int
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPart:
    """The unit of work that a worker exports at a time: some fragments of the table.

    ``partition`` restricts it to the rows of one partition, whose name is the folder of its files. ``rows`` is an
    upper bound, exact without a filter; ``size`` is in stored bytes. ``files`` is None until it is done.
    """

    ordinal: int
    fragments: tuple[int, ...]
    rows: int
    size: int
    partition: int | None = None
    folder: str = ""
    files: tuple[ExportFile, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSnapshot:
    """What all parts of an export read: a version of the table, the schema then, and the rows expired then.

    ``timezone`` is that of times without an offset in the export's filter.
    """

    version: int
    schema: CollectionSchema
    expiry: Expiry | None = None
    timezone: str = UTC_ZONE

    def to_json(self) -> dict[str, Any]:
        expiry = None if self.expiry is None else {"cutoff": self.expiry.cutoff, "late": list(self.expiry.late)}
        return {
            "version": self.version,
            "schema": self.schema.to_json(),
            "expiry": expiry,
            "timezone": self.timezone,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExportSnapshot:
        expiry = data["expiry"]
        return cls(
            version=data["version"],
            schema=CollectionSchema.from_json(data["schema"]),
            expiry=None if expiry is None else Expiry(cutoff=expiry["cutoff"], late=tuple(expiry["late"])),
            timezone=data.get("timezone", UTC_ZONE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export: rows by ``filter`` and ``partitions`` (empty: all), as which files, to which target.

    ``target`` is the caller's text. ``with_auto_ids``: generated ids are exported, and the schema file has a
    key without them.
    """

    target: str
    format: ExportFormat = ExportFormat.PARQUET
    filter: str = ""
    partitions: Sequence[str] = ()
    with_auto_ids: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "format": self.format.value,
            "filter": self.filter,
            "partitions": list(self.partitions),
            "with_auto_ids": self.with_auto_ids,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExportRequest:
        return cls(**{**data, "format": ExportFormat(data["format"]), "partitions": tuple(data["partitions"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """The public view of an export. Times are UTC; ``progress`` is 0 to 100; ``rows`` and ``size`` are written ones.

    ``location`` is the address of the target; ``snapshot`` is None until it is planned. ``epoch`` is that of its
    lease. ``has_files``: an aborted export has files that are still to be deleted.
    """

    id: int
    cluster_id: str
    database_id: int
    database: str
    collection_id: str
    collection: str
    request: ExportRequest
    location: str
    state: ExportState
    created_at: datetime
    snapshot: ExportSnapshot | None = None
    progress: int = 0
    rows: int = 0
    total_rows: int = 0
    size: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    epoch: int = 0
    has_credentials: bool = False
    has_files: bool = False
    roots: Sequence[Sequence[str]] = field(default_factory=tuple)
