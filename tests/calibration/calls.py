"""Print the number that a server answers to each of many gRPC calls, right and wrong ones, as one JSON object.

    python calls.py ADDRESS

Runs in the environment of a client that is as old as the Milvus that is compared; imports nothing of Penstock.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

NAME, OTHER, BARE, MISSING = "calibrated", "calibrated_other", "calibrated_bare", "no_such_collection"
TYPE: Any = schema_pb2.DataType
PB: Any = milvus_pb2
Answers = dict[str, tuple[int, str]]


class Caller:
    """Calls one server, and keeps what it answers: a number, 0 for success, and a text."""

    def __init__(self, address: str) -> None:
        self._stub = milvus_pb2_grpc.MilvusServiceStub(grpc.insecure_channel(address))
        self.answers: Answers = {}

    def __call__(self, label: str, method: str, **request: Any) -> Any:
        response = getattr(self._stub, method)(getattr(PB, f"{method}Request")(**request))
        status = response if isinstance(response, common_pb2.Status) else response.status
        self.answers[label] = (status.code or int(status.error_code), status.reason)
        return response


def pairs(**values: str) -> list[Any]:
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]


def field(name: str, kind: Any, primary: bool = False, **params: str) -> Any:
    options = {key: bool(params.pop(key, "")) for key in ("autoID", "is_partition_key")}
    return schema_pb2.FieldSchema(
        name=name, data_type=kind, is_primary_key=primary, type_params=pairs(**params), **options
    )


KEY = field("id", TYPE.Int64, primary=True)
VECTOR = field("v", TYPE.FloatVector, dim="4")
TEXT = field("t", TYPE.VarChar, max_length="10")


def collections(call: Caller) -> None:
    def create(label: str, name: str, *fields: Any, shards: int = 1) -> None:
        schema = schema_pb2.CollectionSchema(name=name, fields=fields).SerializeToString()
        call(label, "CreateCollection", collection_name=name, schema=schema, shards_num=shards)

    create("create", NAME, KEY, VECTOR, TEXT)
    create("create the same again", NAME, KEY, VECTOR, TEXT)
    create("create with another schema", NAME, KEY, field("v", TYPE.FloatVector, dim="8"))
    create("create another", OTHER, KEY, VECTOR)
    create("create one without an index", BARE, KEY, VECTOR)
    bad: dict[str, list[Any]] = {
        "no key": [VECTOR],
        "two keys": [KEY, field("id2", TYPE.Int64, primary=True), VECTOR],
        "key of floats": [field("id", TYPE.Float, primary=True), VECTOR],
        "no vector": [KEY],
        "no dim": [KEY, field("v", TYPE.FloatVector)],
        "dim 0": [KEY, field("v", TYPE.FloatVector, dim="0")],
        "dim 1": [KEY, field("v", TYPE.FloatVector, dim="1")],
        "dim 32769": [KEY, field("v", TYPE.FloatVector, dim="32769")],
        "dim x": [KEY, field("v", TYPE.FloatVector, dim="x")],
        "9 bits": [KEY, field("v", TYPE.BinaryVector, dim="9")],
        "a field twice": [KEY, VECTOR, VECTOR],
        "field a-b": [KEY, field("a-b", TYPE.FloatVector, dim="4")],
        "no max_length": [KEY, VECTOR, field("t", TYPE.VarChar)],
        "max_length 0": [KEY, VECTOR, field("t", TYPE.VarChar, max_length="0")],
        "max_length 65536": [KEY, VECTOR, field("t", TYPE.VarChar, max_length="65536")],
        "partition key of floats": [KEY, VECTOR, field("k", TYPE.Float, is_partition_key="yes")],
        "the key as partition key": [field("id", TYPE.Int64, primary=True, is_partition_key="yes"), VECTOR],
        "automatic other field": [KEY, VECTOR, field("k", TYPE.Int64, autoID="yes")],
        "automatic floats": [field("id", TYPE.Float, primary=True, autoID="yes"), VECTOR],
    }
    for number, (label, fields) in enumerate(bad.items()):
        create(f"create: {label}", f"calibrated_bad_{number}", *fields)
        call(f"drop: {label}", "DropCollection", collection_name=f"calibrated_bad_{number}")
    for name in ("1c", "a-b", "", "a" * 256):
        create(f"create: name {name[:3]!r}", name, KEY, VECTOR)
    create("create: 65 shards", "calibrated_shards", KEY, VECTOR, shards=65)
    call("create: no schema", "CreateCollection", collection_name="calibrated_bytes", schema=b"\xff\xff\xff")
    for label, name in (("", NAME), (": missing", MISSING)):
        call(f"describe{label}", "DescribeCollection", collection_name=name)
        call(f"has{label}", "HasCollection", collection_name=name)
        call(f"statistics{label}", "GetCollectionStatistics", collection_name=name)
        call(f"load state{label}", "GetLoadState", collection_name=name)
        call(f"show partitions{label}", "ShowPartitions", collection_name=name)
    call("drop: missing", "DropCollection", collection_name=MISSING)
    call("show", "ShowCollections")


def indexes(call: Caller) -> None:
    def create(label: str, *, field: str = "v", collection: str = NAME, name: str = "", **params: str) -> None:
        extra = pairs(**params)
        call(label, "CreateIndex", collection_name=collection, field_name=field, index_name=name, extra_params=extra)

    flat = {"index_type": "FLAT", "metric_type": "L2"}
    call("describe index: none", "DescribeIndex", collection_name=NAME)
    call("describe index: missing collection", "DescribeIndex", collection_name=MISSING)
    create("index: missing field", field="nothing", **flat)
    create("index: missing collection", collection=MISSING, **flat)
    create("index: name 1-2", name="1-2", **flat)
    create("index: unknown type", index_type="XYZ", metric_type="L2")
    create("index: unknown metric", index_type="FLAT", metric_type="XYZ")
    create("index: no metric", index_type="FLAT")
    create("index: metric of bits", index_type="FLAT", metric_type="HAMMING")
    create("index: nlist 0", index_type="IVF_FLAT", metric_type="L2", params='{"nlist": 0}')
    create("index: nlist abc", index_type="IVF_FLAT", metric_type="L2", params='{"nlist": "abc"}')
    create("index: M 3000", index_type="HNSW", metric_type="L2", params='{"M": 3000, "efConstruction": 10}')
    create("index: broken params", index_type="HNSW", metric_type="L2", params="{")
    create("index", name="first", **flat)
    create("index: the same again", name="first", **flat)
    create("index: another type", name="first", index_type="IVF_FLAT", metric_type="L2", params='{"nlist": 8}')
    create("index: a second one", name="second", **flat)
    call("describe index", "DescribeIndex", collection_name=NAME)
    call("describe index: missing", "DescribeIndex", collection_name=NAME, index_name="nothing")
    call("drop index: missing", "DropIndex", collection_name=NAME, field_name="v", index_name="nothing")


def loading(call: Caller) -> None:
    call("load: missing", "LoadCollection", collection_name=MISSING)
    call("release: missing", "ReleaseCollection", collection_name=MISSING)
    call("load: no index", "LoadCollection", collection_name=BARE)
    call("progress: missing", "GetLoadingProgress", collection_name=MISSING)
    call("load", "LoadCollection", collection_name=NAME)
    for _ in range(600):
        if call("progress", "GetLoadingProgress", collection_name=NAME).progress == 100:
            break
        time.sleep(0.1)
    call("drop index: loaded", "DropIndex", collection_name=NAME, field_name="v", index_name="first")


def reads(call: Caller) -> None:
    def search(
        label: str,
        vector: list[float] = [1, 2, 3, 4],  # noqa: B006
        *,
        kind: int = 101,
        collection: str = NAME,
        dsl: str = "",
        group: bytes | None = None,
        partitions: list[str] | None = None,
        output: list[str] | None = None,
        **params: str,
    ) -> None:
        value = common_pb2.PlaceholderValue(tag="$0", type=kind, values=[struct.pack(f"{len(vector)}f", *vector)])
        filled = common_pb2.PlaceholderGroup(placeholders=[value]).SerializeToString()
        options = {"anns_field": "v", "topk": "3", "params": "{}", "metric_type": "L2", "round_decimal": "-1"}
        call(
            f"search{label}",
            "Search",
            collection_name=collection,
            placeholder_group=filled if group is None else group,
            dsl=dsl,
            dsl_type=1,
            nq=1,
            search_params=pairs(**{**options, **params}),
            partition_names=partitions or [],
            output_fields=output or [],
        )

    search("")
    search(": missing collection", collection=MISSING)
    search(": three elements", [1, 2, 3])
    search(": bits", kind=100)
    for topk in ("0", "-1", "16385", "x"):
        search(f": topk {topk}", topk=topk)
    search(": another metric", metric_type="IP")
    search(": unknown metric", metric_type="XYZ")
    search(": missing field", anns_field="nothing")
    search(": scalar field", anns_field="t")
    search(": broken filter", dsl="id >")
    search(": unknown field in the filter", dsl="nothing > 1")
    search(": texts and numbers", dsl="t > 1")
    search(": missing partition", partitions=["nothing"])
    search(": missing output field", output=["nothing"])
    search(": broken params", params="{")
    search(": no vectors", group=b"")
    search(": broken vectors", group=b"\xff\xff\xff")

    def query(label: str, expr: str = "id > 0", collection: str = NAME, **request: Any) -> None:
        call(f"query{label}", "Query", collection_name=collection, expr=expr, **request)

    query("")
    query(": broken filter", "id >")
    query(": no filter, no limit", "")
    query(": unknown field in the filter", "nothing > 1")
    query(": a number for a filter", "id + 1")
    query(": missing collection", collection=MISSING)
    query(": missing partition", partition_names=["nothing"])
    query(": missing output field", output_fields=["nothing"])
    for limit in ("x", "0", "16385"):
        query(f": limit {limit}", query_params=pairs(limit=limit))
    query(": count", "", output_fields=["count(*)"])
    query(": count with a limit", "", output_fields=["count(*)"], query_params=pairs(limit="3"))


def partitions(call: Caller) -> None:
    def each(label: str, method: str, name: str, collection: str = NAME) -> None:
        call(label, method, collection_name=collection, partition_name=name)

    each("create partition", "CreatePartition", "p", OTHER)
    each("create partition: again", "CreatePartition", "p", OTHER)
    each("create partition: name a b", "CreatePartition", "a b", OTHER)
    each("create partition: no name", "CreatePartition", "", OTHER)
    each("create partition: missing collection", "CreatePartition", "p", MISSING)
    each("has partition", "HasPartition", "p", OTHER)
    each("partition statistics", "GetPartitionStatistics", "p", OTHER)
    each("partition statistics: missing", "GetPartitionStatistics", "nothing", OTHER)
    each("drop partition", "DropPartition", "p", OTHER)
    each("drop partition: missing", "DropPartition", "p", OTHER)
    each("drop partition: the default one", "DropPartition", "_default", OTHER)
    call("load partitions: missing", "LoadPartitions", collection_name=NAME, partition_names=["nothing"])
    call("load partitions: none", "LoadPartitions", collection_name=NAME, partition_names=[])


def aliases_and_names(call: Caller) -> None:
    call("create alias", "CreateAlias", collection_name=NAME, alias="calibrated_alias")
    call("create alias: again", "CreateAlias", collection_name=NAME, alias="calibrated_alias")
    call("create alias: missing collection", "CreateAlias", collection_name=MISSING, alias="calibrated_alias_2")
    call("create alias: name a-b", "CreateAlias", collection_name=NAME, alias="a-b")
    call("create alias: a collection's name", "CreateAlias", collection_name=NAME, alias=NAME)
    call("alter alias", "AlterAlias", collection_name=NAME, alias="calibrated_alias")
    call("alter alias: missing", "AlterAlias", collection_name=NAME, alias="nothing")
    call("describe by alias", "DescribeCollection", collection_name="calibrated_alias")
    call("drop by alias", "DropCollection", collection_name="calibrated_alias")
    call("rename: existing", "RenameCollection", oldName=BARE, newName=OTHER)
    call("rename: missing", "RenameCollection", oldName=MISSING, newName="calibrated_renamed")
    call("rename: name a-b", "RenameCollection", oldName=BARE, newName="a-b")
    call("rename", "RenameCollection", oldName=BARE, newName="calibrated_renamed")
    call("drop alias", "DropAlias", alias="calibrated_alias")
    call("drop alias: missing", "DropAlias", alias="nothing")
    ttl = "collection.ttl.seconds"
    call("properties", "AlterCollection", collection_name=OTHER, properties=pairs(**{ttl: "10"}))
    call("properties: missing", "AlterCollection", collection_name=MISSING, properties=pairs(**{ttl: "10"}))


def roles_and_users(call: Caller) -> None:
    call("role", "SelectRole", role={"name": "admin"}, include_user_info=True)
    call("role: missing", "SelectRole", role={"name": "nothing"})
    call("user: missing", "SelectUser", user={"name": "nobody"}, include_role_info=True)
    call("grants: missing role", "SelectGrant", entity={"role": {"name": "nothing"}})


def databases_and_the_rest(call: Caller) -> None:
    call("create database", "CreateDatabase", db_name="calibrated")
    call("create database: again", "CreateDatabase", db_name="calibrated")
    call("create database: name a-b", "CreateDatabase", db_name="a-b")
    call("list databases", "ListDatabases")
    call("drop database", "DropDatabase", db_name="calibrated")
    call("drop database: missing", "DropDatabase", db_name="calibrated")
    call("drop database: the default one", "DropDatabase", db_name="default")
    call("show: missing database", "ShowCollections", db_name="calibrated")
    number = call("describe: by id", "DescribeCollection", collection_name=NAME).collectionID
    call("describe: by id alone", "DescribeCollection", collectionID=number)
    call("describe: by the id of none", "DescribeCollection", collectionID=77)
    call("flush", "Flush", collection_names=[NAME])
    call("flush: missing", "Flush", collection_names=[MISSING])
    call("import state: missing", "GetImportState", task=123)
    call("version", "GetVersion")
    call("health", "CheckHealth")


def clean_up(call: Caller) -> None:
    call("release", "ReleaseCollection", collection_name=NAME)
    for name in (NAME, OTHER, BARE, "calibrated_renamed"):
        call(f"drop {name}", "DropCollection", collection_name=name)


def main() -> None:
    call = Caller(sys.argv[1])
    for part in (
        *(collections, indexes, loading, reads, partitions, aliases_and_names, roles_and_users),
        *(databases_and_the_rest, clean_up),
    ):
        part(call)
    print(json.dumps(call.answers))


if __name__ == "__main__":
    main()
