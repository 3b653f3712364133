"""Released, unchanged pymilvus makes every call of its clients on imported rows: ``every_call.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import ClientServer
from tests.support.clients import run_client

pytestmark = pytest.mark.clients

PROGRAM = Path(__file__).with_name("every_call.py")
UNSERVED_CODE = 10

# Names of the program begin with "it", numbers of collections are NUMBER.
REFUSED: dict[str, tuple[int, str]] = {
    "describe_collection missing": (100, "can't find collection[database=default][collection=it_nope]"),
    "query bad expression": (
        1100,
        (
            "failed to create query plan: cannot parse expression: year >, error: line "
            "1:6 the expression ends too early: invalid parameter"
        ),
    ),
    "search wrong dimension": (
        1100,
        "vector dimension mismatch, expected vector size(byte) 16, actual 8: invalid parameter",
    ),
    "search wrong metric": (1100, "metric type not match: invalid [expected=L2][actual=IP]: invalid parameter"),
    "search no anns_field": (
        1100,
        "search without annsField, but already found multiple vector fields: [vector, words,,,]: invalid parameter",
    ),
    "search missing collection": (100, "can't find collection[database=default][collection=it_nope]"),
    "search missing partition": (1100, "partition name nope not found: invalid parameter"),
    "drop_index loaded": (1100, "vector index cannot be dropped on loaded collection: NUMBER: invalid parameter"),
    "search released": (101, "collection not loaded[collection=NUMBER]. It was released: load it first"),
    "query released": (101, "collection not loaded[collection=NUMBER]. It was released: load it first"),
    "release_partitions again": (200, "partition not found[partition=late]"),
    "create_alias of another": (
        1602,
        "it_alias is alias to another collection: it_docs: alias already exist[database=default][alias=it_alias]",
    ),
    "drop_collection with alias": (
        1100,
        (
            "unable to drop the collection [it_docs] because it has associated aliases "
            "[it_alias], please remove all aliases before dropping the collection: invalid parameter"
        ),
    ),
    "describe_alias missing": (1600, "alias not found[database=default][alias=it_alias]"),
    "rename_collection missing": (100, "collection not found[database=default][collection=it_other]"),
    "alter_index_properties loaded": (
        104,
        (
            "can't alter index on loaded collection, please release the collection "
            "first: collection already loaded[collection=it_docs]"
        ),
    ),
    "add_collection_field not nullable": (
        1100,
        (
            "added field must be nullable, please check it, field name = moons; or "
            "give it a default value: invalid parameter"
        ),
    ),
    "create_database again": (1100, "database already exist: it_db: invalid parameter"),
    "drop_database with collection": (
        1100,
        "database:it_db not empty, must drop all collections before drop database: invalid parameter",
    ),
    "using_database missing": (800, "database not found[database=it_db_nope]"),
    "create_user again": (1100, "user already exists: it_eve: invalid parameter"),
    "grant_role missing": (
        1100,
        "role not found: king; the roles are reader, writer, admin, public: invalid parameter",
    ),
    "session of another cluster": (
        1100,
        (
            "cluster_id is in02-far, but a call reads the cluster of its credentials, which is in01-local: take a "
            "key or user of the other cluster, or leave cluster_id out: invalid parameter"
        ),
    ),
}
UNSERVED: dict[str, str] = {
    "truncate_collection": "TruncateCollection",
    "drop_collection_field": "Dropping a field by AlterCollectionSchema",
    "create_role": "CreateRole",
    "drop_role": "DropRole",
    "grant_privilege": "OperatePrivilege",
    "revoke_privilege": "OperatePrivilege",
    "insert": "Insert",
    "upsert": "Upsert",
    "delete by ids": "Delete",
    "delete by filter": "Delete",
    "list_privilege_groups": "ListPrivilegeGroups",
    "create_privilege_group": "CreatePrivilegeGroup",
    "list_resource_groups": "ListResourceGroups",
    "describe_resource_group": "DescribeResourceGroup",
    "grant_privilege_v2": "OperatePrivilegeV2",
    "revoke_privilege_v2": "OperatePrivilegeV2",
    "ORM insert": "Insert",
    "ORM delete": "Delete",
    "utility.list_resource_groups": "ListResourceGroups",
}
RETURNS_NOTHING = """
drop_collection missing, create_collection, create_partition, refresh_load, release_collection, drop_index,
create_index, load_partitions, release_partitions, load_collection, drop_partition loaded, drop_partition,
create_alias, alter_alias, drop_alias, rename_collection, alter_collection_properties, drop_collection_properties,
alter_collection_field, alter_index_properties, drop_index_properties, add_collection_field,
alter_database_properties, drop_database_properties, create_database, using_database, using_database default,
drop_database, use_database, create_user, grant_role, update_password, update_password wrong, update_user,
revoke_role, drop_user, flush, flush_all, create_collection with BM25, ORM load, ORM release, ORM flush,
utility.wait_for_loading_complete,
utility.flush_all,
utility.drop_collection
"""
"""The steps that return None."""
RETURNED: dict[str, Any] = {
    "get_server_version": "v2.6.0",
    "get_server_type": "milvus",
    "list_collections is a list": True,
    "has_collection missing": False,
    "get_load_state missing": "NotExist",
    "has_collection": True,
    "describe_collection": {
        "collection_name": "it_docs",
        "auto_id": False,
        "num_shards": 1,
        "description": "",
        "aliases": [],
        "consistency_level": 2,
    },
    "describe_collection fields": [
        [100, "id", 5, {}],
        [101, "title", 21, {"max_length": 64}],
        [102, "year", 3, {}],
        [103, "score", 11, {}],
        [104, "tags", 22, {"max_length": 8, "max_capacity": 4}],
        [105, "meta", 23, {}],
        [106, "vector", 101, {"dim": 4}],
        [107, "words", 104, {}],
    ],
    "list_partitions": ["_default", "late"],
    "has_partition": True,
    "has_partition missing": False,
    "bulk_import": [0, ["jobId"]],
    "get_import_progress": [100, 12, "it_docs"],
    "list_import_jobs": [[True, "Completed", 100]],
    "do_bulk_insert": ["Completed", 3, 100, "late"],
    "list_bulk_insert_tasks": [[True, "Completed", 3], [False, "Completed", 12]],
    "get_load_state": "Loaded",
    "get_collection_stats": {"row_count": 15},
    "get_partition_stats": {"row_count": 3},
    "get": [
        {"id": 3, "title": "film 3", "vector": [3.0, 0.0, 0.0, 0.0]},
        {"id": 14, "title": "film 14", "vector": [14.0, 0.0, 0.0, 0.0]},
    ],
    "get in partition": [],
    "get everything": [
        {
            "id": 5,
            "title": "film 5",
            "year": 2005,
            "score": 2.5,
            "tags": ["odd", "t5"],
            "meta": {"kind": "short", "rank": 5},
            "vector": [5.0, 0.0, 0.0, 0.0],
            "words": {"1": 5.0, "5": 1.0},
            "note": "note 5",
        }
    ],
    "query": [{"id": 13, "year": 2013}, {"id": 14, "year": 2014}],
    "query by json and array": [{"id": 2, "tags": ["even", "t2"]}, {"id": 4, "tags": ["even", "t4"]}],
    "query dynamic": [{"id": 9, "meta": {"kind": "long", "rank": 9}, "note": "note 9"}],
    "query limit offset": [{"id": 3}, {"id": 4}, {"id": 5}],
    "query count": [{"count(*)": 15}],
    "query ids": [{"id": 1, "title": "film 1"}, {"id": 2, "title": "film 2"}],
    "query missing field": [],
    "query by like and in": [{"id": 1}, {"id": 10}],
    "search": [[[1, 0.64], [2, 3.24], [3, 7.84]], [[15, 25.0], [14, 36.0], [13, 49.0]]],
    "search filter": [[[5, 23.04], [6, 33.64]]],
    "search fields": [
        [
            {
                "id": 1,
                "distance": 0.64,
                "entity": {"title": "film 1", "tags": ["odd", "t1"], "words": {"1": 1.0, "5": 1.0}, "note": "note 1"},
            }
        ]
    ],
    "search range": [[[2, 3.24], [3, 7.84]]],
    "search partition": [[[13, 163.84], [14, 190.44], [15, 219.04]]],
    "search offset": [[[4, 14.44], [5, 23.04]]],
    "search offset in params": [[[2, 3.24], [3, 7.84]]],
    "search round_decimal": [[[1, 0.8]]],
    "search group_by": [[[1, 0.64], [2, 3.24]]],
    "search sparse": [[[15, 15.0], [14, 14.0]]],
    "search Strong": [[[1, 0.64]]],
    "search Session": [[[1, 0.64]]],
    "search Bounded": [[[1, 0.64]]],
    "search Eventually": [[[1, 0.64]]],
    "hybrid_search rrf": [[[1, 0.0164], [9, 0.0164], [2, 0.0161], [8, 0.0161]]],
    "hybrid_search weighted": [[[1, 0.4463], [9, 0.2894]]],
    "query template": [{"id": 13}, {"id": 15}],
    "search by ids": [[[4, 0.0], [3, 1.0]], [[7, 0.0], [6, 1.0]]],
    "query_iterator": [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [13, 14, 15]],
    "query_iterator limit filter": [[4, 5], [6, 7], [8]],
    "search_iterator": [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]],
    "list_indexes": ["vector", "words_index", "year"],
    "list_indexes of a field": ["words_index"],
    "describe_index": {
        "index_type": "HNSW",
        "metric_type": "L2",
        "params": {"M": "8", "efConstruction": "64"},
        "field_name": "vector",
        "index_name": "vector",
        "total_rows": 15,
        "indexed_rows": 15,
        "pending_index_rows": 0,
        "state": "Finished",
    },
    "get_load_state released": "NotLoad",
    "get_load_state of a partition": "Loaded",
    "query in loaded partition": [{"id": 13}, {"id": 14}, {"id": 15}],
    "query after drop_partition": [{"count(*)": 12}],
    "describe_alias": {"alias": "it_alias", "collection_name": "it_docs", "db_name": "default"},
    "list_aliases": {"aliases": ["it_alias"], "collection_name": "it_docs", "db_name": "default"},
    "query by alias": [{"id": 2, "title": "film 2"}],
    "describe_collection by alias": "it_docs",
    "query by altered alias": [{"count(*)": 0}],
    "has_collection renamed": True,
    "properties": [["collection.ttl.seconds", "86400"]],
    "properties dropped": [],
    "query added field": [{"id": 2, "stars": None}],
    "describe_database altered": {"name": "it_properties", "database.replica.number": "1"},
    "describe_database dropped": {"name": "it_properties"},
    "list_databases": True,
    "describe_database": {"name": "it_db"},
    "list_collections of database": [],
    "list_users": True,
    "describe_user": ["reader"],
    "list_roles": ["admin", "public", "reader", "writer"],
    "describe_user missing": {},
    "describe_user updated": "a tester",
    "describe_role": "reader",
    "session": [2],
    "compact": "Completed",
    "list_persistent_segments": [12],
    "list_loaded_segments": [12],
    "describe_replica": 1,
    "import of texts": "Completed",
    "search by text": [[0, "a quick brown fox"], [2, "the fox and the dog"]],
    "query text_match": [{"id": 1}, {"id": 2}],
    "run_analyzer": ["The", "quick", "Fox"],
    "list_segments": [12],
    "list_compaction_tasks": "Completed",
    "optimize": "success",
    "get_flush_all_state": True,
    "get_compaction_plans": "Completed",
    "ORM description": ["it_docs", "", False, "id"],
    "ORM num_entities": 12,
    "ORM partitions": ["_default"],
    "ORM has_partition": False,
    "ORM indexes": [["vector", "vector"], ["words", "words_index"], ["year", "year"]],
    "ORM has_index": True,
    "ORM index": {"index_type": "IVF_FLAT", "metric_type": "COSINE", "params": {"nlist": "4"}},
    "ORM query": [{"id": 1, "title": "film 1"}, {"id": 2, "title": "film 2"}],
    "ORM search": [[[4, 1.0, "film 4"]]],
    "ORM query_iterator": [[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12]],
    "ORM search_iterator": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "ORM hybrid_search": [12, 11],
    "utility.has_collection": True,
    "utility.has_partition": False,
    "utility.list_collections": True,
    "utility.load_state": "NotLoad",
    "utility.loading_progress": {"loading_progress": "100%"},
    "utility.index_building_progress": {
        "total_rows": 12,
        "indexed_rows": 12,
        "pending_index_rows": 0,
        "state": "Finished",
    },
    "utility.wait_for_index_building_complete": True,
    "utility.list_indexes": ["vector", "words_index", "year"],
    "utility.get_query_segment_info": [12],
    "utility.get_server_version": "v2.6.0",
    "utility.get_server_type": "milvus",
    "utility.list_usernames is a list": True,
    "utility.list_roles": ["admin", "public", "reader", "writer"],
    "db.list_database": True,
    "utility.has_collection dropped": False,
}

BEFORE_2_6: dict[str, Any] = {
    # They send no norm_score, which Milvus 2.6 takes as false: raw inner products and converted distances.
    "hybrid_search weighted": [[[9, 2.7], [8, 2.4]]],
}
ABSENT = {
    "2.4.9": 52,
    "2.6.17": 7,
    "3.0.2": 0,
}
"""How many of the steps a release has no method for."""
NOT_CALLED = re.compile(
    "function|struct_field|snapshot|external_collection|resource_group|file_resource|privilege|replica|field_schema"
    "|dump_messages|alter_role"
)
"""Methods that need what is not served, or call no server."""


@pytest.mark.parametrize("version", ["2.4.9", pytest.param("2.6.17", marks=pytest.mark.slow), "3.0.2"])
def test_every_call(client_server: ClientServer, version: str) -> None:
    name = "e" + version.replace(".", "_")
    printed = run_client(
        version, PROGRAM, client_server.url, client_server.key, client_server.files, version, timeout=240
    )
    results = json.loads(re.sub(r"\d{15,}", "NUMBER", printed.replace(name, "it")))
    results |= {step: shortened for step, result in results.items() if (shortened := unserved_method(result))}
    unexpected = [method for method in results.pop("methods without a step") if not NOT_CALLED.search(method)]
    assert unexpected == []
    expected = expected_results(version)
    assert {step: result for step, result in results.items() if result != expected.get(step, "no such step")} == {}
    assert len(expected) - len(results) == ABSENT[version]


def unserved_method(result: Any) -> str | None:
    """What UNSERVED says of a step whose method isn't served."""
    if not (isinstance(result, dict) and result.get("refused", [0])[0] == UNSERVED_CODE):
        return None
    told = re.match("service unimplemented: ([A-Za-z0-9 ]+ is not served) by Penstock; ", result["refused"][1])
    return told and told[1]


def expected_results(version: str) -> dict[str, Any]:
    results = dict(RETURNED)
    results |= dict.fromkeys(re.split(r",\s+", RETURNS_NOTHING.strip()))
    results |= {step: {"refused": [code, message]} for step, (code, message) in REFUSED.items()}
    results |= {step: f"{method} is not served" for step, method in UNSERVED.items()}
    return results | (BEFORE_2_6 if version < "2.6" else {})
