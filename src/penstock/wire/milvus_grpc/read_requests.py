"""What requests for rows and their answers have in common: query, search and hybrid search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from penstock.collections.collections import CollectionService
from penstock.collections.entities import OutputFields
from penstock.domain.collections import Collection
from penstock.domain.parameter_values import whole_number
from penstock.domain.schema import META_FIELD
from penstock.errors import CollectionNotFound, InvalidParameter, Unsupported, shorten
from penstock.wire.milvus_grpc.collections import cannot_find, qualified_name
from penstock.wire.milvus_grpc.dialect import Request
from penstock.wire.milvus_grpc.times import hybrid_timestamp


def collection_to_read(request: Request, collections: CollectionService) -> Collection:
    """The request's collection. Raises CollectionNotFound with the text of calls that read a schema."""
    try:
        return collections.get(*qualified_name(request))
    except CollectionNotFound as error:
        raise cannot_find(request, error) from error


def refuse_members(message: Any, names: Sequence[str], what: str) -> None:
    """Raise Unsupported if a member of these is set; ``what`` names the request in the error."""
    for field, value in message.ListFields():
        if field.name in names and value != "":
            raise Unsupported(f"{field.name} of {what} is not supported by this server; omit it", key=field.name)


def check_ids(collection: Collection, parameters: Mapping[str, str]) -> None:
    """Check that an iterator reads the collection that it began with, and a session the cluster that it names.

    Raises:
        InvalidParameter: another collection has the name now, or the call is in another cluster.
    """
    number, cluster_id = parameters.get("collection_id"), parameters.get("cluster_id")
    if cluster_id and cluster_id != collection.cluster_id:
        raise InvalidParameter(
            f"cluster_id is {shorten(cluster_id)}, but a call reads the cluster of its credentials, which is "
            f"{collection.cluster_id}: take a key or user of the other cluster, or leave cluster_id out",
            key="cluster_id",
        )
    if number and number != str(collection.number):
        raise InvalidParameter(
            f"Input collection id is not consistent to collectionID in the context, "
            f"alias or database may have changed: collection_id is {shorten(number)}, "
            f"{collection.name} is {collection.number}. Begin a new iterator",
            key="collection_id",
        )


def whole_parameter(parameters: Mapping[str, Any], key: str) -> int | None:
    """The whole number of a parameter; None without it.

    Raises:
        InvalidParameter: it is another value.
    """
    value = parameters.get(key)
    if value is None or value == "":
        return None
    number = whole_number(value)
    if number is None:
        raise InvalidParameter(f"{key} [{shorten(value)}] is invalid, it should be a whole number", key=key)
    return number


def output_names(fields: OutputFields) -> list[str]:
    """The names of a result's fields, of dynamic ones their keys, or ``$meta`` if all are shown."""
    return [*fields.columns, *((META_FIELD,) if fields.meta_keys is None else fields.meta_keys)]


def session_timestamp(*, without_radius: bool = False) -> int:
    """The hybrid timestamp of now, which iterators send with their next calls; these are strongly consistent anyway.

    Its lowest bit is the mark that :func:`is_without_radius` reads.
    """
    return hybrid_timestamp(datetime.now(UTC)) | without_radius


def is_without_radius(timestamp: int) -> bool:
    """Whether an iterator that sends this timestamp began without a radius, so that its radius is not the user's."""
    return bool(timestamp & 1)
