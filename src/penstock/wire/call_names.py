"""The objects that a JSON request names, for the audit log."""

from __future__ import annotations

from penstock.access.admission import CallNames
from penstock.domain.parameter_values import MAX_INT64, whole_number
from penstock.wire.decoding import Fields

_SUBJECTS = (
    "partitionName",
    "indexName",
    "fieldName",
    "aliasName",
    "newDbName",
    "newCollectionName",
    "userName",
    "roleName",
    "webhookId",
)


def call_names(fields: Fields) -> CallNames:
    """Read the names of a body or query; values of a wrong type, which decoding refuses later, are left out."""
    job_id = whole_number(fields.value("jobId"))
    return CallNames(
        cluster_id=_text(fields, "clusterId"),
        database=_text(fields, "dbName"),
        collection=_text(fields, "collectionName"),
        job_id=job_id if job_id is not None and 0 <= job_id <= MAX_INT64 else None,
        subjects=[name for key in _SUBJECTS if (name := _text(fields, key))],
    )


def _text(fields: Fields, key: str) -> str | None:
    value = fields.value(key)
    return value if isinstance(value, str) else None
