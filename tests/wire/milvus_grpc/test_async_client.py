"""pymilvus's client for asyncio: what it calls of its own accord, and what it reads."""

from __future__ import annotations

import asyncio
from typing import Any

from pymilvus import AnnSearchRequest, AsyncMilvusClient, DataType, MilvusException, RRFRanker

from tests.support.data_planes import DataPlane


def test_a_collection_from_its_creation_to_its_drop(plane: DataPlane) -> None:
    name, alias = plane.name(), plane.name("alias")

    async def define(client: AsyncMilvusClient) -> None:
        schema = client.create_schema(enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        params = client.prepare_index_params()
        params.add_index("vector", index_type="HNSW", metric_type="L2", params={"M": 8, "efConstruction": 64})
        await client.create_collection(name, schema=schema, index_params=params)
        await client.create_partition(name, "late")
        await client.create_alias(name, alias)

    async def read(client: AsyncMilvusClient) -> None:
        assert (await client.describe_collection(alias))["collection_name"] == name
        assert await client.list_partitions(name) == ["_default", "late"]
        assert await client.list_indexes(name) == ["vector"]
        assert (await client.get_collection_stats(name)) == {"row_count": 3}
        assert (await client.get_load_state(name))["state"].name == "Loaded"
        assert [row["id"] for row in await client.get(name, [2], output_fields=["id"])] == [2]
        several = [
            client.query(name, "color == {color}", output_fields=["id"], filter_params={"color": f"c{number}"})
            for number in range(1, 4)
        ]
        assert [[row["id"] for row in rows] for rows in await asyncio.gather(*several)] == [[1], [2], [3]]
        (hits,) = await client.search(name, [[2.2, 0.0]], limit=2, output_fields=["color"])
        assert [(hit["id"], hit["entity"]["color"]) for hit in hits] == [(2, "c2"), (3, "c3")]
        request = AnnSearchRequest([[2.2, 0.0]], "vector", {}, limit=2)
        (fused,) = await client.hybrid_search(name, [request, request], RRFRanker(), limit=1)
        assert [hit["id"] for hit in fused] == [2]
        await client.add_collection_field(name, "size", DataType.INT64, nullable=True)
        assert [row["size"] for row in await client.query(name, "id == 1", output_fields=["size"])] == [None]
        await client.flush(name)
        await client.refresh_load(name)

    async def refused(client: AsyncMilvusClient) -> None:
        for call, text in (
            (client.insert(name, {"id": 4, "vector": [1.0, 2.0]}), "rows come by import jobs"),
            (client.drop_collection_field(name, "size"), "Dropping a field by AlterCollectionSchema is not served"),
            (client.query(name, "id > 0", order_by_fields=["id"]), "order_by_fields"),
            (client.drop_collection(name), "has associated aliases"),
        ):
            assert text in await message(call)

    async def message(call: Any) -> str:
        try:
            await call
        except MilvusException as error:
            return str(error.message)
        return "it was served"

    async def run() -> None:
        async with AsyncMilvusClient(f"http://{plane.address}", timeout=30) as client:
            await define(client)
            plane.put(name, [{"id": i, "vector": [i, 0], "color": f"c{i}"} for i in range(1, 4)])
            await read(client)
            await refused(client)
            await client.drop_alias(alias)
            await client.drop_collection(name)
            assert not await client.has_collection(name)

    asyncio.run(run())
