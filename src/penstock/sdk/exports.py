"""``client.exports``: create, list, get, wait for, abort and retry exports. Only Penstock has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from penstock.sdk.connection import Connection
from penstock.sdk.errors import ExportFailed, ExportUnfinished
from penstock.sdk.polling import poll_until

__all__ = ["Export", "ExportedFile", "Exports"]

_PATH = "/jobs/export"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """A complete file of an export: its path below the target, rows, bytes, and SHA-256 in hexadecimal."""

    name: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An export.

    Attributes:
        state: ``Pending``, ``Exporting``, ``Completed``, ``Failed`` or ``Aborted``.
        progress: 0 to 100.
        rows, size: rows and bytes written so far.
        total_rows: all rows; with a filter an upper bound until it is completed.
        files: the first complete files; the manifest has all.
        raw: the server's own answer.
    """

    id: str
    collection: str
    state: str
    target: str = ""
    format: str = ""
    progress: int = 0
    rows: int = 0
    total_rows: int = 0
    size: int = 0
    reason: str | None = None
    files: tuple[ExportedFile, ...] = ()
    created_at: datetime | None = None
    completed_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_finished(self) -> bool:
        return self.state in ("Completed", "Failed", "Aborted")

    @property
    def has_succeeded(self) -> bool:
        return self.state == "Completed"


class Exports:
    """Exports of one server. Every call raises :class:`~penstock.sdk.errors.ImportCallError` when it fails."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        collection: str,
        target: str | Path,
        *,
        format: str = "parquet",
        filter: str = "",
        partitions: Sequence[str] = (),
        with_auto_ids: bool = False,
        access_key: str = "",
        secret_key: str = "",
        token: str = "",
    ) -> Export:
        """Create an export and return it: ``Pending``, with its ``id``.

        Args:
            target: a new or empty folder below an export root of the server, or ``s3://bucket/prefix``. A ``Path`` is
                sent as an absolute path, a string as it is.
            format: ``parquet``, ``jsonl`` or ``csv``.
            filter: only the rows that it selects, as in queries.
            partitions: only these partitions; each has a folder of its own.
            with_auto_ids: export generated ids, too.
            access_key, secret_key, token: own credentials for the target.
        """
        keys = (access_key, secret_key, token)
        body: dict[str, Any] = {
            **self._connection.scope,
            "dbName": self._connection.database,
            "collectionName": collection,
            "target": str(target.absolute()) if isinstance(target, Path) else target,
            "format": format,
            "filter": filter,
            "partitionNames": list(partitions),
            "withAutoIds": with_auto_ids,
            **dict(zip(("accessKey", "secretKey", "token"), keys, strict=True)),
        }
        path = f"{_PATH}/create"
        answer = self._connection.post(
            path, {name: value for name, value in body.items() if value}, repeatable=False, secrets=keys
        )
        export_id = self._connection.parse_response(path, answer, lambda reply: str(reply["data"]["jobId"]))
        return Export(id=export_id, collection=collection, state="Pending", raw=answer["data"])

    def list(self, collection: str | None = None, *, limit: int = 100) -> Sequence[Export]:
        """List the exports of the client's database, newest first."""
        body: dict[str, Any] = {**self._connection.scope, "dbName": self._connection.database, "limit": limit}
        if collection:
            body["collectionName"] = collection
        return self._connection.read(
            f"{_PATH}/list", body, lambda data: [_export_from_wire(record) for record in data["records"]]
        )

    def get(self, export: str | int | Export) -> Export:
        """Get an export with its files, by its id (or an earlier state of it)."""
        return self._connection.read(f"{_PATH}/describe", self._id(export), _export_from_wire)

    def wait(
        self,
        export: str | int | Export,
        *,
        timeout: float | None = None,
        progress: Callable[[Export], object] = lambda export: None,
    ) -> Export:
        """Wait until an export is Completed, and return it.

        Raises:
            ExportFailed: it failed or was aborted.
            ExportUnfinished: the timeout, in seconds, is over; the export continues.
            ImportCallError: it can't be read, or the server is unreachable for more than a minute.
        """
        last = poll_until(
            lambda: self.get(export),
            lambda state: state.is_finished,
            ExportUnfinished,
            timeout=timeout,
            show=progress,
        )
        if not last.has_succeeded:
            raise ExportFailed(last)
        return last

    def abort(self, export: str | int | Export) -> None:
        """End an unfinished or failed export, and delete the files that it has written."""
        self._connection.post(f"{_PATH}/abort", self._id(export))

    def retry(
        self, export: str | int | Export, *, access_key: str = "", secret_key: str = "", token: str = ""
    ) -> None:
        """Go on with a failed export; credentials of its target are needed again."""
        keys = {"accessKey": access_key, "secretKey": secret_key, "token": token}
        body = {**self._id(export), **{name: key for name, key in keys.items() if key}}
        self._connection.post(f"{_PATH}/retry", body, repeatable=False, secrets=keys.values())

    def _id(self, export: str | int | Export) -> dict[str, str]:
        return {**self._connection.scope, "jobId": export.id if isinstance(export, Export) else str(export)}


def _export_from_wire(data: Mapping[str, Any]) -> Export:
    return Export(
        id=str(data["jobId"]),
        collection=str(data["collectionName"]),
        state=str(data["state"]),
        target=str(data.get("target") or ""),
        format=str(data.get("format") or ""),
        progress=int(data.get("progress") or 0),
        rows=int(data.get("exportedRows") or 0),
        total_rows=int(data.get("totalRows") or 0),
        size=int(data.get("fileSize") or 0),
        reason=data.get("reason") or None,
        files=tuple(
            ExportedFile(name=file["fileName"], rows=file["rows"], size=file["fileSize"], sha256=file["sha256"])
            for file in data.get("details") or ()
        ),
        created_at=_moment(data.get("createTime")),
        completed_at=_moment(data.get("completeTime")),
        raw=data,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
