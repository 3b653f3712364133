"""Clusters, databases, collections and partitions as the catalog stores them: frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from penstock.domain.schema import CollectionSchema
from penstock.domain.times import TIMEZONE, UTC_ZONE, InvalidTime, time_zone

TTL = "collection.ttl.seconds"
"""The property with the time to live of rows; 0 or less is forever."""

DEFAULT_PARTITION_NUMBER = 0
DEFAULT_KEY_PARTITIONS = 16


class LoadState(StrEnum):
    """The load state of a collection. A never loaded one is served too; a released one isn't."""

    NEVER = "never"
    LOADED = "loaded"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """A tenant: it owns clusters, keys and users."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A named set of databases. ``org_id`` is the owner.

    ``store`` is the place of its collections, a folder or ``s3://bucket/prefix``; "" is the server's own store.
    """

    id: str
    org_id: str
    region: str
    name: str
    store: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    id: int
    cluster_id: str
    name: str
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """Settings of a collection besides its schema. Penstock always reads its own writes."""

    consistency_level: str = "Bounded"
    shards: int = 1
    key_partitions: int = DEFAULT_KEY_PARTITIONS
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def timezone(self) -> str:
        """The time zone of times without an offset, and of times in results."""
        zone = self.properties.get(TIMEZONE, UTC_ZONE)
        try:
            time_zone(zone)
        except InvalidTime:  # earlier releases stored any text
            return UTC_ZONE
        return zone

    @property
    def ttl_seconds(self) -> int | None:
        """Time to live of rows in seconds, from their job's commit; None is forever."""
        text = self.properties.get(TTL, "0")
        # Earlier releases stored invalid values too, and kept rows forever.
        seconds = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
        return seconds or None

    def to_json(self) -> dict[str, Any]:
        return {
            "consistency_level": self.consistency_level,
            "shards": self.shards,
            "key_partitions": self.key_partitions,
            "properties": dict(self.properties),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CollectionSettings:
        return cls(**data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection. ``id`` (a uuid) names its table in the engine, ``number`` is its id on the Milvus wire.

    ``version`` is the last engine version that a publish or index build committed; readers open at least that.
    ``engine`` is the name of the engine that keeps the table, ``store`` is its cluster's.
    ``updated_at`` rises with every change of name, schema or properties, by which clients cache schemas.
    ``store`` is its cluster's.
    """

    id: str
    number: int
    cluster_id: str
    database_id: int
    database: str
    name: str
    schema: CollectionSchema
    settings: CollectionSettings
    load_state: LoadState
    version: int
    created_at: datetime
    engine: str
    updated_at: datetime
    store: str = ""

    def in_timezone(self, timezone: str | None) -> Collection:
        """The collection with times in this time zone; None is its own.

        Raises:
            InvalidTime: there is no such zone.
        """
        if not timezone:
            return self
        time_zone(timezone)
        return replace(self, schema=self.schema.in_timezone(timezone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A second name of a collection, in the same database. ``collection`` is the collection's own name."""

    name: str
    database: str
    collection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition. ``number`` is in the hidden partition column of its rows and never reused after a drop."""

    collection_id: str
    number: int
    name: str
