"""The services of a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from penstock.access.accounts import AccountService
from penstock.access.admission import Admission, Clusters
from penstock.access.audit import Audit
from penstock.access.authentication import Authentication
from penstock.collections.aliases import AliasService
from penstock.collections.alterations import AlterationService
from penstock.collections.collections import CollectionService
from penstock.collections.databases import DatabaseService
from penstock.collections.entities import EntityService
from penstock.collections.indexes import IndexService
from penstock.collections.partitions import PartitionService
from penstock.collections.search_iterators import SearchIteratorService
from penstock.collections.searches import SearchService
from penstock.exports.service import ExportService
from penstock.imports.api import Imports
from penstock.imports.job_events import JobEvents
from penstock.imports.rejections import Rejections
from penstock.imports.schema_inference import SchemaInference
from penstock.imports.uploads import UploadService
from penstock.server.observability.call_tracing import TraceCall, untraced
from penstock.settings import Settings
from penstock.webhooks.service import WebhookService


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases behind the routes, and their lifecycle hooks.

    ``middleware`` wraps every HTTP call, inside of the server's own, and ``trace_grpc`` every gRPC call. ``registry``
    is what ``/metrics`` shows: other modules register their collectors with it. ``problem`` is the reason why the
    server can't do its work now, or None when it is ready; ``is_full`` whether that is a full disk, during which
    reads are answered. ``start`` is called once the server has its port; ``end_streams`` when it begins to stop, so
    that event streams end; ``stop`` after the last call has been answered: it must release everything that another
    server needs to take over.
    """

    settings: Settings
    authentication: Authentication
    accounts: AccountService
    imports: Imports
    exports: ExportService
    job_events: JobEvents
    uploads: UploadService
    inference: SchemaInference
    rejections: Rejections
    audit: Audit
    clusters: Clusters
    databases: DatabaseService
    collections: CollectionService
    aliases: AliasService
    alterations: AlterationService
    partitions: PartitionService
    indexes: IndexService
    entities: EntityService
    searches: SearchService
    webhooks: WebhookService
    search_iterators: SearchIteratorService
    middleware: Sequence[Middleware] = ()
    trace_grpc: TraceCall = untraced
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    problem: Callable[[], str | None] = _nothing
    is_full: Callable[[], bool] = bool
    start: Callable[[], None] = _nothing
    end_streams: Callable[[], None] = _nothing
    stop: Callable[[], None] = _nothing

    @property
    def admission(self) -> Admission:
        return Admission(
            authentication=self.authentication,
            clusters=self.clusters,
            audit=self.audit,
            cluster_id=self.settings.cluster_id,
        )
