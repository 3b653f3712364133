"""A program for released clients of Milvus: defines collections, imports files, manages users.

Arguments: the server's address, an API key, a folder of its import roots, the release.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymilvus import (
    BulkInsertState,
    Collection,
    CollectionSchema,
    DataType,
    FieldSchema,
    MilvusClient,
    MilvusException,
    connections,
    utility,
)

URL, KEY, FOLDER, RELEASE = sys.argv[1:]
SINCE_2_6 = not RELEASE.startswith("2.4")
PREFIX = "r" + RELEASE.replace(".", "_")
ROWS = 300


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> MilvusException:
    try:
        call(*args, **kwargs)
    except MilvusException as error:
        return error
    raise AssertionError(f"{call} was served")


def quick_setup(client: MilvusClient) -> None:
    name = f"{PREFIX}_quick"
    client.create_collection(name, dimension=4)
    assert client.get_load_state(name)["state"].name == "Loaded"
    assert client.list_indexes(name) == ["vector"]
    index = client.describe_index(name, "vector")
    assert (index["index_type"], index["metric_type"], index["field_name"]) == ("AUTOINDEX", "COSINE", "vector")
    assert (index["state"], index["total_rows"], index["pending_index_rows"]) == ("Finished", 0, 0)
    client.create_collection(name, dimension=4)
    error = refused(client.create_collection, name, dimension=8)
    assert "create duplicate collection with different parameters" in error.message, error
    for write in (client.insert, client.upsert):
        assert "utility.do_bulk_insert" in refused(write, name, [{"id": 1, "vector": [0.1, 0.2, 0.3, 0.4]}]).message
    assert "rows come by import jobs" in refused(client.delete, name, ids=[1]).message
    client.drop_collection(name)


def schema_with_indexes(client: MilvusClient) -> None:
    name = f"{PREFIX}_schema"
    schema = MilvusClient.create_schema(auto_id=True, enable_dynamic_field=True)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("tag", DataType.INT64, is_partition_key=True)
    schema.add_field("words", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=8, max_length=20)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=8)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    params = client.prepare_index_params()
    params.add_index("dense", index_type="HNSW", metric_type="L2", params={"M": 16, "efConstruction": 64})
    params.add_index("sparse", index_name="sparse_idx", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    params.add_index("tag")
    client.create_collection(name, schema=schema, index_params=params, num_partitions=4, consistency_level="Strong")
    described = client.describe_collection(name)
    assert [field["name"] for field in described["fields"]] == ["pk", "tag", "words", "dense", "sparse"]
    assert described["auto_id"]
    assert described["num_partitions"] == 4
    assert sorted(client.list_indexes(name)) == ["dense", "sparse_idx", "tag"]
    assert client.list_indexes(name, field_name="sparse") == ["sparse_idx"]
    assert client.describe_index(name, "nope") is None
    client.refresh_load(name)
    client.release_collection(name)
    client.drop_index(name, "dense")
    assert sorted(client.list_indexes(name)) == ["sparse_idx", "tag"]
    assert "there is no vector index on field: [dense]" in refused(client.load_collection, name).message
    again = client.prepare_index_params()
    again.add_index("dense", metric_type="IP", index_type="IVF_FLAT", params={"nlist": 16})
    client.create_index(name, again)
    index = client.describe_index(name, "dense")
    assert (index["index_type"], index["metric_type"]) == ("IVF_FLAT", "IP"), index
    client.load_collection(name)
    client.drop_collection(name)
    bad = MilvusClient.create_schema()
    bad.add_field("id", DataType.INT64, is_primary=True)
    assert "vector field" in refused(client.create_collection, name, schema=bad).message


def bulk_insert() -> None:
    name = f"{PREFIX}_films"
    connections.connect(uri=URL, token=KEY)
    schema = CollectionSchema(
        [
            FieldSchema("id", DataType.INT64, is_primary=True),
            FieldSchema("title", DataType.VARCHAR, max_length=64, default_value="untitled"),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=4),
        ],
        "films",
    )
    films = Collection(name, schema)
    assert Collection(name).schema == films.schema == Collection(name, schema).schema
    assert not films.has_index()
    films.create_index("vector", {"index_type": "IVF_FLAT", "metric_type": "L2", "params": {"nlist": 4}})
    assert films.has_index()
    assert films.index().params["params"] == {"nlist": 4}
    assert [index.index_name for index in films.indexes] == ["vector"]
    films.create_partition("old")
    films.load()

    rows = [{"id": number, "title": f"film {number}", "vector": [number, 1.0, 2.0, 3.0]} for number in range(ROWS)]
    (Path(FOLDER) / f"{name}.json").write_text(json.dumps(rows))
    first = utility.do_bulk_insert(name, [f"{FOLDER}/{name}.json"])
    assert wait(first).row_count == ROWS
    second = utility.do_bulk_insert(name, [f"{FOLDER}/films.parquet"], partition_name="old")
    state = wait(second)
    assert state.state == BulkInsertState.ImportCompleted
    assert state.state_name == "Completed"
    assert (state.progress, state.failed_reason, state.collection_name) == (100, "", name)
    assert state.partition_name == "old"
    assert state.files.endswith("films.parquet")
    assert state.ids == []
    assert abs(state.create_timestamp - time.time()) < 600
    films.load(_refresh=True)
    films.flush()
    assert films.num_entities == ROWS + 5
    assert films.partition("old").num_entities == 5
    progress = utility.index_building_progress(name)
    assert (progress["total_rows"], progress["indexed_rows"], progress["state"]) == (ROWS + 5, ROWS + 5, "Finished")
    utility.wait_for_index_building_complete(name)

    third = utility.do_bulk_insert(name, [f"{FOLDER}/missing.json"])
    failed = wait(third)
    assert failed.state == BulkInsertState.ImportFailed
    assert "missing.json" in failed.failed_reason
    tasks = utility.list_bulk_insert_tasks(collection_name=name)
    assert [task.task_id for task in tasks] == [third, second, first]
    assert [task.state_name for task in tasks] == ["Failed", "Completed", "Completed"]
    assert [task.task_id for task in utility.list_bulk_insert_tasks(limit=1, collection_name=name)] == [third]
    assert "import job does not exist" in refused(utility.get_bulk_insert_state, 77).message
    assert "collection not found" in refused(utility.do_bulk_insert, "nope", ["a.json"]).message
    if SINCE_2_6:
        films.compact()
        assert films.get_compaction_state().state.name == "Completed"
    assert [segment.num_rows for segment in utility.get_query_segment_info(name)] == [ROWS + 5]
    alias = f"{PREFIX}_latest"
    utility.create_alias(name, alias)
    assert utility.list_aliases(name) == [alias]
    fourth = utility.do_bulk_insert(alias, [f"{FOLDER}/films.parquet"], partition_name="old")
    assert wait(fourth).collection_name == name
    assert [task.task_id for task in utility.list_bulk_insert_tasks(limit=1, collection_name=alias)] == [fourth]
    assert Collection(alias).num_entities == ROWS + 10
    utility.rename_collection(name, f"{name}_renamed")
    utility.rename_collection(f"{name}_renamed", name)
    utility.drop_alias(alias)
    films.release()
    films.drop_index()
    assert not films.has_index()
    utility.drop_collection(name)


def full_text_search(client: MilvusClient) -> None:
    from pymilvus import Function, FunctionType

    name = f"{PREFIX}_texts"
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=99, enable_analyzer=True, enable_match=True)
    schema.add_field("terms", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["terms"]))
    params = client.prepare_index_params()
    params.add_index("terms", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params={"bm25_k1": 1.0})
    client.create_collection(name, schema=schema, index_params=params)
    assert client.describe_collection(name)["functions"][0]["output_field_names"] == ["terms"]
    rows = [{"id": 1, "text": "a whale"}, {"id": 2, "text": "a white whale, a whale"}, {"id": 3, "text": "a ship"}]
    (Path(FOLDER) / f"{name}.json").write_text(json.dumps(rows))
    connections.connect(uri=URL, token=KEY)
    assert wait(utility.do_bulk_insert(name, [f"{FOLDER}/{name}.json"])).row_count == 3
    connections.disconnect("default")
    (hits,) = client.search(name, ["White WHALE"], anns_field="terms", limit=9, output_fields=["text"])
    assert [(hit["id"], hit["entity"]["text"]) for hit in hits] == [(2, rows[1]["text"]), (1, rows[0]["text"])]
    assert client.query(name, "phrase_match(text, 'white whale')", output_fields=["id"]) == [{"id": 2}]
    assert (
        "not allowed to retrieve raw data" in refused(client.query, name, "id > 0", output_fields=["terms"]).message
    )
    assert client.run_analyzer("The Sea").tokens == ["the", "sea"]
    client.drop_collection(name)


def wait(task: int) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = utility.get_bulk_insert_state(task)
        if state.state in (BulkInsertState.ImportCompleted, BulkInsertState.ImportFailed):
            return state
        time.sleep(0.1)
    raise AssertionError(f"not done: {state}")


def added_fields(client: MilvusClient) -> None:
    name = f"{PREFIX}_added"
    client.create_collection(name, dimension=4)
    rows = [{"id": number, "vector": [number, 1.0, 2.0, 3.0]} for number in range(3)]
    (Path(FOLDER) / f"{name}.json").write_text(json.dumps(rows))
    assert wait(utility.do_bulk_insert(name, [f"{FOLDER}/{name}.json"])).row_count == 3
    client.add_collection_field(name, "size", DataType.INT64, nullable=True, default_value=7)
    client.add_collection_field(name, "note", DataType.VARCHAR, nullable=True, max_length=8)
    rows = [{"id": 3, "vector": [3.0, 1.0, 2.0, 3.0], "size": 1, "note": "new"}]
    (Path(FOLDER) / f"{name}_2.json").write_text(json.dumps(rows))
    wait(utility.do_bulk_insert(name, [f"{FOLDER}/{name}_2.json"]))
    found = client.query(name, "size in [1, 7]", output_fields=["size", "note"])
    assert [(row["id"], row["size"], row["note"]) for row in found] == [
        *((number, 7, None) for number in range(3)),
        (3, 1, "new"),
    ], found
    client.alter_collection_properties(name, {"collection.ttl.seconds": 3600})
    assert client.describe_collection(name)["properties"] == {"collection.ttl.seconds": "3600"}
    client.drop_collection_properties(name, ["collection.ttl.seconds"])
    client.release_collection(name)
    client.alter_index_properties(name, "vector", {"mmap.enabled": True})
    client.drop_index_properties(name, "vector", ["mmap.enabled"])
    client.drop_collection(name)


def users(client: MilvusClient) -> None:
    name = f"{PREFIX}_ann"
    client.create_user(name, "correct horse")
    assert name in client.list_users()
    client.grant_role(name, "reader")
    assert list(client.describe_user(name)["roles"]) == ["reader"]
    client.update_password(name, "correct horse", "battery staple")
    assert client.list_roles() == ["admin", "public", "reader", "writer"]
    privileges = client.describe_role("reader")["privileges"]
    assert "Query" in {privilege["privilege"] for privilege in privileges}
    assert "roles are built in" in refused(client.create_role, "king").message
    assert "roles are built in" in refused(client.grant_privilege, "reader", "Global", "Insert", "*").message
    own = MilvusClient(URL, user=name, password="battery staple")
    own.list_collections()
    own.close()
    client.revoke_role(name, "reader")
    assert list(client.describe_user(name)["roles"]) == []
    client.drop_user(name)
    assert name not in client.list_users()


def maintenance(client: MilvusClient) -> None:
    name = f"{PREFIX}_kept"
    client.create_collection(name, dimension=4)
    if SINCE_2_6:
        client.flush(name)
        assert client.get_compaction_state(client.compact(name)) == "Completed"
        assert client.list_persistent_segments(name) == []
        assert len(client.describe_replica(name)) == 1
    client.drop_collection(name)


client = MilvusClient(URL, token=KEY)
quick_setup(client)
schema_with_indexes(client)
bulk_insert()
if SINCE_2_6:
    added_fields(client)
connections.disconnect("default")
users(client)
maintenance(client)
if SINCE_2_6:
    full_text_search(client)
client.close()
print("done")
