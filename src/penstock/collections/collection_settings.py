"""Check the settings of a new collection: consistency level, shards, partitions, properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.collections.parameter_tables import COLLECTION_PROPERTIES
from penstock.collections.parameters import check_parameters
from penstock.collections.partitions import MAX_PARTITIONS
from penstock.domain.collections import DEFAULT_KEY_PARTITIONS, TTL, Collection, CollectionSettings, Database
from penstock.domain.parameter_values import text_values, whole_number
from penstock.domain.schema import CollectionSchema
from penstock.domain.times import TIMEZONE, InvalidTime, time_zone
from penstock.errors import InvalidParameter, shorten

CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually", "Customized")
DEFAULT_LEVEL = "Bounded"
MAX_SHARDS = 16
MAX_TTL = 10**12
"""In seconds."""


def collection_settings(
    schema: CollectionSchema,
    *,
    consistency_level: str = DEFAULT_LEVEL,
    shards: int = 1,
    key_partitions: int = 0,
    properties: Mapping[str, Any],
    ttl_seconds: object = None,
) -> CollectionSettings:
    """Check the settings of a new collection of a schema.

    Args:
        key_partitions: the number of partitions by the partition key; 0 or less is the default.
        properties: free-typed.
        ttl_seconds: the time to live of rows, where the request has a place of its own for it.

    Raises:
        InvalidParameter: a value is out of bounds, or the TTL is set twice.
        Unsupported: a property isn't served.
    """
    check_parameters(COLLECTION_PROPERTIES, properties)
    check_timezone(properties)
    check_consistency_level(consistency_level)
    if not 1 <= shards <= MAX_SHARDS:
        raise InvalidParameter(f"maximum shards's number should be limited to {MAX_SHARDS}", value=shards)
    return CollectionSettings(
        consistency_level=consistency_level,
        shards=shards,
        key_partitions=_key_partitions(key_partitions, schema),
        properties=_properties(properties, ttl_seconds),
    )


def with_properties(settings: CollectionSettings, properties: Mapping[str, Any]) -> CollectionSettings:
    """Set free-typed properties of a collection; others stay.

    Raises:
        InvalidParameter: a value is out of bounds, or the TTL is set twice.
        Unsupported: a property isn't served.
    """
    check_parameters(COLLECTION_PROPERTIES, properties)
    check_timezone(properties)
    return replace(settings, properties={**settings.properties, **_properties(properties, None)})


def without_properties(settings: CollectionSettings, keys: Sequence[str]) -> CollectionSettings:
    """Remove properties; missing ones are no error."""
    removed = {TTL if key == "ttl.seconds" else key for key in keys}
    kept = {key: value for key, value in settings.properties.items() if key not in removed}
    return replace(settings, properties=kept)


def settings_in(database: Database, settings: CollectionSettings) -> CollectionSettings:
    """The settings of a new collection of a database: it takes the database's time zone unless it has its own."""
    zone = settings.properties.get(TIMEZONE, database.properties.get(TIMEZONE))
    return settings if zone is None else replace(settings, properties={**settings.properties, TIMEZONE: zone})


def check_timezone(properties: Mapping[str, Any]) -> None:
    """Raise InvalidParameter if there is a ``timezone`` that is no IANA name."""
    zone = properties.get(TIMEZONE)
    if zone is None:
        return
    try:
        time_zone(str(zone))
    except InvalidTime as error:
        raise InvalidParameter(str(error), key=TIMEZONE, value=zone) from None


def in_timezone(collection: Collection, zone: object) -> Collection:
    """The collection as a request with this time zone reads it; without one it is the collection's own.

    Raises:
        InvalidParameter: there is no such zone.
    """
    try:
        return collection.in_timezone(str(zone)) if zone else collection
    except InvalidTime as error:
        raise InvalidParameter(str(error), key=TIMEZONE, value=zone) from None


def check_consistency_level(level: str) -> None:
    """Raise InvalidParameter unless this is the name of a consistency level, exact in case."""
    if level not in CONSISTENCY_LEVELS:
        raise InvalidParameter(
            f"consistencyLevel can only be [{', '.join(CONSISTENCY_LEVELS)}], default: {DEFAULT_LEVEL}, "
            f"err:there is no level {shorten(level)}",
            value=level,
        )


def _key_partitions(number: int, schema: CollectionSchema) -> int:
    if number <= 0:
        return DEFAULT_KEY_PARTITIONS
    if schema.partition_key is None:
        raise InvalidParameter("num_partitions should only be specified with partition key field enabled")
    if number > MAX_PARTITIONS:
        raise InvalidParameter(
            f"partition number ({number}) exceeds max configuration ({MAX_PARTITIONS})", value=number
        )
    return number


def _properties(properties: Mapping[str, Any], ttl_seconds: object) -> Mapping[str, str]:
    texts = text_values(properties)
    ttls: list[object] = [texts.pop(key) for key in (TTL, "ttl.seconds") if key in texts]
    if ttl_seconds is not None:
        ttls.append(ttl_seconds)
    if len(ttls) > 1:
        raise InvalidParameter("collection TTL is specified multiple times")
    return texts | {TTL: str(_whole_seconds(ttls[0]))} if ttls else texts


def _whole_seconds(value: object) -> int:
    seconds = whole_number(value)
    if seconds is None or abs(seconds) > MAX_TTL:
        raise InvalidParameter(
            f"{TTL} takes whole seconds up to {MAX_TTL}, or 0 for rows that never expire, but got {shorten(value)}",
            value=value,
        )
    return seconds
