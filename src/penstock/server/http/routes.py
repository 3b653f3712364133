"""Routes of all dialects. Register a new family of routes here."""

from __future__ import annotations

from penstock.server.services import Services
from penstock.wire.http import Route
from penstock.wire.milvus_v2 import (
    aliases,
    alterations,
    collections,
    databases,
    entities,
    exports,
    indexes,
    partitions,
    text_analysis,
    unsupported,
    users,
    webhooks,
)
from penstock.wire.milvus_v2 import imports as milvus_v2_imports
from penstock.wire.milvus_v2 import uploads as milvus_v2_uploads
from penstock.wire.milvus_v2.dialect import MilvusV2
from penstock.wire.zilliz_v1 import imports as zilliz_v1_imports
from penstock.wire.zilliz_v1.dialect import ZillizV1


def dialect_routes(services: Services) -> tuple[Route, ...]:
    settings = services.settings
    v1 = ZillizV1(services.admission)
    v2 = MilvusV2(services.admission, success_code=settings.v2_success_code)
    return (
        *zilliz_v1_imports.routes(services.imports, v1, region=settings.region),
        *milvus_v2_imports.routes(
            services.imports,
            services.job_events,
            services.inference,
            services.rejections,
            v2,
            region=settings.region,
        ),
        *milvus_v2_uploads.routes(services.uploads, v2),
        *exports.routes(services.exports, v2),
        *databases.routes(services.databases, v2),
        *collections.routes(services.collections, services.partitions, services.indexes, v2),
        *aliases.routes(services.aliases, v2),
        *alterations.routes(services.alterations, v2),
        *partitions.routes(services.collections, services.partitions, v2),
        *indexes.routes(services.collections, services.indexes, v2),
        *entities.routes(services.collections, services.entities, services.searches, v2),
        *text_analysis.routes(services.collections, v2),
        *users.routes(services.accounts, v2),
        *webhooks.routes(services.webhooks, v2),
        *unsupported.routes(v2),
    )
