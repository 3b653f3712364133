"""Requests and responses of the export service: frozen values without behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.access import Caller
from penstock.domain.exports import ExportFile, ExportJob, ExportRequest
from penstock.imports.requests import StoreCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateExport:
    """A request for an export of a collection."""

    cluster_id: str
    database: str
    collection: str
    request: ExportRequest
    keys: StoreCredentials = field(default_factory=StoreCredentials)
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDetails:
    """An export and the files of its finished parts, in order."""

    export: ExportJob
    files: Sequence[ExportFile]
