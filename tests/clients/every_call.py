"""A program for released pymilvus: every call of its clients on rows that came by import.

Arguments: the server's address, an API key, a folder of its import roots, the release. Prints one JSON object: for
each step what the call returned, or ``{"refused": [code, message]}``; and which methods of ``MilvusClient`` no step
called.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pymilvus import (
    AnnSearchRequest,
    BulkInsertState,
    Collection,
    DataType,
    MilvusClient,
    MilvusException,
    RRFRanker,
    WeightedRanker,
    connections,
    db,
    utility,
)
from pymilvus.bulk_writer import (
    BulkFileType,
    LocalBulkWriter,
    bulk_import,
    get_import_progress,
    list_import_jobs,
)

URL, KEY, FOLDER, RELEASE = sys.argv[1:]
SINCE_2_6 = not RELEASE.startswith("2.4")
SINCE_3 = RELEASE.startswith("3")
PREFIX = "e" + RELEASE.replace(".", "_")
DOCS = f"{PREFIX}_docs"
WAIT_SECONDS = 60

results: dict[str, Any] = {}
called: set[str] = set()


class Recorded:
    """A MilvusClient that notes which of its methods are called."""

    def __init__(self, client: MilvusClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        called.add(name)
        return getattr(self._client, name)


def step(name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call, note what came of it under ``name``, and return it."""
    try:
        value = call(*args, **kwargs)
    except MilvusException as error:
        results[name] = {"refused": [error.code, error.message]}
        return None
    results[name] = plain(value)
    return value


def plain(value: Any) -> Any:
    """What JSON can say, with numbers of vectors and distances rounded."""
    if isinstance(value, float):
        return round(value, 4)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if hasattr(value, "__iter__") or hasattr(value, "__getitem__"):
        return [plain(each) for each in value]
    return f"a {type(value).__name__}"


def hits(found: Any) -> list[list[Any]]:
    """Keys and distances of each query vector."""
    return [[[hit["id"], round(hit["distance"], 4)] for hit in one] for one in found]


def row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "title": f"film {number}",
        "year": 2000 + number,
        "score": number / 2,
        "tags": ["even" if number % 2 == 0 else "odd", f"t{number}"],
        "meta": {"rank": number, "kind": "long" if number > 6 else "short"},
        "vector": [float(number), 0.0, 0.0, 0.0],
        "words": {1: float(number), 5: 1.0},
        "note": f"note {number}",
    }


def ended(task: int) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        state = utility.get_bulk_insert_state(task)
        if state.state in (BulkInsertState.ImportCompleted, BulkInsertState.ImportFailed):
            return state
        time.sleep(0.05)
    raise AssertionError(f"not done: {state}")


def sessions(client: Any) -> None:
    if SINCE_2_6:
        step("get_server_version", client.get_server_version)
        step("get_server_type", client.get_server_type)
    step("list_collections is a list", lambda: isinstance(client.list_collections(), list))
    step("has_collection missing", client.has_collection, f"{PREFIX}_nope")
    step("describe_collection missing", client.describe_collection, f"{PREFIX}_nope")
    step("drop_collection missing", client.drop_collection, f"{PREFIX}_nope")
    step("get_load_state missing", lambda: client.get_load_state(f"{PREFIX}_nope")["state"].name)


