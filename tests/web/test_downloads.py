"""The rows that a page downloads import back equal, of every type, and hold memory until they are sent."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from penstock.server.http.protocol import BoundedProtocol
from tests.support.data_planes import data_plane
from tests.support.result_memory import record_releases
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


def test_a_download_holds_memory_until_it_is_sent_and_may_take_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = record_releases(monkeypatch)
    monkeypatch.setattr(BoundedProtocol, "idle_write_seconds", 0.6)
    dim, rows, bytes_per_second = 4000, 400, 14e6
    with data_plane(tmp_path) as plane, socket.socket() as client:
        name = plane.quick(dim)
        plane.put(name, [{"id": number, "vector": [round(number / 7, 6)] * dim} for number in range(rows)])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.settimeout(60)
        host, port = plane.address.split(":")
        client.connect((host, int(port)))
        path = f"/collections/default/{name}/rows.jsonl"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {plane.address}\r\nConnection: close\r\n\r\n".encode())
        received = bytearray(client.recv(1 << 16))
        assert received.startswith(b"HTTP/1.1 200 ")
        time.sleep(0.1)
        assert released == [], "the client has read only its beginning"
        began = time.monotonic()
        while piece := client.recv(1 << 16):
            received += piece
            time.sleep(max(0.0, len(received) / bytes_per_second - (time.monotonic() - began)))
        assert time.monotonic() - began > BoundedProtocol.idle_write_seconds
        assert received.count(b"\n{") == rows
    assert len(released) == 1
    assert rows * dim * 4 < released[0] < 2 * rows * dim * 4
