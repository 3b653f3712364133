"""``client.collections.infer`` and its call, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from penstock.sdk.client import Client
from penstock.sdk.errors import ApiError
from penstock.sdk.schema import DynamicColumn, InferredField
from tests.support.servers import RunningServer

ROWS = [{"id": number, "v": [1.0, *([0.0] * 7)], "t": "a", "no name": number} for number in range(3)]


@pytest.fixture(scope="module")
def path(server: RunningServer) -> Path:
    file = server.import_root / "client_inference.json"
    file.write_text(json.dumps(ROWS))
    return file


def test_the_inferred_schema_creates_a_collection(server: RunningServer, path: Path) -> None:
    with Client(server.url) as client:
        inferred = client.collections.infer(path)
        assert inferred.fields[0] == InferredField(
            name="id", type="Int64", reason="named as a key, whole numbers, distinct in the sample"
        )
        assert inferred.dynamic == (DynamicColumn(name="no name", reason=inferred.dynamic[0].reason),)
        assert "can only contain numbers, letters and underscores" in inferred.dynamic[0].reason
        assert [index["metricType"] for index in inferred.indexes] == ["COSINE"]
        assert (inferred.rows, inferred.is_complete, len(inferred.files)) == (3, True, 1)
        client.collections.create("client_inference", schema=inferred.schema, indexes=inferred.indexes)
        client.imports.wait(client.imports.create("client_inference", path))
        assert client.count("client_inference") == 3
        (hit,) = client.search("client_inference", [ROWS[0]["v"]], limit=1, output_fields=["no name"])[0]
        assert hit.fields["no name"] == hit.id


def test_the_call_has_the_envelope_of_v2(server: RunningServer, path: Path) -> None:
    url = f"{server.url}/v2/vectordb/jobs/import/infer"
    answer = requests.post(url, json={"files": [[path.name]], "vector": "v", "autoId": True}, timeout=90).json()
    assert answer["code"] == 0
    assert answer["data"].keys() == {
        *("schema", "indexParams", "fields", "dynamic", "notes", "sampledRows", "sampledFiles", "isComplete"),
        "mapping",
    }
    assert answer["data"]["schema"]["autoId"]
    assert answer["data"]["fields"][0]["fieldName"] == "pk"
    missing = requests.post(url, json={}, timeout=90).json()
    assert missing["code"] == 1802
    assert "'Files'" in missing["message"]
    refused = requests.post(url, json={"files": [[path.name]], "vector": "w"}, timeout=90).json()
    assert refused["code"] == 2100
    assert "no column 'w' for the vector" in refused["message"]


def test_wrong_arguments(server: RunningServer, path: Path) -> None:
    with Client(server.url) as client:
        with pytest.raises(ValueError, match="give one of files or object_urls"):
            client.collections.infer()
        with pytest.raises(ValueError, match="unknown"):
            client.collections.infer(path, options={"separator": ";"})
        with pytest.raises(ApiError, match="import root"):
            client.collections.infer("/etc/passwd.json")
