"""Render inferred schemas in the Milvus v2 dialect."""

from __future__ import annotations

from typing import Any

from penstock.domain.index import IndexSpec
from penstock.domain.rest_schema import schema_to_rest
from penstock.inference.inferred import InferredSchema


def inferred_to_rest(inferred: InferredSchema) -> dict[str, Any]:
    """Render a schema as ``collections/create`` takes it, with the reason for each field."""
    return {
        "schema": schema_to_rest(inferred.schema),
        "indexParams": [_index(index) for index in inferred.indexes],
        "fields": [
            {
                "fieldName": field.field.name,
                "dataType": field.field.type.value,
                "reason": field.reason,
                "alternatives": list(field.alternatives),
            }
            for field in inferred.fields
        ],
        "dynamic": [{"name": column.name, "reason": column.reason} for column in inferred.dynamic],
        "notes": list(inferred.notes),
        "sampledRows": inferred.rows,
        "sampledFiles": list(inferred.sampled),
        "isComplete": inferred.is_complete,
        "mapping": dict(inferred.mapping),
    }


def _index(index: IndexSpec) -> dict[str, Any]:
    return {
        "fieldName": index.field_name,
        "indexName": index.name,
        "indexType": index.type,
        "metricType": index.metric.value if index.metric else "",
    }
