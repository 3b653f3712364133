"""The services that the page shows: those of the wires, and what only an operator's commands had before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from penstock.access.accounts import AccountService
from penstock.access.admission import Admission
from penstock.access.authentication import Authentication
from penstock.access.sessions import SessionService
from penstock.catalog.access.audit import AuditRepository
from penstock.catalog.access.orgs import OrgRepository
from penstock.catalog.jobs.quotas import QuotaRepository
from penstock.collections.collections import CollectionService
from penstock.collections.databases import DatabaseService
from penstock.collections.entities import EntityService, OutputFields
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.collections.searches import SearchService
from penstock.domain.collections import Cluster
from penstock.domain.schema import CollectionSchema
from penstock.imports.api import Imports
from penstock.imports.rejections import Rejections
from penstock.imports.schema_inference import SchemaInference


class Finding(Protocol):
    """A result of ``penstock doctor``."""

    @property
    def check(self) -> str: ...

    @property
    def health(self) -> str: ...

    @property
    def found(self) -> str: ...

    @property
    def remedy(self) -> str: ...


class RenderRows(Protocol):
    """Renders rows as the calls of the API do."""

    def __call__(
        self, table: pa.Table, schema: CollectionSchema, fields: OutputFields, *, int64_as_number: bool
    ) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """What the handlers use.

    ``list_clusters`` gives those of an org, or all for None. ``call_api`` makes a v2 call as its caller: the path
    below ``/v2/vectordb``, the body, the ``Authorization`` header, the address; it returns the answer's JSON.
    ``examine`` runs the doctor's checks. ``problem`` is why the server can't do its work now. ``roots`` are its
    import roots, ``stores`` are what it writes to, by name, ``version`` is Penstock's.
    """

    admission: Admission
    authentication: Authentication
    sessions: SessionService
    imports: Imports
    inference: SchemaInference
    rejections: Rejections
    databases: DatabaseService
    collections: CollectionService
    partitions: PartitionService
    indexes: IndexService
    entities: EntityService
    searches: SearchService
    accounts: AccountService
    orgs: OrgRepository
    quotas: QuotaRepository
    audit_log: AuditRepository
    list_clusters: Callable[[str | None], Sequence[Cluster]]
    call_api: Callable[[str, Mapping[str, Any], str, str], bytes]
    render_rows: RenderRows
    examine: Callable[[], Sequence[Finding]]
    problem: Callable[[], str | None]
    roots: Sequence[str]
    stores: Sequence[tuple[str, str]]
    version: str
