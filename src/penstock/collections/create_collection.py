"""Create a collection with its indexes, and load it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.collections.collections import CollectionService
from penstock.collections.index_requests import CreateIndex
from penstock.collections.indexes import IndexService
from penstock.domain.collections import Collection, CollectionSettings
from penstock.domain.schema import CollectionSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCollection:
    """The request for a collection; with ``load`` it is loaded once its indexes are created."""

    name: str
    schema: CollectionSchema
    settings: CollectionSettings = field(default_factory=CollectionSettings)
    indexes: Sequence[CreateIndex] = ()
    load: bool = False


def create_collection(
    collections: CollectionService,
    indexes: IndexService,
    cluster_id: str,
    database: str,
    request: CreateCollection,
) -> Collection:
    """Create an empty collection and its indexes; an identical existing one is returned.

    As in Milvus the collection stays when an index of it is refused, and so do the indexes before that one.

    Raises:
        DatabaseNotFound, InvalidName, InvalidSchema, CollectionExists: from :meth:`CollectionService.create`.
        FieldNotFound, Unsupported, InvalidParameter, IndexExists: from :meth:`IndexService.create`.
        IndexNotFound, InvalidParameter: from :meth:`CollectionService.load`.
    """
    collection = collections.create(cluster_id, database, request.name, request.schema, request.settings)
    for index in request.indexes:
        indexes.create(collection, index)
    if request.load:
        collections.load(cluster_id, database, request.name)
    return collection
