"""The rows that a page downloads import back equal, of every type."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.servers import RunningServer

SCHEMA = {
    "enableDynamicField": True,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "small", "dataType": "Int8", "nullable": True},
        {"fieldName": "sure", "dataType": "Bool"},
        {"fieldName": "price", "dataType": "Double"},
        {"fieldName": "title", "dataType": "VarChar", "elementTypeParams": {"max_length": 99}, "nullable": True},
        {"fieldName": "doc", "dataType": "JSON", "nullable": True},
        {
            "fieldName": "tags",
            "dataType": "Array",
            "elementDataType": "Int64",
            "elementTypeParams": {"max_capacity": 9},
        },
        {"fieldName": "at", "dataType": "Timestamptz"},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "half", "dataType": "Float16Vector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "bits", "dataType": "BinaryVector", "elementTypeParams": {"dim": 8}},
        {"fieldName": "terms", "dataType": "SparseFloatVector"},
    ],
}


def row(number: int) -> dict[str, object]:
    return {
        "id": 2**60 + number,
        "small": None if number == 1 else number,
        "sure": number % 2 == 0,
        "price": number / 3,
        "title": 'a "quoted"\nline' if number else None,
        "doc": {"deep": [number, {"x": None}]} if number else None,
        "tags": [2**60, number],
        "at": f"2026-11-30T08:00:0{number}Z",
        "vector": [number, 0.1],
        "half": [number, 0.5],
        "bits": [number],
        "terms": {"3": 0.5, "70000": number + 1.0},
        "extra": {"n": number},
    }


@pytest.mark.parametrize(("filter_text", "count"), [("", 3), (f"id > {2**60}", 2)])
def test_downloaded_rows_import_back_equal(server: RunningServer, filter_text: str, count: int) -> None:
    first, second = f"down_{count}", f"up_{count}"
    file = server.import_root / f"{first}.jsonl"
    file.write_text("".join(json.dumps(row(number)) + "\n" for number in range(3)))
    with server.client() as client:
        for name in (first, second):
            client.collections.create(name, schema=SCHEMA)
        client.imports.wait(client.imports.create(first, [str(file)]))
        answer = httpx.get(f"{server.url}/collections/default/{first}/rows.jsonl", params={"filter": filter_text})
        assert answer.headers["content-disposition"] == f'attachment; filename="{first}.jsonl"'
        assert "content-encoding" not in answer.headers, "compressing it would hold up other calls"
        rows = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["id"] for line in rows] == [row(number)["id"] for number in range(3 - count, 3)]
        assert rows[-1]["tags"] == row(2)["tags"]
        assert rows[-1]["doc"] == row(2)["doc"]
        assert rows[-1]["extra"] == {"n": 2}
        back = server.import_root / f"{second}.jsonl"
        back.write_bytes(answer.content)
        client.imports.wait(client.imports.create(second, [str(back)]))
        assert client.query(second, "id >= 0") == client.query(first, filter_text or "id >= 0")
