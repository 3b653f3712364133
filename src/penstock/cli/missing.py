"""The nearest name where a collection, a database, a partition, a field or an index type doesn't exist."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from penstock.cli.errors import COLLECTION_UNKNOWN, DATABASE_UNKNOWN, explain
from penstock.cli.groups import did_you_mean
from penstock.domain.index import INDEX_TYPES
from penstock.sdk.errors import ApiError, SdkError

if TYPE_CHECKING:
    from penstock.sdk.client import Client


def explain_with_nearest(error: ApiError, client: Client, values: Mapping[str, Any]) -> str:
    """Explain an error, with the nearest name that exists. ``values`` are those of the command."""
    hint = ""
    with suppress(SdkError):  # the hint only helps; the error to show is the first one
        hint = _hint(error, client, values)
    message, newline, rest = (explain(error) or str(error)).partition("\n")
    return f"{message}\n{hint}{newline}{rest}" if hint else message + newline + rest


def _hint(error: ApiError, client: Client, values: Mapping[str, Any]) -> str:
    collection = str(values.get("collection") or values.get("name") or "")
    if error.code in DATABASE_UNKNOWN:
        databases = client.databases.list()
        asked = client.database if client.database not in databases else str(values.get("name") or "")
        return did_you_mean(asked, databases)
    if error.code in COLLECTION_UNKNOWN:
        collections = client.collections.list()
        return "" if collection in collections else did_you_mean(collection, collections)
    for partition in [values.get("partition"), *(values.get("partitions") or ())]:
        if partition and partition in error.message:
            known = client.partitions.list(collection)
            return "" if partition in known else did_you_mean(partition, known)
    index_type = str(values.get("index_type") or "").upper()
    if index_type and index_type in error.message:
        return "" if index_type in INDEX_TYPES else did_you_mean(index_type, INDEX_TYPES)
    field = values.get("field")
    if field and field in error.message:
        fields = [each.name for each in client.collections.describe(collection).fields]
        return "" if field in fields else did_you_mean(field, fields)
    return ""