def define(client: Any) -> Any:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("title", DataType.VARCHAR, max_length=64)
    schema.add_field("year", DataType.INT16)
    schema.add_field("score", DataType.DOUBLE)
    schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=8)
    schema.add_field("meta", DataType.JSON)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    params = client.prepare_index_params()
    params.add_index("vector", index_type="HNSW", metric_type="L2", params={"M": 8, "efConstruction": 64})
    params.add_index("words", index_name="words_index", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    params.add_index("year", index_type="INVERTED")
    step("create_collection", client.create_collection, DOCS, schema=schema, index_params=params)
    step("has_collection", client.has_collection, DOCS)
    described = client.describe_collection(DOCS)
    keys = ("collection_name", "auto_id", "num_shards", "description", "aliases", "consistency_level")
    results["describe_collection"] = {key: plain(described.get(key)) for key in keys}
    results["describe_collection fields"] = [
        [field["field_id"], field["name"], int(field["type"]), plain(field["params"])]
        for field in described["fields"]
    ]
    step("create_partition", client.create_partition, DOCS, "late")
    step("list_partitions", client.list_partitions, DOCS)
    step("has_partition", client.has_partition, DOCS, "late")
    step("has_partition missing", client.has_partition, DOCS, "nope")
    return schema


def import_rows(schema: Any) -> None:
    writer = LocalBulkWriter(schema, f"{FOLDER}/{PREFIX}", file_type=BulkFileType.PARQUET)
    for number in range(1, 13):
        writer.append_row(row(number))
    writer.commit()
    created = bulk_import(URL, DOCS, files=writer.batch_files, api_key=KEY).json()
    results["bulk_import"] = [created["code"], list(created["data"])]
    job = created["data"]["jobId"]
    deadline = time.monotonic() + WAIT_SECONDS
    while (progress := get_import_progress(URL, job, api_key=KEY).json()["data"])["state"] != "Completed":
        assert progress["state"] in ("Pending", "Importing"), progress
        assert time.monotonic() < deadline, progress
        time.sleep(0.05)
    results["get_import_progress"] = [progress["progress"], progress["totalRows"], progress["collectionName"]]
    jobs = list_import_jobs(URL, DOCS, api_key=KEY).json()["data"]["records"]
    results["list_import_jobs"] = [[each["jobId"] == job, each["state"], each["progress"]] for each in jobs]

    lines = Path(FOLDER) / f"{PREFIX}_late.jsonl"
    lines.write_text("".join(json.dumps(row(number)) + "\n" for number in (13, 14, 15)))
    task = utility.do_bulk_insert(DOCS, [str(lines)], partition_name="late")
    state = ended(task)
    results["do_bulk_insert"] = [state.state_name, state.row_count, state.progress, state.partition_name]
    tasks = utility.list_bulk_insert_tasks(collection_name=DOCS)
    results["list_bulk_insert_tasks"] = [[each.task_id == task, each.state_name, each.row_count] for each in tasks]


def read(client: Any) -> None:
    step("refresh_load", client.refresh_load, DOCS)
    step("get_load_state", lambda: client.get_load_state(DOCS)["state"].name)
    step("get_collection_stats", client.get_collection_stats, DOCS)
    step("get_partition_stats", client.get_partition_stats, DOCS, "late")
    step("get", client.get, DOCS, [3, 14], output_fields=["title", "vector"])
    step("get in partition", client.get, DOCS, 14, output_fields=["id"], partition_names=["_default"])
    step("get everything", client.get, DOCS, [5], output_fields=["*"])
    step("query", client.query, DOCS, "year > 2012 and score < 7.5", output_fields=["year"])
    step("query by json and array", client.query, DOCS, 'meta["rank"] < 5 and array_contains(tags, "even")', ["tags"])
    step("query dynamic", client.query, DOCS, 'note == "note 9"', output_fields=["note", "meta"])
    step("query limit offset", client.query, DOCS, "id > 0", output_fields=["id"], limit=3, offset=2)
    step("query count", client.query, DOCS, "", output_fields=["count(*)"])
    step("query ids", client.query, DOCS, ids=[2, 1], output_fields=["title"])
    step("query bad expression", client.query, DOCS, "year >", output_fields=["id"])
    step("query missing field", client.query, DOCS, "nowhere_at_all > 1", output_fields=["id"])
    step("query by like and in", client.query, DOCS, 'title like "film 1%" and id in [1, 2, 10]', ["id"])
    query: list[float] = [0.2, 0.0, 0.0, 0.0]
    step("search", lambda: hits(client.search(DOCS, [query, [20.0, 0, 0, 0]], limit=3, anns_field="vector")))
    step("search filter", lambda: hits(client.search(DOCS, [query], "year > 2004", 2, anns_field="vector")))
    step(
        "search fields",
        client.search,
        DOCS,
        [query],
        limit=1,
        output_fields=["title", "note", "words", "tags"],
        anns_field="vector",
    )
    ranged = {"metric_type": "L2", "params": {"radius": 10.0, "range_filter": 3.0}}
    step("search range", lambda: hits(client.search(DOCS, [query], search_params=ranged, anns_field="vector")))
    ef = {"metric_type": "L2", "params": {"ef": 32}}
    step(
        "search partition",
        lambda: hits(client.search(DOCS, [query], search_params=ef, partition_names=["late"], anns_field="vector")),
    )
    step("search offset", lambda: hits(client.search(DOCS, [query], limit=2, offset=3, anns_field="vector")))
    paged = {"params": {}, "offset": 1}
    step(
        "search offset in params",
        lambda: hits(client.search(DOCS, [query], limit=2, search_params=paged, anns_field="vector")),
    )
    step(
        "search round_decimal",
        lambda: hits(client.search(DOCS, [[0.123, 0, 0, 0]], limit=1, round_decimal=1, anns_field="vector")),
    )
    step(
        "search group_by",
        lambda: hits(client.search(DOCS, [query], limit=2, group_by_field="year", anns_field="vector")),
    )
    step("search sparse", lambda: hits(client.search(DOCS, [{1: 1.0}], limit=2, anns_field="words")))
    for level in ("Strong", "Session", "Bounded", "Eventually"):
        step(
            f"search {level}",
            lambda level=level: hits(
                client.search(DOCS, [query], limit=1, consistency_level=level, anns_field="vector")
            ),
        )
    step("search wrong dimension", client.search, DOCS, [[1.0, 2.0]], limit=1, anns_field="vector")
    step(
        "search wrong metric", client.search, DOCS, [query], search_params={"metric_type": "IP"}, anns_field="vector"
    )
    step("search no anns_field", client.search, DOCS, [query], limit=1)
    step("search missing collection", client.search, f"{PREFIX}_nope", [query], limit=1, anns_field="vector")
    step("search missing partition", client.search, DOCS, [query], partition_names=["nope"], anns_field="vector")
    dense = AnnSearchRequest([query], "vector", {"metric_type": "L2", "params": {"ef": 32}}, limit=3)
    sparse = AnnSearchRequest([{1: 1.0}], "words", {"metric_type": "IP"}, limit=3, expr="id < 10")
    step("hybrid_search rrf", lambda: hits(client.hybrid_search(DOCS, [dense, sparse], RRFRanker(), limit=4)))
    step(
        "hybrid_search weighted",
        lambda: hits(
            client.hybrid_search(DOCS, [dense, sparse], WeightedRanker(0.7, 0.3), limit=2, output_fields=["title"])
        ),
    )
    if SINCE_2_6:
        template = {"low": 2012, "names": ["film 13", "film 15"]}
        step(
            "query template",
            client.query,
            DOCS,
            "year > {low} and title in {names}",
            output_fields=["id"],
            filter_params=template,
        )
        step("search by ids", lambda: hits(client.search(DOCS, ids=[4, 7], limit=2, anns_field="vector")))
        step("query_iterator", lambda: pages(client.query_iterator(DOCS, batch_size=6, output_fields=["id"])))
        step(
            "query_iterator limit filter",
            lambda: pages(client.query_iterator(DOCS, batch_size=2, limit=5, filter="id > 3", output_fields=["id"])),
        )
        step(
            "search_iterator",
            lambda: pages(client.search_iterator(DOCS, [query], batch_size=4, limit=10, anns_field="vector")),
        )


def pages(iterator: Any) -> list[list[int]]:
    found = []
    while page := list(iterator.next() or ()):
        found.append([each["id"] if isinstance(each, dict) or SINCE_2_6 else each.id for each in page])
    iterator.close()
    return found


def indexes(client: Any) -> None:
    step("list_indexes", lambda: sorted(client.list_indexes(DOCS)))
    step("list_indexes of a field", client.list_indexes, DOCS, field_name="words")
    step("describe_index", client.describe_index, DOCS, "vector")
    step("drop_index loaded", client.drop_index, DOCS, "vector")
    step("release_collection", client.release_collection, DOCS)
    step("get_load_state released", lambda: client.get_load_state(DOCS)["state"].name)
    step("search released", client.search, DOCS, [[0.0, 0, 0, 0]], limit=1, anns_field="vector")
    step("query released", client.query, DOCS, "id == 1", output_fields=["id"])
    step("drop_index", client.drop_index, DOCS, "vector")
    params = client.prepare_index_params()
    params.add_index("vector", index_type="IVF_FLAT", metric_type="COSINE", params={"nlist": 4})
    step("create_index", client.create_index, DOCS, params)
    step("load_partitions", client.load_partitions, DOCS, ["late"])
    step("get_load_state of a partition", lambda: client.get_load_state(DOCS, "late")["state"].name)
    step("query in loaded partition", client.query, DOCS, "id > 0", ["id"], partition_names=["late"])
    step("release_partitions", client.release_partitions, DOCS, ["late"])
    step("load_collection", client.load_collection, DOCS)
    step("drop_partition loaded", client.drop_partition, DOCS, "late")
    step("release_partitions again", client.release_partitions, DOCS, ["late"])
    step("drop_partition", client.drop_partition, DOCS, "late")
    step("query after drop_partition", client.query, DOCS, "", output_fields=["count(*)"])


def aliases_and_names(client: Any) -> None:
    alias, other = f"{PREFIX}_alias", f"{PREFIX}_other"
    client.create_collection(other, dimension=4)
    step("create_alias", client.create_alias, DOCS, alias)
    step("create_alias of another", client.create_alias, other, alias)
    step("describe_alias", client.describe_alias, alias)
    step("list_aliases", client.list_aliases, DOCS)
    step("query by alias", client.query, alias, "id == 2", output_fields=["title"])
    step("describe_collection by alias", lambda: client.describe_collection(alias)["collection_name"])
    step("drop_collection with alias", client.drop_collection, DOCS)
    step("alter_alias", client.alter_alias, other, alias)
    step("query by altered alias", client.query, alias, "", output_fields=["count(*)"])
    step("drop_alias", client.drop_alias, alias)
    step("describe_alias missing", client.describe_alias, alias)
    step("rename_collection", client.rename_collection, other, f"{other}_2")
    step("rename_collection missing", client.rename_collection, other, f"{other}_3")
    step("has_collection renamed", client.has_collection, f"{other}_2")
    client.drop_collection(f"{other}_2")


def alterations(client: Any) -> None:
    def properties() -> Any:
        return sorted(client.describe_collection(DOCS)["properties"].items())

    step("alter_collection_properties", client.alter_collection_properties, DOCS, {"collection.ttl.seconds": 86400})
    step("properties", properties)
    step("drop_collection_properties", client.drop_collection_properties, DOCS, ["collection.ttl.seconds"])
    step("properties dropped", properties)
    step("alter_collection_field", client.alter_collection_field, DOCS, "title", {"max_length": 128})
    step("alter_index_properties loaded", client.alter_index_properties, DOCS, "vector", {"mmap.enabled": True})
    client.release_collection(DOCS)
    step("alter_index_properties", client.alter_index_properties, DOCS, "vector", {"mmap.enabled": True})
    step("drop_index_properties", client.drop_index_properties, DOCS, "vector", ["mmap.enabled"])
    client.load_collection(DOCS)
    step("add_collection_field", client.add_collection_field, DOCS, "stars", DataType.INT32, nullable=True)
    step("add_collection_field not nullable", client.add_collection_field, DOCS, "moons", DataType.INT32)
    step("query added field", client.query, DOCS, "id == 2 and stars is null", output_fields=["stars"])
    step("truncate_collection", client.truncate_collection, DOCS)
    if SINCE_3:
        step("drop_collection_field", client.drop_collection_field, DOCS, "stars")
        session = client.session("in01-local")
        step("session", lambda: [row["id"] for row in session.query(DOCS, "id == 2", output_fields=["id"])])
        step("session of another cluster", client.session("in02-far").query, DOCS, "id == 2")


def database_properties(client: Any) -> None:
    name = f"{PREFIX}_properties"
    client.create_database(name)
    step("alter_database_properties", client.alter_database_properties, name, {"database.replica.number": 1})
    step("describe_database altered", client.describe_database, name)
    step("drop_database_properties", client.drop_database_properties, name, ["database.replica.number"])
    step("describe_database dropped", client.describe_database, name)
    client.drop_database(name)


def databases(client: Any) -> None:
    name = f"{PREFIX}_db"
    step("create_database", client.create_database, name)
    step("create_database again", client.create_database, name)
    step("list_databases", lambda: name in client.list_databases())
    if SINCE_2_6:
        step("describe_database", client.describe_database, name)
    step("using_database", client.using_database, name)
    step("list_collections of database", client.list_collections)
    client.create_collection("small", dimension=4)
    step("drop_database with collection", client.drop_database, name)
    client.drop_collection("small")
    step("using_database default", client.using_database, "default")
    step("using_database missing", client.using_database, f"{name}_nope")
    client.using_database("default")
    step("drop_database", client.drop_database, name)
    if SINCE_2_6:
        step("use_database", client.use_database, "default")


def users(client: Any) -> None:
    name = f"{PREFIX}_eve"
    step("create_user", client.create_user, name, "correct horse")
    step("create_user again", client.create_user, name, "correct horse")
    step("list_users", lambda: name in client.list_users())
    step("grant_role", client.grant_role, name, "reader")
    step("grant_role missing", client.grant_role, name, "king")
    step("describe_user", lambda: list(client.describe_user(name)["roles"]))
    step("update_password", client.update_password, name, "correct horse", "battery staple")
    step("update_password wrong", client.update_password, name, "correct horse", "battery staple")
    if SINCE_3:
        step("update_user", client.update_user, name, "a tester")
        step("describe_user updated", lambda: client.describe_user(name)["description"])
    step("list_roles", client.list_roles)
    step("describe_role", lambda: client.describe_role("reader")["role"])
    step("create_role", client.create_role, "king")
    step("drop_role", client.drop_role, "king")
    step("grant_privilege", client.grant_privilege, "reader", "Global", "Query", "*")
    step("revoke_privilege", client.revoke_privilege, "reader", "Global", "Query", "*")
    step("revoke_role", client.revoke_role, name, "reader")
    step("drop_user", client.drop_user, name)
    step("describe_user missing", client.describe_user, name)


def texts(client: Any) -> None:
    from pymilvus import Function, FunctionType  # 2.4 has none

    name = f"{PREFIX}_texts"
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200, enable_analyzer=True, enable_match=True)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("bm25", FunctionType.BM25, ["text"], ["sparse"]))
    params = client.prepare_index_params()
    params.add_index("sparse", index_type="AUTOINDEX", metric_type="BM25")
    step("create_collection with BM25", client.create_collection, name, schema=schema, index_params=params)
    lines = ("a quick brown fox", "a lazy dog", "the fox and the dog", "nothing of it")
    file = Path(FOLDER) / f"{name}.json"
    file.write_text(json.dumps([{"id": number, "text": line} for number, line in enumerate(lines)]))
    results["import of texts"] = ended(utility.do_bulk_insert(name, [str(file)])).state_name
    found = client.search(name, ["quick fox"], anns_field="sparse", limit=3, output_fields=["text"])
    results["search by text"] = [[hit["id"], hit["entity"]["text"]] for hit in found[0]]
    step("query text_match", client.query, name, "text_match(text, 'dog')", output_fields=["id"])
    step("run_analyzer", lambda: list(client.run_analyzer("The quick Fox", {"tokenizer": "standard"}).tokens))
    client.drop_collection(name)


