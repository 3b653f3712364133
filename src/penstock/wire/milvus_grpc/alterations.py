"""Changes of collections that exist: their name, their fields, the properties of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.collections.alterations import AlterationService, RenameCollection
from penstock.domain.access import Role
from penstock.domain.schema import Field
from penstock.errors import InvalidParameter, Unsupported, shorten
from penstock.wire.milvus.call_errors import creating
from penstock.wire.milvus.errors import Refused
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import qualified_name
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.errors import UNSERVED
from penstock.wire.milvus_grpc.property_changes import property_method
from penstock.wire.milvus_grpc.schemas import added_field, field_of, key_value_mapping


def methods(alterations: AlterationService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def rename(request: Request) -> object:
        alterations.rename(
            RenameCollection(
                caller=request.caller,
                cluster_id=request.cluster_id,
                database=request.database,
                name=request.message.oldName,
                new_name=request.message.newName,
                new_database=request.message.newDBName or None,
            )
        )
        return None

    def alter_properties(request: Request, properties: Mapping[str, str]) -> None:
        alterations.alter_properties(*qualified_name(request), properties)

    def drop_properties(request: Request, keys: Sequence[str]) -> None:
        alterations.drop_properties(*qualified_name(request), keys)

    def alter_field(request: Request) -> object:
        message = request.message
        if message.delete_keys:
            raise Unsupported(
                f"delete_keys of the field {shorten(message.field_name)} is not supported by this server: set its "
                "parameters to other values",
                field=message.field_name,
            )
        alterations.alter_field(*qualified_name(request), message.field_name, key_value_mapping(message.properties))
        return None

    def add_field(request: Request) -> object:
        with creating():
            alterations.add_field(*qualified_name(request), added_field(request.message.schema))
        return None

    def alter_schema(request: Request) -> object:
        with creating():
            alterations.add_field(*qualified_name(request), _field_to_add(request.message.action))
        return None

    return (
        grpc.method("AddCollectionField", add_field, action="collection.field.add", role=Role.WRITER),
        grpc.method("AlterCollectionSchema", alter_schema, action="collection.field.add", role=Role.WRITER),
        grpc.method("RenameCollection", rename, action="collection.rename", role=Role.WRITER),
        property_method(
            "AlterCollection",
            grpc,
            action="collection",
            role=Role.WRITER,
            alter=alter_properties,
            drop=drop_properties,
        ),
        grpc.method(
            "AlterCollectionField", alter_field, action="collection.field.alter_properties", role=Role.WRITER
        ),
    )


def _field_to_add(action: Any) -> Field:
    """Decode the action of ``AlterCollectionSchema``, of which the addition of one field is served.

    Raises:
        Refused: a field or function is to be dropped, or a function added.
        InvalidParameter: it adds no field, or several, or an index with it.
        InvalidSchema, MissingParameter, Unsupported: as :func:`added_field`.
    """
    added = action.add_request
    if action.HasField("drop_request") or added.func_schema:
        what = "a function" if added.func_schema or action.drop_request.function_name else "a field"
        done = "Adding" if added.func_schema else "Dropping"
        raise Refused(
            UNSERVED,
            f"service unimplemented: {done} {what} by AlterCollectionSchema is not served by Penstock; create a new "
            "collection and import into it",
        )
    if len(added.field_infos) != 1:
        raise InvalidParameter(f"AlterCollectionSchema adds one field in a call, but got {len(added.field_infos)}")
    (info,) = added.field_infos
    if info.index_name or info.extra_params:
        raise Unsupported(
            f"an index with the added field {shorten(info.field_schema.name)} is not supported by this server: add "
            "the field, then call create_index",
            field=info.field_schema.name,
        )
    return field_of(info.field_schema)
