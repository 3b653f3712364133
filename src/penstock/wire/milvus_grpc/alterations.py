"""Changes of collections that exist: their name, their fields, the properties of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.collections.alterations import AlterationService, RenameCollection
from penstock.domain.access import Role
from penstock.errors import Unsupported, shorten
from penstock.wire.milvus.call_errors import creating
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import qualified_name
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.property_changes import property_method
from penstock.wire.milvus_grpc.schemas import added_field, key_value_mapping


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

    return (
        grpc.method("RenameCollection", rename, action="collection.rename", role=Role.WRITER),
        property_method(
            "AlterCollection",
            grpc,
            action="collection",
            role=Role.WRITER,
            alter=alter_properties,
            drop=drop_properties,
        ),
        grpc.method("AddCollectionField", add_field, action="collection.field.add", role=Role.WRITER),
        grpc.method(
            "AlterCollectionField", alter_field, action="collection.field.alter_properties", role=Role.WRITER
        ),
    )