def writes(client: Any) -> None:
    step("insert", client.insert, DOCS, [row(90)])
    step("upsert", client.upsert, DOCS, [row(1)])
    step("delete by ids", client.delete, DOCS, ids=[1])
    step("delete by filter", client.delete, DOCS, filter="id > 3")


def maintenance(client: Any) -> None:
    step("flush", client.flush, DOCS)
    step("compact", lambda: client.get_compaction_state(client.compact(DOCS)))
    step("list_persistent_segments", lambda: [each.num_rows for each in client.list_persistent_segments(DOCS)])
    step("list_loaded_segments", lambda: [each.num_rows for each in client.list_loaded_segments(DOCS)])
    step("describe_replica", lambda: len(client.describe_replica(DOCS)))
    if SINCE_3:
        step("list_segments", lambda: [each.num_rows for each in client.list_segments(DOCS)])
        step("list_compaction_tasks", lambda: client.list_compaction_tasks(DOCS).state.name)
    step("optimize", lambda: client.optimize(DOCS).status)
    step("flush_all", client.flush_all)
    step("get_flush_all_state", client.get_flush_all_state, flush_all_ts=1)
    step("get_compaction_plans", lambda: client.get_compaction_plans(client.compact(DOCS)).state.name)
    step("list_privilege_groups", client.list_privilege_groups)
    step("create_privilege_group", client.create_privilege_group, "pg")
    step("list_resource_groups", client.list_resource_groups)
    step("describe_resource_group", client.describe_resource_group, "rg")
    step("grant_privilege_v2", client.grant_privilege_v2, "reader", "Query", "*")
    step("revoke_privilege_v2", client.revoke_privilege_v2, "reader", "Query", "*")


