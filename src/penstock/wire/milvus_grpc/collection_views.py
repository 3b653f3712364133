"""Render a collection as the answer of DescribeCollection."""

from __future__ import annotations

from typing import Any

from penstock.collections.description import CollectionDescription, FieldDescription, FunctionDescription
from penstock.domain.collections import Collection
from penstock.domain.schema import DataType
from penstock.wire.milvus.properties import key_values, type_params
from penstock.wire.milvus_grpc.stubs import milvus_pb2, schema_pb2
from penstock.wire.milvus_grpc.times import hybrid_timestamp, millis

_DEFAULT_VALUES = {
    DataType.BOOL: "bool_data",
    DataType.INT8: "int_data",
    DataType.INT16: "int_data",
    DataType.INT32: "int_data",
    DataType.INT64: "long_data",
    DataType.FLOAT: "float_data",
    DataType.DOUBLE: "double_data",
    DataType.VARCHAR: "string_data",
    DataType.TEXT: "string_data",
    DataType.TIMESTAMPTZ: "string_data",
    DataType.GEOMETRY: "string_data",
}
"""The member of the proto's ValueField for default values of a type."""


def description(shown: CollectionDescription) -> Any:
    """The DescribeCollectionResponse.

    Clients cache schemas by ``update_timestamp``: it is the time of the last change of the schema.
    """
    collection = shown.collection
    updated = hybrid_timestamp(collection.updated_at)
    return milvus_pb2.DescribeCollectionResponse(
        schema=schema_pb2.CollectionSchema(
            name=collection.name,
            description=collection.schema.description,
            autoID=collection.schema.auto_id,
            fields=[_field(field, collection) for field in shown.fields if not field.is_struct_array],
            struct_array_fields=[_struct(field, collection) for field in shown.fields if field.is_struct_array],
            enable_dynamic_field=collection.schema.dynamic,
            functions=[_function(function) for function in shown.functions],
            dbName=collection.database,
            properties=key_values(collection.settings.properties),
        ),
        collectionID=collection.number,
        aliases=shown.aliases,
        created_timestamp=hybrid_timestamp(collection.created_at),
        created_utc_timestamp=millis(collection.created_at),
        shards_num=collection.settings.shards,
        consistency_level=collection.settings.consistency_level,
        collection_name=collection.name,
        properties=key_values(collection.settings.properties),
        db_name=collection.database,
        db_id=collection.database_id,
        num_partitions=len(shown.partitions),
        update_timestamp=updated,
        update_timestamp_str=str(updated),
    )


def _function(shown: FunctionDescription) -> Any:
    return schema_pb2.FunctionSchema(
        name=shown.function.name,
        id=shown.id,
        description=shown.function.description,
        type=shown.function.type.value,
        input_field_names=shown.function.inputs,
        input_field_ids=shown.input_ids,
        output_field_names=shown.function.outputs,
        output_field_ids=shown.output_ids,
    )


def _struct(struct: FieldDescription, collection: Collection) -> Any:
    return schema_pb2.StructArrayFieldSchema(
        fieldID=struct.id,
        name=struct.field.name,
        description=struct.field.description,
        fields=[_subfield(subfield, collection) for subfield in struct.fields],
        type_params=type_params(struct.field),
        nullable=struct.field.nullable,
    )


def _subfield(subfield: FieldDescription, collection: Collection) -> Any:
    message = _field(subfield, collection)
    message.element_type = message.data_type
    message.data_type = schema_pb2.DataType.Value("ArrayOfVector" if subfield.field.type.is_vector else "Array")
    return message


def _field(shown: FieldDescription, collection: Collection) -> Any:
    field = shown.field
    message = schema_pb2.FieldSchema(
        fieldID=shown.id,
        name=field.name,
        is_primary_key=field.primary,
        description=field.description,
        data_type=field.type.value,
        type_params=type_params(field),
        autoID=collection.schema.is_generated(field),
        state="FieldCreated",
        is_partition_key=field.partition_key,
        is_clustering_key=field.clustering_key,
        nullable=field.nullable,
        is_function_output=field.function_output,
    )
    if field.element_type is not None:
        message.element_type = schema_pb2.DataType.Value(field.element_type.value)
    if field.default is not None:
        setattr(message.default_value, _DEFAULT_VALUES[field.type], field.shown_default)
    return message
