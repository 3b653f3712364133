"""CreateCollection: decode a ``CollectionSchema`` message.

The message has the members of REST's ``schema`` object under other names. It is parsed as that object, so that both
protocols accept the same schemas and refuse others with the same texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError

from penstock.collections.collection_settings import collection_settings
from penstock.collections.collections import CollectionService
from penstock.collections.parameter_tables import FIELD_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.domain.access import Role
from penstock.domain.rest_schema import field_from_rest, schema_from_rest
from penstock.domain.schema import MAX_FIELDS, CollectionSchema, Field
from penstock.errors import InvalidParameter, InvalidSchema, Unsupported, shorten
from penstock.wire.milvus.call_errors import creating
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import qualified_name
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import common_pb2, schema_pb2

_TYPE_PARAMS = replace(FIELD_PARAMS, where="type_params")
_UNSERVED_MEMBERS = ("external_source", "external_spec", "enable_namespace")


def methods(collections: CollectionService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def create(request: Request) -> object:
        message = request.message
        with creating():
            schema = schema_of(message.schema)
            settings = collection_settings(
                schema,
                consistency_level=_enum_name(common_pb2.ConsistencyLevel, message.consistency_level),
                shards=message.shards_num or 1,
                key_partitions=message.num_partitions,
                properties=key_value_mapping(message.properties),
            )
            collections.create(*qualified_name(request), schema, settings)
        return None

    return (grpc.method("CreateCollection", create, action="collection.create", role=Role.WRITER),)


def schema_of(encoded: bytes) -> CollectionSchema:
    """Decode a schema; the rules between its fields are left to ``schema.check()``.

    Raises:
        InvalidParameter: the bytes are no ``CollectionSchema``, or a type parameter is unknown or invalid.
        InvalidSchema: a type or default can't be understood, or there are more fields than a collection may have.
        MissingParameter: a field without a name.
        Unsupported: a type, function or setting that isn't served.
    """
    try:
        message = schema_pb2.CollectionSchema.FromString(encoded)
    except DecodeError as error:
        raise InvalidParameter("the schema of the new collection is not a CollectionSchema message") from error
    _check_size(message)
    for member in _UNSERVED_MEMBERS:
        if getattr(message, member):
            raise Unsupported(f"{member} is not supported by this server; omit it", key=member)
    return schema_from_rest(
        {
            # Clients set it in both places, Milvus reads that of the field.
            "autoId": message.autoID or any(field.autoID for field in message.fields),
            "enableDynamicField": message.enable_dynamic_field,
            "description": message.description,
            "functions": [_function(function) for function in message.functions],
            "fields": [_field(field) for field in message.fields],
            "structFields": [_struct(struct) for struct in message.struct_array_fields],
        }
    )


def added_field(encoded: bytes) -> Field:
    """Decode the ``FieldSchema`` of a field to add. Raises as :func:`schema_of`."""
    try:
        message = schema_pb2.FieldSchema.FromString(encoded)
    except DecodeError as error:
        raise InvalidParameter("the schema of the added field is not a FieldSchema message") from error
    return field_of(message)


def field_of(message: Any) -> Field:
    """Convert a ``FieldSchema`` message. Raises as :func:`schema_of`."""
    return field_from_rest(_field(message))


def _function(message: Any) -> dict[str, Any]:
    return {
        "name": message.name,
        "type": _enum_name(schema_pb2.FunctionType, message.type),
        "inputFieldNames": list(message.input_field_names),
        "outputFieldNames": list(message.output_field_names),
        "params": key_value_mapping(message.params),
        "description": message.description,
    }


def key_value_mapping(pairs: Iterable[Any]) -> dict[str, str]:
    """``KeyValuePair`` messages as a mapping; of a repeated key the last value counts."""
    return {pair.key: pair.value for pair in pairs}


def _check_size(message: Any) -> None:
    """Limit the number of fields before parsing any: a message has room for millions."""
    structs = message.struct_array_fields
    if len(message.fields) + sum(len(struct.fields) or 1 for struct in structs) > MAX_FIELDS:
        raise InvalidSchema(f"maximum field's number should be limited to {MAX_FIELDS}")


def _field(message: Any) -> dict[str, Any]:
    if message.is_dynamic:
        raise InvalidParameter(
            f"cannot explicitly set a field as a dynamic field: {shorten(message.name)}; set enable_dynamic_field of "
            "the schema",
            field=message.name,
        )
    if message.external_field:
        raise Unsupported(
            f"external_field of the field {shorten(message.name)} is not supported by this server: rows come by "
            "import jobs; omit it",
            field=message.name,
        )
    if message.autoID and not message.is_primary_key:
        raise InvalidParameter(
            f"only primary field can specify AutoID with true, field name = {shorten(message.name)}",
            field=message.name,
        )
    field = {
        "fieldName": message.name,
        "dataType": _enum_name(schema_pb2.DataType, message.data_type),
        "description": message.description,
        "isPrimary": message.is_primary_key,
        "isPartitionKey": message.is_partition_key,
        "isClusteringKey": message.is_clustering_key,
        "nullable": message.nullable,
        "defaultValue": _default(message),
        "elementTypeParams": _type_params(message),
    }
    if message.element_type:
        field["elementDataType"] = _enum_name(schema_pb2.DataType, message.element_type)
    return field


def _struct(message: Any) -> dict[str, Any]:
    fields = [_field(field) for field in message.fields]
    if message.nullable:
        # Clients repeat it in the fields, which are null together with their struct.
        fields = [{**field, "nullable": False} for field in fields]
    return {
        "fieldName": message.name,
        "description": message.description,
        "nullable": message.nullable,
        "typeParams": _type_params(message),
        "fields": fields,
    }


def _type_params(message: Any) -> dict[str, str]:
    params = key_value_mapping(message.type_params)
    check_parameters(_TYPE_PARAMS, params)
    return params


def _default(message: Any) -> Any:
    member = message.default_value.WhichOneof("data")
    return None if member is None else getattr(message.default_value, member)


def _enum_name(enum: Any, number: int) -> str:
    """The name of an enum's value; of a value that the installed protos lack, its digits."""
    return str(enum.Name(number)) if number in enum.values() else str(number)