def older_calls() -> None:
    docs = Collection(DOCS)
    step("ORM description", lambda: [docs.name, docs.description, docs.is_empty, docs.primary_field.name])
    step("ORM num_entities", lambda: docs.num_entities)
    step("ORM partitions", lambda: [partition.name for partition in docs.partitions])
    step("ORM has_partition", docs.has_partition, "nope")
    step("ORM indexes", lambda: sorted([index.field_name, index.index_name] for index in docs.indexes))
    step("ORM has_index", docs.has_index, index_name="words_index")
    step("ORM index", lambda: docs.index(index_name="vector").params)
    step("ORM load", docs.load)
    step("ORM query", docs.query, "id in [1, 2]", output_fields=["title"])
    param = {"metric_type": "COSINE", "params": {"nprobe": 4}}
    step(
        "ORM search",
        lambda: [
            [[hit.id, round(hit.distance, 4), hit.entity.get("title")] for hit in one]
            for one in docs.search(
                [[1.0, 0, 0, 0]], "vector", param, limit=1, expr="id == 4", output_fields=["title"]
            )
        ],
    )
    step("ORM query_iterator", lambda: pages(docs.query_iterator(batch_size=8, output_fields=["id"])))
    step(
        "ORM search_iterator",
        lambda: sorted(
            each
            for page in pages(
                docs.search_iterator([[1.0, 0, 0, 0]], "vector", {"metric_type": "COSINE"}, batch_size=5, limit=12)
            )
            for each in page
        ),
    )
    dense = AnnSearchRequest([[1.0, 0, 0, 0]], "vector", param, limit=12)
    sparse = AnnSearchRequest([{1: 1.0}], "words", {"metric_type": "IP"}, limit=3)
    step(
        "ORM hybrid_search",
        lambda: [hit.id for hit in docs.hybrid_search([dense, sparse], WeightedRanker(0.1, 0.9), limit=2)[0]],
    )
    step("ORM release", docs.release)
    step("ORM insert", docs.insert, [row(91)])
    step("ORM delete", docs.delete, "id in [1]")
    step("ORM flush", docs.flush)
    step("utility.has_collection", utility.has_collection, DOCS)
    step("utility.has_partition", utility.has_partition, DOCS, "nope")
    step("utility.list_collections", lambda: DOCS in utility.list_collections())
    step("utility.load_state", lambda: utility.load_state(DOCS).name)
    docs.load()
    step("utility.loading_progress", utility.loading_progress, DOCS)
    step("utility.wait_for_loading_complete", utility.wait_for_loading_complete, DOCS)
    step("utility.index_building_progress", utility.index_building_progress, DOCS, index_name="words_index")
    step(
        "utility.wait_for_index_building_complete",
        utility.wait_for_index_building_complete,
        DOCS,
        index_name="words_index",
    )
    step("utility.list_indexes", lambda: sorted(utility.list_indexes(DOCS)))
    step("utility.get_query_segment_info", lambda: [each.num_rows for each in utility.get_query_segment_info(DOCS)])
    step("utility.get_server_version", utility.get_server_version)
    step("utility.get_server_type", utility.get_server_type)
    step("utility.flush_all", utility.flush_all)
    step("utility.list_usernames is a list", lambda: isinstance(list(utility.list_usernames()), list))
    step("utility.list_roles", lambda: sorted(group.role_name for group in utility.list_roles(False).groups))
    step("utility.list_resource_groups", utility.list_resource_groups)
    step("db.list_database", lambda: "default" in db.list_database())
    step("utility.drop_collection", utility.drop_collection, DOCS)
    step("utility.has_collection dropped", utility.has_collection, DOCS)


connections.connect(uri=URL, token=KEY)
wrapped = Recorded(MilvusClient(URL, token=KEY))
sessions(wrapped)
import_rows(define(wrapped))
read(wrapped)
indexes(wrapped)
aliases_and_names(wrapped)
if SINCE_2_6:
    alterations(wrapped)
    database_properties(wrapped)
databases(wrapped)
users(wrapped)
writes(wrapped)
if SINCE_2_6:
    maintenance(wrapped)
    texts(wrapped)
older_calls()
wrapped.close()
connections.disconnect("default")
public = {name for name in dir(MilvusClient) if not name.startswith("_")}
results["methods without a step"] = sorted(public - called)
print(json.dumps(results))
