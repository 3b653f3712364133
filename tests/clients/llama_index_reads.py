"""LlamaIndex's vector store reads nodes that were imported.

Arguments: the server's address, an API key, a folder of its import roots. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.utils import node_to_metadata_dict
from llama_index.vector_stores.milvus import MilvusVectorStore
from pymilvus import DataType, MilvusClient, connections, utility

URL, KEY, FOLDER = sys.argv[1:]
NAME = "llama_index"


def row(number: int) -> dict[str, Any]:
    """A node as the store writes it."""
    node = TextNode(id_=f"n{number}", text=f"text {number}", metadata={"topic": "odd" if number % 2 else "even"})
    metadata = node_to_metadata_dict(node, remove_text=True)
    return {"id": node.id_, "embedding": [number, 1, 0, 0], "text": node.text, **metadata}


def imported() -> None:
    client = MilvusClient(URL, token=KEY)
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=65535)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=4)
    params = client.prepare_index_params()
    params.add_index("embedding", index_type="FLAT", metric_type="IP")
    client.create_collection(NAME, schema=schema, index_params=params)
    file = Path(FOLDER) / f"{NAME}.json"
    file.write_text(json.dumps([row(number) for number in range(10)]))
    connections.connect(uri=URL, token=KEY)
    task = utility.do_bulk_insert(NAME, [str(file)])
    while utility.get_bulk_insert_state(task).state_name not in ("Completed", "Failed"):
        time.sleep(0.1)


imported()
store = MilvusVectorStore(
    uri=URL, token=KEY, collection_name=NAME, dim=4, embedding_field="embedding", text_key="text", overwrite=False
)
vector = [1.0, 0.0, 0.0, 0.0]
found = store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=2))
even = MetadataFilters(filters=[MetadataFilter(key="topic", value="even")])
filtered = store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=2, filters=even))
try:
    store.add([TextNode(id_="x", text="x", embedding=vector)])
except Exception as error:  # noqa: BLE001 - its type differs between releases
    refused = str(error)
results = {
    "query": [found.ids, found.similarities, [node.get_content() for node in found.nodes]],
    "filtered": [filtered.ids, [node.metadata for node in filtered.nodes]],
    "get_nodes": [node.get_content() for node in store.get_nodes(node_ids=["n3"])],
    "add": refused,
}
utility.drop_collection(NAME)
print(json.dumps(results))
