"""Create, list, describe, abort and retry exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from penstock.catalog import Catalog
from penstock.catalog.db.connection import from_millis
from penstock.domain.access import Caller, Role
from penstock.domain.audit import AuditEntry, entry_of
from penstock.domain.exports import ExportJob, ExportState
from penstock.domain.ids import millis_of, new_id
from penstock.engines.registry import EngineRegistry
from penstock.errors import ImportRefused, JobNotFound, JobStateConflict, MissingParameter, Unsupported
from penstock.exports.requests import CreateExport, ExportDetails
from penstock.filters import parse
from penstock.imports.requests import StoreCredentials
from penstock.sources.roots import ImportRoots

_MAX_LIVE = 16
"""Unfinished exports of a collection: each keeps an old version of its table."""


class ExportService:
    """The export calls of a server. ``roots`` are the export roots; ``wake`` wakes the scheduler."""

    def __init__(
        self, catalog: Catalog, engines: EngineRegistry, roots: ImportRoots, wake: Callable[[], None]
    ) -> None:
        self._catalog = catalog
        self._engines = engines
        self._roots = roots
        self._wake = wake

    def create(self, call: CreateExport) -> ExportJob:
        """Create an export and return it, Pending.

        With the caller's own credentials for the target a reader may export, else it takes a writer: the export
        writes with the server's rights.

        Raises:
            PermissionDenied, CollectionNotFound, PartitionNotFound, InvalidFilter
            PathNotAllowed: the target is outside the export roots.
            TargetNotEmpty: the local folder has files. Object stores are checked when the export begins.
            LimitExceeded, JobStateConflict: too many exports, or one writes into the same target.
            Unsupported: the collection's engine can't be exported.
        """
        cluster = self._catalog.clusters.get(call.cluster_id)
        call.caller.require(Role.READER if call.keys else Role.WRITER, cluster, call.database)
        database = self._catalog.databases.get(call.cluster_id, call.database)
        collection = self._catalog.collections.get(database, call.collection)
        if self._engines.maintainable(collection) is None:
            raise Unsupported(f"collections of the engine {collection.engine} can't be exported")
        parse(call.request.filter, collection.schema)
        if call.request.partitions and collection.schema.partition_key:
            raise ImportRefused(
                "the partitions of a collection with a partition key can't be chosen: export by a filter on the key"
            )
        for name in call.request.partitions:
            self._catalog.collections.partition(collection.id, name)
        secret = call.keys.to_secret()
        target = self._roots.within([call.caller.roots], for_tenant=not call.caller.is_anybody).target(
            call.request.target, call.keys.access_key, call.keys.secret_key, call.keys.token
        )
        if target.folder is not None:
            target.check_empty()
        export_id = new_id()
        export = self._catalog.exports.insert(
            ExportJob(
                id=export_id,
                cluster_id=cluster.id,
                database_id=database.id,
                database=database.name,
                collection_id=collection.id,
                collection=collection.name,
                request=call.request,
                location=target.uri,
                state=ExportState.PENDING,
                created_at=_created(export_id),
                has_credentials=bool(secret),
                roots=[list(call.caller.roots)] if call.caller.roots else [],
            ),
            secret,
            _MAX_LIVE,
            replace(
                entry_of(call.caller, "export.create"),
                cluster_id=cluster.id,
                database=database.name,
                collection=collection.name,
                job_id=export_id,
            ),
        )
        self._wake()
        return export

    def get(self, cluster_id: str, export_id: int, caller: Caller) -> ExportDetails:
        """Raises JobNotFound, also for an export that the caller may not see."""
        export = self._get(cluster_id, export_id, caller)
        files = [file for part in self._catalog.exports.parts(export_id) for file in part.files or ()]
        return ExportDetails(export=export, files=files)

    def list(
        self,
        cluster_id: str,
        database: str,
        caller: Caller,
        *,
        collection: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[ExportJob]:
        """The exports of a database or collection, newest first."""
        caller.require(Role.READER, self._catalog.clusters.get(cluster_id), database)
        parent = self._catalog.databases.get(cluster_id, database)
        chosen = None if collection is None else self._catalog.collections.get(parent, collection).id
        return self._catalog.exports.list(parent.id, chosen, before, limit)

    def abort(self, cluster_id: str, export_id: int, caller: Caller) -> ExportJob:
        """End an unfinished or failed export and delete what it has written.

        Raises:
            JobStateConflict: it is completed, or keeps changing.
        """
        export = self._get_to_change(cluster_id, export_id, caller)
        if export.state is ExportState.ABORTED:
            return export
        if export.state is ExportState.COMPLETED:
            raise JobStateConflict(
                f"export {export_id} is completed: its files are yours to delete", job_id=export_id
            )
        has_files = export.snapshot is not None
        reason = "aborted by user"
        if has_files and export.state is ExportState.FAILED and export.has_credentials:
            # The credentials were deleted when it failed.
            has_files, reason = False, f"aborted by user; the files written so far remain in {export.request.target}"
        export = self._catalog.exports.abort(
            export, reason, has_files=has_files, audit=_entry(caller, "abort", export)
        )
        self._wake()
        return export

    def retry(self, cluster_id: str, export_id: int, keys: StoreCredentials, caller: Caller) -> ExportJob:
        """Go on with a failed export: its finished parts stay.

        Raises:
            CollectionNotFound: its collection was dropped.
            LimitExceeded, JobStateConflict: as :meth:`create`; or it has not failed.
            MissingParameter: it needs the credentials that it was created with.
        """
        export = self._get_to_change(cluster_id, export_id, caller)
        if export.state is not ExportState.FAILED:
            raise JobStateConflict(
                f"export {export_id} is in state {export.state}: only a failed one can be retried", job_id=export_id
            )
        if export.has_credentials and not keys:
            raise MissingParameter(
                f"export {export_id} was created with the caller's own accessKey and secretKey, which were deleted "
                "when it ended. Pass them again with the retry",
                job_id=export_id,
            )
        export = self._catalog.exports.retry(export, keys.to_secret(), _MAX_LIVE, _entry(caller, "retry", export))
        self._wake()
        return export

    def _get(self, cluster_id: str, export_id: int, caller: Caller) -> ExportJob:
        export = self._catalog.exports.get(cluster_id, export_id)
        if not caller.may(Role.READER, self._catalog.clusters.get(cluster_id), export.database):
            raise JobNotFound(f"export does not exist, jobID={export_id}", job_id=export_id, hidden=True)
        return export

    def _get_to_change(self, cluster_id: str, export_id: int, caller: Caller) -> ExportJob:
        """The same role is required as for the export's create."""
        export = self._get(cluster_id, export_id, caller)
        role = Role.READER if export.has_credentials else Role.WRITER
        caller.require(role, self._catalog.clusters.get(cluster_id), export.database)
        return export


def _created(export_id: int) -> datetime:
    return from_millis(millis_of(export_id))


def _entry(caller: Caller, action: str, export: ExportJob) -> AuditEntry:
    return replace(
        entry_of(caller, f"export.{action}"),
        cluster_id=export.cluster_id,
        database=export.database,
        collection=export.collection,
        job_id=export.id,
    )
