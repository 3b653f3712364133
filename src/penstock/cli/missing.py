"""The nearest name where a collection, a database or a partition doesn't exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from penstock.cli.errors import COLLECTION_UNKNOWN, DATABASE_UNKNOWN, PARTITION_UNKNOWN, explain
from penstock.cli.groups import did_you_mean
from penstock.sdk.errors import NotFound, SdkError

if TYPE_CHECKING:
    from penstock.sdk.client import Client


def explain_missing(error: NotFound, client: Client, values: Mapping[str, Any]) -> str:
    """Explain an error, with the nearest name that exists. ``values`` are those of the command."""
    asked, names = "", list[str]()
    collection = str(values.get("collection") or values.get("name") or "")
    with suppress(SdkError):  # the names only help; the error to show is the first one
        if error.code in COLLECTION_UNKNOWN:
            asked, names = collection, list(client.collections.list())
        elif error.code in DATABASE_UNKNOWN:
            names = list(client.databases.list())
            asked = client.database if client.database not in names else str(values.get("name") or "")
        elif error.code in PARTITION_UNKNOWN:
            asked, names = _unknown_partition(values, client.partitions.list(collection))
    explained = explain(error) or str(error)
    hint = did_you_mean(asked, names) if asked not in names else ""
    message, newline, rest = explained.partition("\n")
    return f"{message}\n{hint}{newline}{rest}" if hint else explained


def _unknown_partition(values: Mapping[str, Any], known: Sequence[str]) -> tuple[str, list[str]]:
    named = [values.get("partition"), *(values.get("partitions") or ())]
    return next((str(name) for name in named if name and name not in known), ""), list(known)
