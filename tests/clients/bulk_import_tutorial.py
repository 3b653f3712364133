"""The steps of Milvus's guides to bulk import, for released pymilvus: data of all types goes through a bucket.

Arguments: the server's address, an API key, the address of an S3 server and a bucket of it. Prints one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException
from pymilvus.bulk_writer import (
    BulkFileType,
    RemoteBulkWriter,
    bulk_import,
    get_import_progress,
    list_import_jobs,
)

URL, KEY, S3, BUCKET = sys.argv[1:]
COLLECTION = "tutorial"
DIM = 128
ROWS = 500
WAIT_SECONDS = 60
random.seed(1)


def prepare(schema: Any, file_type: BulkFileType) -> Any:
    writer = RemoteBulkWriter(
        schema=schema,
        remote_path="/import",
        connect_param=RemoteBulkWriter.S3ConnectParam(
            endpoint=S3.removeprefix("http://"),
            access_key="minioadmin",
            secret_key="minioadmin",
            bucket_name=BUCKET,
            secure=False,
        ),
        file_type=file_type,
    )
    for number in range(ROWS):
        writer.append_row(row(number))
    writer.commit()
    return writer.batch_files


def schema_of_all_types() -> Any:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("bool", DataType.BOOL)
    schema.add_field("int8", DataType.INT8)
    schema.add_field("int16", DataType.INT16)
    schema.add_field("int32", DataType.INT32)
    schema.add_field("int64", DataType.INT64)
    schema.add_field("float", DataType.FLOAT)
    schema.add_field("double", DataType.DOUBLE)
    schema.add_field("varchar", DataType.VARCHAR, max_length=512)
    schema.add_field("json", DataType.JSON)
    schema.add_field("array_str", DataType.ARRAY, max_capacity=100, element_type=DataType.VARCHAR, max_length=128)
    schema.add_field("array_int", DataType.ARRAY, max_capacity=100, element_type=DataType.INT64)
    schema.add_field("float_vector", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("binary_vector", DataType.BINARY_VECTOR, dim=DIM)
    schema.add_field("float16_vector", DataType.FLOAT16_VECTOR, dim=DIM)
    schema.add_field("sparse_vector", DataType.SPARSE_FLOAT_VECTOR)
    return schema


def row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "bool": number % 3 == 0,
        "int8": number % 128,
        "int16": number % 1000,
        "int32": number % 100_000,
        "int64": number,
        "float": number / 4,
        "double": number / 3,
        "varchar": f"varchar_{number}",
        "json": {"dummy": number, "ok": f"name_{number}"},
        "array_str": [f"str_{k}" for k in range(5)],
        "array_int": list(range(10)),
        "float_vector": vector(number),
        "binary_vector": [(number >> (bit % 9)) & 1 for bit in range(DIM)],
        "float16_vector": np.array(vector(number), np.float16),
        "sparse_vector": {number + 1: 0.5, 1000: 0.25},
        f"dynamic_{number % 2}": number,
    }


def vector(number: int) -> list[float]:
    return [float((number * (position + 1)) % 97) / 97 for position in range(DIM)]


def imported(files: list[list[str]]) -> dict[str, Any]:
    """Create a job, follow it to its end and return how it ended."""
    job_id = bulk_import(url=URL, api_key=KEY, collection_name=COLLECTION, files=files).json()["data"]["jobId"]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        progress = get_import_progress(url=URL, api_key=KEY, job_id=job_id).json()["data"]
        if progress["state"] in ("Completed", "Failed"):
            return dict(progress)
        time.sleep(0.1)
    raise AssertionError(progress)


def bulk_import_guide(client: MilvusClient) -> dict[str, Any]:
    schema = schema_of_all_types()
    index_params = client.prepare_index_params()
    index_params.add_index(field_name="float_vector", index_type="AUTOINDEX", metric_type="L2")
    index_params.add_index(field_name="binary_vector", index_type="BIN_FLAT", metric_type="HAMMING")
    index_params.add_index(field_name="float16_vector", index_type="AUTOINDEX", metric_type="L2")
    index_params.add_index(field_name="sparse_vector", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    client.create_collection(COLLECTION, schema=schema, index_params=index_params)
    batches = prepare(schema, BulkFileType.PARQUET)
    done = imported(batches)
    jobs = list_import_jobs(url=URL, api_key=KEY, collection_name=COLLECTION).json()["data"]["records"]
    client.load_collection(COLLECTION)
    client.refresh_load(COLLECTION)
    found = client.search(
        COLLECTION,
        data=[vector(7)],
        anns_field="float_vector",
        limit=2,
        output_fields=["varchar", "json", "dynamic_1"],
    )
    binary = np.packbits([(7 >> (bit % 9)) & 1 for bit in range(DIM)]).tobytes()
    half = np.array(vector(8), np.float16)
    return {
        "states": [done["state"], done["importedRows"], done["progress"]],
        "files": [path.rpartition("/")[2] for batch in batches for path in batch],
        "jobs": [[job["collectionName"], job["state"], job["progress"]] for job in jobs],
        "rows": client.get_collection_stats(COLLECTION)["row_count"],
        "nearest": [found[0][0]["id"], found[0][0]["distance"], found[0][0]["entity"]],
        "binary": client.search(COLLECTION, data=[binary], anns_field="binary_vector", limit=1)[0][0]["id"],
        "half": client.search(COLLECTION, data=[half], anns_field="float16_vector", limit=1)[0][0]["id"],
        "sparse": client.search(COLLECTION, data=[{9: 1.0}], anns_field="sparse_vector", limit=1)[0][0]["id"],
        "json": imported(prepare(schema, BulkFileType.JSON))["state"],
        "more": client.query(COLLECTION, "int64 == 7", output_fields=["count(*)"])[0]["count(*)"],
    }


def quick_start(client: MilvusClient) -> dict[str, Any]:
    """The quick start up to the insert of its rows."""
    if client.has_collection(collection_name="demo_collection"):
        client.drop_collection(collection_name="demo_collection")
    client.create_collection(collection_name="demo_collection", dimension=768)
    data = [
        {"id": number, "vector": [random.uniform(-1, 1) for _ in range(768)], "text": "a text", "subject": "history"}
        for number in range(3)
    ]
    try:
        client.insert(collection_name="demo_collection", data=data)
    except MilvusException as error:
        message = error.message
    found = client.search(collection_name="demo_collection", data=[data[0]["vector"]], limit=2)
    client.drop_collection(collection_name="demo_collection")
    return {"insert": message, "found": [list(hits) for hits in found]}


client = MilvusClient(uri=URL, token=KEY)
results = {"guide": bulk_import_guide(client), "quick start": quick_start(client)}
client.drop_collection(COLLECTION)
client.close()
print(json.dumps(results))
