"""``/v2/vectordb/aliases/…``: list, describe, create, alter, drop."""

from __future__ import annotations

from collections.abc import Callable

from penstock.collections.aliases import AliasService
from penstock.domain.access import Role
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.dialect import MilvusV2, Request

_TEXT = {"type": "string"}
_TAG = "aliases"
_DATABASE = {"dbName": _TEXT}


def routes(aliases: AliasService, v2: MilvusV2) -> tuple[Route, ...]:
    def names(request: Request) -> tuple[str, str, str, str]:
        request.fields.require("collectionName", "aliasName")
        return (*request.qualified_name, request.fields.required_string("aliasName"))

    def list_all(request: Request) -> object:
        collection = request.fields.string("collectionName") or None
        return [alias.name for alias in aliases.list(request.cluster_id, request.database, collection)]

    def describe(request: Request) -> object:
        alias = aliases.get(request.cluster_id, request.database, request.fields.required_string("aliasName"))
        return {"dbName": alias.database, "collectionName": alias.collection, "aliasName": alias.name}

    def create(request: Request) -> object:
        aliases.create(*names(request))
        return None

    def alter(request: Request) -> object:
        aliases.alter(*names(request))
        return None

    def drop(request: Request) -> object:
        aliases.drop(request.cluster_id, request.database, request.fields.required_string("aliasName"))
        return None

    def alias_route(
        role: Role, action: str, handler: Callable[[Request], object], struct: str, summary: str, *required: str
    ) -> Route:
        body = _DATABASE | dict.fromkeys(required, _TEXT)
        return v2.post(
            f"/aliases/{action}",
            handler,
            role=role,
            struct=struct,
            operation=Operation(summary=summary, tag=_TAG, body=body, required=required),
        )

    both = ("collectionName", "aliasName")
    return (
        v2.post(
            "/aliases/list",
            list_all,
            role=Role.READER,
            struct="OptionalCollectionNameReq",
            operation=Operation(
                summary="List the aliases of a database or of one collection",
                tag=_TAG,
                body=_DATABASE | {"collectionName": _TEXT},
                data={"type": "array", "items": _TEXT},
            ),
        ),
        alias_route(Role.READER, "describe", describe, "AliasReq", "Describe an alias", "aliasName"),
        alias_route(Role.WRITER, "create", create, "AliasCollectionReq", "Give a collection an alias", *both),
        alias_route(
            Role.WRITER, "alter", alter, "AliasCollectionReq", "Let an alias lead to another collection", *both
        ),
        alias_route(Role.WRITER, "drop", drop, "AliasReq", "Drop an alias", "aliasName"),
    )
