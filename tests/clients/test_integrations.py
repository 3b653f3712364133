"""What others built on pymilvus reads imported collections: LangChain, LlamaIndex, milvus_cli."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import penstock
from tests.clients.conftest import ClientServer
from tests.support.clients import run_client

pytestmark = [pytest.mark.clients, pytest.mark.slow]

PROGRAMS = Path(__file__).parent
ROWS_COME_BY_IMPORT = "rows come by import jobs: call utility.do_bulk_insert"


def test_langchain(client_server: ClientServer) -> None:
    program = PROGRAMS / "langchain_reads.py"
    results = json.loads(run_client("langchain", program, client_server.url, client_server.key, client_server.files))
    assert ROWS_COME_BY_IMPORT in results.pop("add_texts")
    assert results == {
        "similarity_search": ["text 3", "text 2"],
        "with_score": [
            ["text 3", {"pk": "k3", "page": 3, "topic": "odd"}, 0.0],
            ["text 1", {"pk": "k1", "page": 1, "topic": "odd"}, 4.0],
        ],
        "max_marginal_relevance": ["text 3", "text 2"],
        "retriever": ["text 7"],
        "get_pks": ["k8", "k9"],
    }


def test_llama_index(client_server: ClientServer) -> None:
    program = PROGRAMS / "llama_index_reads.py"
    results = json.loads(
        run_client("llama-index", program, client_server.url, client_server.key, client_server.files)
    )
    assert ROWS_COME_BY_IMPORT in results.pop("add")
    assert results == {
        "query": [["n9", "n8"], [9.0, 8.0], ["text 9", "text 8"]],
        "filtered": [["n8", "n6"], [{"topic": "even"}, {"topic": "even"}]],
        "get_nodes": ["text 3"],
    }


def test_milvus_cli(client_server: ClientServer, tmp_path: Path) -> None:
    name = "cli_docs"
    file = client_server.files / f"{name}.jsonl"
    file.write_text("".join(f'{{"id": {n}, "vector": [{n}, 0], "color": "red"}}\n' for n in (1, 2)))
    with penstock.Client(client_server.url, api_key=client_server.key) as client:
        client.collections.create(name, dimension=2)
        client.imports.wait(client.imports.create(name, [[str(file)]]))
    program = PROGRAMS / "milvus_cli_commands.py"
    results = json.loads(run_client("langchain", program, client_server.url, client_server.key, tmp_path, name))
    assert {command: output for command, (code, output) in results.items() if code != 0 or "rror" in output} == {}
    told = {
        "connect": "Connect Milvus successfully.",
        "server_version": "v2.6.0",
        "list collections": "docs",
        "list partitions": "['_default', 'late']",
        "list indexes": "AUTOINDEX",
        "show load_state": "Loaded",
        "list aliases": "cli_alias",
        "show collection_stats": "{'row_count': 2}",
        "get": "red",
        "query": "red",
    }
    assert {command: text for command, text in told.items() if text not in results[command][1]} == {}
