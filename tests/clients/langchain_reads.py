"""LangChain's vector store reads a collection that was imported.

Arguments: the server's address, an API key, a folder of its import roots. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langchain_milvus import Milvus
from pymilvus import DataType, MilvusClient, connections, utility

URL, KEY, FOLDER = sys.argv[1:]
NAME = "langchain"


class NumberEmbeddings(Embeddings):  # type: ignore[misc]  # no types here
    """A text's last word is its place on a line."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(text.split()[-1]), 0.0, 0.0, 0.0]


def imported() -> None:
    client = MilvusClient(URL, token=KEY)
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("text", DataType.VARCHAR, max_length=200)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    params = client.prepare_index_params()
    params.add_index("vector", index_type="HNSW", metric_type="L2", params={"M": 8, "efConstruction": 64})
    client.create_collection(NAME, schema=schema, index_params=params)
    rows = [
        {
            "pk": f"k{number}",
            "text": f"text {number}",
            "vector": [number, 0, 0, 0],
            "topic": "odd" if number % 2 else "even",
            "page": number,
        }
        for number in range(10)
    ]
    file = Path(FOLDER) / f"{NAME}.json"
    file.write_text(json.dumps(rows))
    connections.connect(uri=URL, token=KEY)
    task = utility.do_bulk_insert(NAME, [str(file)])
    while utility.get_bulk_insert_state(task).state_name not in ("Completed", "Failed"):
        time.sleep(0.1)


imported()
store = Milvus(
    embedding_function=NumberEmbeddings(),
    collection_name=NAME,
    connection_args={"uri": URL, "token": KEY},
    enable_dynamic_field=True,
)
scored = store.similarity_search_with_score("text 3", k=2, expr='topic == "odd"')
try:
    store.add_texts(["text 99"], ids=["k99"])
except Exception as error:  # noqa: BLE001 - its type differs between releases
    refused = str(error)
results = {
    "similarity_search": [document.page_content for document in store.similarity_search("text 3", k=2)],
    "with_score": [[document.page_content, document.metadata, score] for document, score in scored],
    "max_marginal_relevance": [
        document.page_content for document in store.max_marginal_relevance_search("text 3", k=2, fetch_k=5)
    ],
    "retriever": [each.page_content for each in store.as_retriever(search_kwargs={"k": 1}).invoke("text 7")],
    "get_pks": store.get_pks("page > 7"),
    "add_texts": refused,
}
utility.drop_collection(NAME)
print(json.dumps(results))
