"""``client.imports``: create, list, get, wait for, commit, abort, retry, replay and revert import jobs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from penstock.sdk.connection import Connection
from penstock.sdk.errors import ApiError, JobFailed, JobUnfinished
from penstock.sdk.event_stream import EventsUnsupported, polled_changes, streamed_changes
from penstock.sdk.http import header_text
from penstock.sdk.jobs import ErrorGroup, ImportJob, RowError, error_from_wire, group_from_wire, job_from_wire
from penstock.sdk.polling import LONGEST_PAUSE, poll_until
from penstock.sdk.uploads import Uploader, UploadProgress, upload_items
from penstock.sdk.v2_calls import checked_options, option_strings

__all__ = ["Files", "Imports", "all_options", "file_groups"]

Files: TypeAlias = str | Path | Sequence[str | Path | Sequence[str | Path]]

_PATH = "/jobs/import"
_UNCOMMITTED = "Uncommitted"


class Imports:
    """Import jobs of one server. Every call raises :class:`~penstock.sdk.errors.ImportCallError` when it fails."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._progress_path = f"{_PATH}/describe"

    def create(
        self,
        collection: str,
        files: Files | None = None,
        *,
        partition: str | None = None,
        options: Mapping[str, Any] | None = None,
        mapping: Mapping[str, Any] | None = None,
        drop_columns: Sequence[str] | None = None,
        object_urls: Files | None = None,
        access_key: str = "",
        secret_key: str = "",
        token: str = "",
        volume: str = "",
        data_paths: Files | None = None,
        idempotency_key: str | None = None,
        upload: bool = False,
        progress: bool | Callable[[UploadProgress], object] = False,
    ) -> ImportJob:
        """Create a job and return it: ``Pending``, with its ``id``.

        Exactly one source is given:

        * ``files``: paths or addresses that the server can reach by itself: files, folders (ending in ``/``),
          patterns such as ``s3://bucket/*.parquet``, or manifests. A ``Path`` is sent as an absolute path, that of a
          folder with its ``/``, a string as it is. With ``upload=True`` they are files and folders of this machine,
          which are uploaded first.
        * ``object_urls``: objects or folders (ending in ``/``) of an object store, opened with the keys given here.
        * ``volume`` and ``data_paths``: files of a Zilliz volume.

        In each, an item is one file; a list within the list is a NumPy set, one ``.npy`` file per field.

        Args:
            options: ``timeout="300s"``, ``sep``, ``nullkey``, ``auto_commit=False``; ``unknown_columns="drop"`` or
                ``"error"`` for columns that are no field, which otherwise become dynamic values … An option
                unknown to Penstock and Milvus is a ``ValueError``. ``sep`` is a character, or its escape: ``r"\\t"``.
                ``datasets="train"`` names datasets of HDF5 files. ``write_mode="upsert"`` replaces rows with the same
                keys, ``"overwrite"`` all rows of the collection or partition; ``duplicates="error"``, ``"first"`` or
                ``"last"`` is for keys that the job has twice. Only Penstock has these two.
            mapping: where fields get their values from, by field: the name of a column, ``{"column": "c", "cast":
                "VarChar"}`` (read as that type, then cast), ``{"columns": ["x0", "x1"]}`` (a vector or array of
                them), ``{"path": "a.b[0]"}`` (within a column of objects) or ``{"value": 5}`` (a constant). Only
                Penstock has this option.
            drop_columns: columns and keys to leave out. Only Penstock has this option.
            idempotency_key: the same key for the same collection gives the same job within a day, where the server
                supports such keys. With a key the call is retried when no answer came; without, it is sent once.
            upload: upload ``files`` first (:meth:`upload`). Only Penstock has this.
            progress: of the upload, as in :meth:`upload`.
        """
        if upload:
            if files is None:
                raise ValueError("upload=True uploads files: give files")
            files = self.upload(files, progress=progress)
        sources = {
            "files": file_groups(files),
            "objectUrls": file_groups(object_urls),
            "dataPaths": file_groups(data_paths),
        }
        source = {name: groups for name, groups in sources.items() if groups is not None}
        if len(source) != 1:
            raise ValueError(f"give one of files, object_urls or volume with data_paths; {len(source)} were given")
        body: dict[str, Any] = {
            **self._connection.scope,
            "collectionName": collection,
            "dbName": self._connection.database,
            "partitionName": partition,
            **source,
            "volumeName": volume,
            "accessKey": access_key,
            "secretKey": secret_key,
            "token": token,
            "options": checked_options(option_strings(all_options(options, mapping, drop_columns))),
        }
        path = f"{_PATH}/create"
        answer = self._connection.post(
            path,
            {name: value for name, value in body.items() if value},
            repeatable=idempotency_key is not None,
            headers={"Idempotency-Key": header_text(idempotency_key)} if idempotency_key else None,
            secrets=(access_key, secret_key, token),
        )
        job_id = self._connection.parse_response(path, answer, lambda reply: str(reply["data"]["jobId"]))
        return ImportJob(id=job_id, collection=collection, state="Pending", raw=answer["data"])

    def upload(self, files: Files, *, progress: bool | Callable[[UploadProgress], object] = False) -> list[list[str]]:
        """Upload files and folders of this machine; return the paths that :meth:`create` takes as ``files``.

        A repeated call continues an upload that was interrupted. The server deletes uploads when a job that reads
        them has completed, and after a day without one.

        Args:
            progress: True draws a progress bar; a function is called with every :class:`UploadProgress`.

        Raises:
            ImportCallError: the server refuses a file, or could not be reached for a minute.
            OSError, ValueError: a file can't be read, or changed meanwhile.
        """
        groups = upload_items(file_groups(files) or [])
        size = sum(item[0].stat().st_size for group in groups for item in group if not isinstance(item, str))
        if callable(progress):
            watching: AbstractContextManager[Callable[[UploadProgress], object]] = nullcontext(progress)
        elif progress:
            from penstock.sdk.progress import upload_bar

            watching = upload_bar()
        else:
            watching = nullcontext(lambda state: None)
        with watching as show:
            uploader = Uploader(self._connection, show, size)
            return [[item if isinstance(item, str) else uploader.upload(*item) for item in group] for group in groups]

    def loaded(
        self,
        collection: str,
        files: Files,
        *,
        access_key: str = "",
        secret_key: str = "",
        token: str = "",
    ) -> Mapping[str, str]:
        """Find the files that a collection has loaded before: the id of the last job by name, at most 1,000.

        Only Penstock has this call; elsewhere it fails.
        """
        body: dict[str, Any] = {
            **self._connection.scope,
            "collectionName": collection,
            "dbName": self._connection.database,
            "files": file_groups(files),
            "accessKey": access_key,
            "secretKey": secret_key,
            "token": token,
        }
        return self._connection.read(
            f"{_PATH}/get_loaded",
            {name: value for name, value in body.items() if value},
            lambda data: {file["fileName"]: str(file["jobId"]) for file in data["files"]},
        )

    def list(
        self,
        collection: str | None = None,
        *,
        state: str | None = None,
        since: datetime | None = None,
        all_databases: bool = False,
        page_size: int = 100,
    ) -> Iterator[ImportJob]:
        """List the jobs, newest first where the server sorts them; pages are fetched lazily.

        Without the client's ``cluster_id`` a server answers as Milvus does: all unfinished jobs and the recently
        finished ones, at once. With it the whole history comes, ``page_size`` (1 to 100) jobs per call.

        Args:
            collection: only jobs into this collection.
            state: only jobs in this state, e.g. ``"Failed"``. Penstock selects them itself; elsewhere all jobs are
                fetched, and the others left out here.
            since: only jobs created at this time or later; without a time zone it is local. Penstock selects them
                itself; elsewhere jobs are kept whose time isn't given.
            all_databases: also jobs of other databases than the client's.
        """
        since = None if since is None else since.astimezone()
        return (
            job
            for job in self._all(collection, state, since, all_databases, page_size)
            if state in (None, job.state) and (since is None or job.created_at is None or job.created_at >= since)
        )

    def get(self, job: str | int | ImportJob) -> ImportJob:
        """Get a job with all of its details, by its id (or an earlier state of it)."""
        body = {**self._connection.scope, "jobId": _job_id(job)}
        try:
            return self._connection.read(self._progress_path, body, job_from_wire)
        except ApiError as error:
            # Milvus before 2.4.13 has no describe.
            if error.http_status != 404 or error.code is not None or not self._progress_path.endswith("describe"):
                raise
            self._progress_path = f"{_PATH}/get_progress"
            return self._connection.read(self._progress_path, body, job_from_wire)

    def wait(
        self,
        job: str | int | ImportJob,
        *,
        timeout: float | None = None,
        poll: float | None = None,
        progress: bool | Callable[[ImportJob], object] = False,
    ) -> ImportJob:
        """Wait until a job is Completed, or Uncommitted with ``auto_commit`` false, and return it.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.
            poll: seconds between two polls; None begins with 0.1 s and grows to 2 s.
            progress: True draws a progress bar; a function is called with every polled state.

        Raises:
            JobFailed: it failed or was aborted.
            JobUnfinished: the timeout is over; the job continues.
            ImportCallError: the job can't be read, or the server is unreachable for more than a minute.
        """
        if callable(progress):
            watching: AbstractContextManager[Callable[[ImportJob], object]] = nullcontext(progress)
        elif progress:
            from penstock.sdk.progress import progress_bar  # click takes a while to import

            watching = progress_bar()
        else:
            watching = nullcontext(lambda job: None)
        with watching as show:
            last = poll_until(
                lambda: self.get(job),
                lambda state: state.is_finished or state.state == _UNCOMMITTED,
                JobUnfinished,
                timeout=timeout,
                pause=poll,
                show=show,
            )
        if last.is_finished and not last.has_succeeded:
            raise JobFailed(last)
        return last

    def watch(
        self,
        job: str | int | ImportJob | None = None,
        *,
        collection: str | None = None,
        all_databases: bool = False,
        details: bool = False,
        poll: float = LONGEST_PAUSE,
    ) -> Generator[ImportJob, None, None]:
        """Iterate over the states of a job as it changes, up to its end; without one, over changes of all jobs.

        The first states are the present ones. Penstock sends changes within half a second (server-sent events), and
        only the newest state of a job when this iterator is slower; a lost connection is made again. Elsewhere the
        server is polled every ``poll`` seconds.

        Args:
            collection, all_databases: which jobs, without ``job``: as :meth:`list` has it.
            details: also the files of ``job``.

        Raises:
            ImportCallError: there is no such job, or the server is unreachable for more than a minute.
        """
        if job is None:
            query = {**self._connection.scope, **({"collectionName": collection} if collection else {})}
            if not all_databases:
                query["dbName"] = self._connection.database
        else:
            query = {**self._connection.scope, "jobId": _job_id(job), **({"details": "true"} if details else {})}
        try:
            yield from streamed_changes(self._connection, query, of_one=job is not None)
        except EventsUnsupported:

            def jobs() -> Sequence[ImportJob]:
                if job is not None:
                    return [self.get(job)]
                return list(self.list(collection, all_databases=all_databases))

            yield from polled_changes(jobs, poll, of_one=job is not None)

    def commit(self, job: str | int | ImportJob) -> None:
        """Publish the rows of an Uncommitted job."""
        self._connection.post(f"{_PATH}/commit", {**self._connection.scope, "jobId": _job_id(job)})

    def abort(self, job: str | int | ImportJob) -> None:
        """End a job that isn't committed yet; none of its rows become visible."""
        self._connection.post(f"{_PATH}/abort", {**self._connection.scope, "jobId": _job_id(job)})

    def retry(
        self, job: str | int | ImportJob, *, access_key: str = "", secret_key: str = "", token: str = ""
    ) -> None:
        """Resume a failed job under its id, with what is missing of it; then :meth:`wait` for it again.

        A job created with credentials of an object store needs them again: a server deletes them when a job ends.
        """
        keys = {"accessKey": access_key, "secretKey": secret_key, "token": token}
        body = {**self._connection.scope, "jobId": _job_id(job), **{name: key for name, key in keys.items() if key}}
        # Sent once: a second call would fail, as the job already runs.
        self._connection.post(f"{_PATH}/retry", body, repeatable=False, secrets=keys.values())

    def errors(
        self,
        job: str | int | ImportJob,
        *,
        file: str | None = None,
        field: str | None = None,
        rule: str | None = None,
    ) -> Iterator[RowError]:
        """List the rows that a job rejected, and the files that it left out or failed for; pages come lazily.

        Args:
            file, field, rule: only the errors of this file, field or rule.
        """
        body = {**self._connection.scope, "jobId": _job_id(job), **_given(file=file, field=field, rule=rule)}
        cursor = ""
        while True:
            path = f"{_PATH}/errors"
            page = self._connection.read(path, {**body, "cursor": cursor, "limit": 1000}, dict)
            yield from map(error_from_wire, page["errors"])
            cursor = page["cursor"]
            if not cursor:
                return

    def error_groups(self, job: str | int | ImportJob) -> Sequence[ErrorGroup]:
        """The errors of a job by rule, field and file, with counts and three examples each."""
        body = {**self._connection.scope, "jobId": _job_id(job), "groupBy": ["rule", "field", "file"]}
        return self._connection.read(
            f"{_PATH}/errors", body, lambda data: [group_from_wire(group) for group in data["groups"]]
        )

    def download_errors(self, job: str | int | ImportJob, path: str | Path) -> Path:
        """Write the rejected rows of a job to a file: Parquet by its extension ``.parquet``, else JSON Lines.

        It has the columns of the rows, and columns that begin with ``_error``. Corrected, it can be replayed.
        """
        path = Path(path)
        name = "parquet" if path.suffix == ".parquet" else "jsonl"
        body = {**self._connection.scope, "jobId": _job_id(job), "format": name}
        path.write_bytes(self._connection.fetch(f"{_PATH}/errors/download", body))
        return path

    def replay(
        self,
        job: str | int | ImportJob,
        files: Files | None = None,
        *,
        access_key: str = "",
        secret_key: str = "",
        token: str = "",
    ) -> ImportJob:
        """Create a job of only what a job has left out, with its options: its rejected rows, or its bad files.

        Args:
            files: corrected files, in place of those of the job; as for :meth:`create`.
        """
        keys = {"accessKey": access_key, "secretKey": secret_key, "token": token}
        body: dict[str, Any] = {
            **self._connection.scope,
            "jobId": _job_id(job),
            **{name: key for name, key in keys.items() if key},
        }
        if (groups := file_groups(files)) is not None:
            body["files"] = groups
        path = f"{_PATH}/replay"
        answer = self._connection.post(path, body, repeatable=False, secrets=keys.values())
        job_id = self._connection.parse_response(path, answer, lambda reply: str(reply["data"]["jobId"]))
        return self.get(job_id)

    def revert(self, job: str | int | ImportJob, *, timeout: float | None = None) -> ImportJob:
        """Remove the rows of a completed job and bring back those that it replaced; return it then, ``Reverted``.

        Only Penstock has this call. It may be repeated. If a later job replaces rows of it before the revert, the job
        is ``Completed`` again, and its warnings have the reason.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.

        Raises:
            JobUnfinished: the timeout is over; the revert continues.
            ApiError: it can't be reverted: it isn't completed, a later job has replaced rows of it, or the rows that
                it replaced are no longer kept.
        """
        self._connection.post(f"{_PATH}/revert", {**self._connection.scope, "jobId": _job_id(job)})
        return poll_until(
            lambda: self.get(job), lambda state: state.revert != "Reverting", JobUnfinished, timeout=timeout
        )

    def _all(
        self,
        collection: str | None,
        state: str | None,
        since: datetime | None,
        all_databases: bool,
        page_size: int,
    ) -> Iterator[ImportJob]:
        body: dict[str, Any] = {**self._connection.scope, "verbose": True}
        if collection:
            body["collectionName"] = collection
        if state:
            body["state"] = state
        if since:
            body["createdAfter"] = since.isoformat()
        if not all_databases:
            body["dbName"] = self._connection.database
        if not self._connection.cluster_id:
            yield from self._page(body)
            return
        seen: set[str] = set()  # jobs created meanwhile push others to the next page
        for page in itertools.count(1):
            jobs = self._page({**body, "pageSize": page_size, "currentPage": page})
            new = [job for job in jobs if job.id not in seen]
            yield from new
            seen.update(job.id for job in new)
            # Whether ``count`` is of all jobs or of this page differs by server; a page that isn't full is the last.
            if len(jobs) < page_size or not new:
                return

    def _page(self, body: Mapping[str, Any]) -> Sequence[ImportJob]:
        return self._connection.read(
            f"{_PATH}/list", body, lambda data: [job_from_wire(record) for record in data["records"]]
        )


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _job_id(job: str | int | ImportJob) -> str:
    return job.id if isinstance(job, ImportJob) else str(job)


def all_options(
    options: Mapping[str, Any] | None, mapping: Mapping[str, Any] | None, drop_columns: Sequence[str] | None
) -> dict[str, Any]:
    """The import options with those that have arguments of their own. Raises ValueError where one is given twice."""
    arguments = {"mapping": mapping, "drop_columns": list(drop_columns or ())}
    given = {name: value for name, value in arguments.items() if value}
    twice = given.keys() & (options or {}).keys()
    if twice:
        raise ValueError(f"{', '.join(sorted(twice))}: given as an argument and in options; give it once")
    return {**(options or {}), **given}


def file_groups(files: Files | None) -> list[list[str]] | None:
    """The groups of paths that a call sends for ``files``."""
    if files is None:
        return None
    items: Sequence[Any] = [files] if isinstance(files, str | Path) else files
    return [[_path(item)] if isinstance(item, str | Path) else [_path(member) for member in item] for item in items]


def _path(path: str | Path) -> str:
    if not isinstance(path, Path):
        return path
    # A Path has no slash at its end, by which servers know folders.
    return f"{path.absolute()}/" if path.is_dir() else str(path.absolute())
