"""Create the engines of the configured store. Importing it is slow: import this module only where it is needed."""

from __future__ import annotations

from penstock.domain.store_location import normal_place, overlap
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.layout.tables import TableCache
from penstock.engines.registry import EngineRegistry
from penstock.errors import InvalidParameter
from penstock.imports.memory_budget import search_caches
from penstock.machine import memory_limit
from penstock.server.storage_settings import table_store
from penstock.settings import Settings


def engine_of(settings: Settings) -> LanceEngine:
    """Create the engine on the server's own store: a prefix of an object store, or a folder of the data dir."""
    sizes = search_caches(settings.memory_budget, memory_limit().size)
    caches = TableCache(is_remote=bool(settings.storage_url), index_bytes=sizes.index, vector_bytes=sizes.vectors)
    return LanceEngine(
        settings.storage_url or str(settings.data_dir.resolve() / "collections"), table_store(settings), caches
    )


def engines_of(engine: LanceEngine) -> EngineRegistry:
    """The engines of all collections, given that on the server's own store, whose settings all stores share."""
    return EngineRegistry({engine.name: engine.at}, default=engine.name)


def check_store_of_cluster(settings: Settings, text: str) -> str:
    """Normalize the store location of a new cluster and check that it can hold tables.

    Raises:
        InvalidParameter: it is not a location for a store, or overlaps with the data dir or the server's own store.
        StorageError: it can't be used; the message says why.
    """
    try:
        place = normal_place(text)
        own = [
            normal_place(str(settings.data_dir)),
            *([normal_place(settings.storage_url)] if settings.storage_url else []),
        ]
    except ValueError as error:
        raise InvalidParameter(f"{text} is not a valid store: {error}", store=text) from error
    for location in own:
        if overlap(place, location):
            raise InvalidParameter(
                f"the store {place} and the server's own {location} overlap. Use a separate location for the cluster",
                store=place,
            )
    engine_of(settings).at(place).check()
    return place
