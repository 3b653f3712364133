"""Uploads on a real server: sent in pieces, interrupted, continued, imported, and deleted."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

import penstock
from penstock.sdk.errors import ApiError
from penstock.sdk.uploads import UploadProgress
from penstock.server.storage_settings import upload_folder
from penstock.settings import load_settings
from tests.support.servers import RunningServer, running_server

UPLOADS = "/v2/vectordb/jobs/import/uploads"
QUOTA = 3_000_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    flags = ("--max-upload-bytes", "2MB", "--max-upload-bytes-per-org", str(QUOTA), "--request-timeout", "1s")
    with running_server(tmp_path_factory.mktemp("uploads"), *flags, forked=True) as server:
        with server.client() as client:
            client.collections.create("docs", dimension=2)
        yield server


def lines(first: int, count: int = 3) -> bytes:
    rows = (json.dumps({"id": first + row, "vector": [1.0, 2.0]}) for row in range(count))
    return "\n".join(rows).encode()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def create(
    server: RunningServer, content: bytes, name: str = "a.jsonl", size: int | None = None, **headers: str
) -> requests.Response:
    metadata = f"filename {encoded(name.encode())},sha256 {encoded(hashlib.sha256(content).hexdigest().encode())}"
    length = str(len(content) if size is None else size)
    return requests.post(
        server.url + UPLOADS, headers={"Upload-Length": length, "Upload-Metadata": metadata, **headers}, timeout=30
    )


def send(server: RunningServer, upload_id: str, offset: int, content: bytes, **headers: str) -> requests.Response:
    return requests.patch(
        f"{server.url}{UPLOADS}/{upload_id}",
        data=content,
        headers={"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset), **headers},
        timeout=30,
    )


def offset(server: RunningServer, upload_id: str) -> int | None:
    response = requests.head(f"{server.url}{UPLOADS}/{upload_id}", timeout=30)
    return int(response.headers["Upload-Offset"]) if response.ok else None


def remove(server: RunningServer, upload_id: str) -> int:
    return requests.delete(f"{server.url}{UPLOADS}/{upload_id}", timeout=30).status_code


def files_of(server: RunningServer) -> list[str]:
    folder = server.data_dir / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_file_is_sent_in_pieces_imported_and_deleted(own: RunningServer) -> None:
    content = lines(0)
    created = create(own, content, "lang=de/a.jsonl")
    assert (created.status_code, created.headers["Tus-Resumable"]) == (201, "1.0.0")
    upload = created.json()["data"]
    assert created.headers["Location"] == f"{UPLOADS}/{upload['uploadId']}"
    assert (upload["path"], upload["offset"]) == (f"upload://{upload['uploadId']}/lang=de/a.jsonl", 0)

    sent = send(own, upload["uploadId"], 0, content[:10])
    assert (sent.status_code, sent.headers["Upload-Offset"], sent.content) == (204, "10", b"")
    # Repeated for the same file, the call returns the same upload.
    again = create(own, content, "lang=de/a.jsonl").json()["data"]
    assert (again["uploadId"], again["offset"], again["complete"]) == (upload["uploadId"], 10, False)
    with own.client() as client:
        with pytest.raises(ApiError, match="is not complete: continue it from the offset that HEAD returns"):
            client.imports.create("docs", upload["path"])
        digest = encoded(hashlib.sha256(content[10:]).digest())
        assert send(own, upload["uploadId"], 10, content[10:], **{"Upload-Checksum": f"sha256 {digest}"}).ok
        with pytest.raises(ApiError, match=r"has the name 'lang=de/a\.jsonl': name it as"):
            client.imports.create("docs", upload["path"].replace("a.jsonl", "b.jsonl"))
        inferred = client.collections.infer(upload["path"])
        assert [field.name for field in inferred.fields][:2] == ["id", "vector"]
        job = client.imports.wait(client.imports.create("docs", upload["path"]))
        assert (job.state, job.rows) == ("Completed", 3)
        assert client.get("docs", [0], output_fields=["lang"])[0]["lang"] == "de"
    wait_for(lambda: offset(own, upload["uploadId"]) is None)
    wait_for(lambda: upload["uploadId"] not in files_of(own))


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"Upload-Length": "x"}, 400, "the header Upload-Length is not a number of bytes: x"),
        ({"Upload-Length": "2000001"}, 413, "the limit per upload is 2,000,000 (max_upload_bytes)"),
        ({"Upload-Metadata": "filename YQ=="}, 400, "the header Upload-Metadata has no sha256"),
        ({"Upload-Metadata": "filename ?"}, 400, "has no base64 text for 'filename'"),
        ({"name": "../a.jsonl"}, 400, "the path contains '..'"),
        ({"name": "/a.jsonl"}, 400, "the name of an upload must be a file's name"),
        ({"name": "a.exe"}, 400, "unexpected file type"),
    ],
)
def test_uploads_that_are_refused(own: RunningServer, change: dict[str, str], status: int, message: str) -> None:
    headers = {key: value for key, value in change.items() if key != "name"}
    response = create(own, b"1", change.get("name", "a.jsonl"), None, **headers)
    assert response.status_code == status
    assert message in response.json()["message"]


def test_a_client_that_lies(own: RunningServer) -> None:
    content = lines(0)
    upload_id = create(own, content, "lie.jsonl").json()["data"]["uploadId"]
    assert send(own, upload_id, 0, content[:10]).ok
    for at, body, status, message in (
        (4, content[4:], 409, "has 10 bytes; the call continues at 4"),
        (10, content, 400, f"was announced with {len(content)} bytes; this call would make it {len(content) + 10}"),
    ):
        response = send(own, upload_id, at, body)
        assert (response.status_code, offset(own, upload_id)) == (status, 10)
        assert message in response.json()["message"]
    chunked = requests.patch(
        f"{own.url}{UPLOADS}/{upload_id}",
        data=iter([content]),  # without a Content-Length
        headers={"Content-Type": "application/offset+octet-stream", "Upload-Offset": "10"},
        timeout=30,
    )
    assert (chunked.status_code, offset(own, upload_id)) == (400, 10)

    damaged = send(own, upload_id, 10, b"x" * 5, **{"Upload-Checksum": f"sha256 {encoded(bytes(32))}"})
    assert (damaged.status_code, offset(own, upload_id)) == (460, 10)
    assert "They were discarded: send them again, from offset 10" in damaged.json()["message"]

    other = send(own, upload_id, 10, b"x" * (len(content) - 10))
    assert other.status_code == 460
    assert "it was announced as" in other.json()["message"]
    assert (offset(own, upload_id), files_of(own)) == (None, [])
    assert send(own, upload_id, 0, content).status_code == 404
    assert send(own, "../../x", 0, b"").status_code == 404


def test_an_upload_that_stops_halfway_continues_where_it_stopped(own: RunningServer) -> None:
    content = lines(0, 20_000)
    upload_id = create(own, content, "half.jsonl").json()["data"]["uploadId"]
    where = urlsplit(own.url)
    head = (
        f"PATCH {UPLOADS}/{upload_id} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\nContent-Length: {len(content)}\r\n"
        "Content-Type: application/offset+octet-stream\r\n\r\n"
    )
    for _ in range(20):
        with socket.create_connection((str(where.hostname), int(where.port or 0))) as connection:
            connection.sendall(head.encode() + content[:100_000])
            time.sleep(0.3)
            # While one call writes, no other may. Otherwise this one was the first.
            if send(own, upload_id, 0, b"").status_code == 409:
                break
    else:
        pytest.fail("no call was refused")
    wait_for(lambda: offset(own, upload_id) == 100_000)
    with socket.create_connection((str(where.hostname), int(where.port or 0))) as connection:
        half = head.replace("Offset: 0", "Offset: 100000").replace(str(len(content)), str(len(content) - 100_000))
        connection.sendall(half.encode() + content[100_000:200_000])
        assert b" 408 " in connection.recv(100)  # it stalled for longer than the server's request_timeout
    wait_for(lambda: offset(own, upload_id) == 200_000)
    wait_for(lambda: send(own, upload_id, 200_000, content[200_000:]).status_code == 204)
    assert remove(own, upload_id) == 204


def test_the_quota_counts_announced_bytes_and_is_released(own: RunningServer) -> None:
    first = create(own, b"1", "q1.jsonl", size=1_900_000).json()["data"]["uploadId"]
    refused = create(own, b"2", "q2.jsonl", size=1_900_000)
    assert refused.status_code == 429
    assert "the uploads of your org have 1,900,000 bytes in 1 files" in refused.json()["message"]
    assert remove(own, first) == 204
    second = create(own, b"2", "q2.jsonl", size=1_900_000)
    assert second.status_code == 201
    assert remove(own, second.json()["data"]["uploadId"]) == 204


def test_an_upload_is_checked_then_imported_and_its_corrected_rows_are_replayed(
    own: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "most.jsonl").write_bytes(lines(300) + b'\n{"id": 303, "vector": [1.0]}\n')
    (tmp_path / "corrected.jsonl").write_bytes(lines(303, 1))
    with own.client() as client:
        [[path]] = client.imports.upload(tmp_path / "most.jsonl")
        assert client.imports.loaded("docs", path) == {}
        dry = client.imports.wait(client.imports.create("docs", path, options={"dry_run": "true"}))
        assert dry.report is not None
        assert dry.report["badRows"] == 1
        job = client.imports.wait(client.imports.create("docs", path, options={"on_error": "skip_row"}))
        assert (job.rows, job.rejected_rows) == (3, 1)
        assert client.imports.loaded("docs", path) == {path: job.id}
        replay = client.imports.replay(job, client.imports.upload(tmp_path / "corrected.jsonl"))
        assert client.imports.wait(replay).rows == 1
        assert sorted(row["id"] for row in client.query("docs", "id >= 300")) == [300, 301, 302, 303]


def test_the_client_uploads_files_and_folders(own: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "lang=fr" / "deep").mkdir(parents=True)
    (tmp_path / "lang=fr" / "deep" / "a.jsonl").write_bytes(lines(100))
    (tmp_path / "lang=fr" / "_SUCCESS").write_bytes(b"")
    (tmp_path / "b.jsonl").write_bytes(lines(200))
    (tmp_path / "empty.jsonl").write_bytes(b"")
    states: list[UploadProgress] = []
    with own.client() as client:
        job = client.imports.create(
            "docs",
            [tmp_path / "lang=fr", str(tmp_path / "b.jsonl"), tmp_path / "empty.jsonl"],
            upload=True,
            progress=states.append,
        )
        job = client.imports.wait(job)
        assert (job.state, job.rows) == ("Completed", 6)
        assert client.get("docs", [100], output_fields=["lang"])[0]["lang"] == "fr"
        done = [state.done for state in states]
        assert done == sorted(done)
        assert states[-1].done == states[-1].size
        with pytest.raises(FileNotFoundError):
            client.imports.create("docs", tmp_path / "none.jsonl", upload=True)


def test_a_path_outside_of_the_roots_suggests_the_upload(own: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_bytes(lines(0))
    with own.client() as client, pytest.raises(penstock.JobFailed, match=r"upload it: penstock import --upload"):
        client.imports.wait(client.imports.create("docs", tmp_path / "c.jsonl"))


@pytest.mark.parametrize(
    ("flags", "folder", "reason"),
    [
        ({}, "uploads", ""),
        ({"uploads": False}, None, "uploads are turned off on this server"),
        ({"catalog_url": "postgresql://h/d"}, None, "Set --upload-dir to a folder that all of them share"),
        ({"runner": "ray"}, None, "Set --upload-dir to a folder that all of them share"),
        ({"runner": "ray", "upload_dir": "/mnt/shared"}, "/mnt/shared", ""),
    ],
)
def test_servers_that_share_their_work_need_a_folder_that_all_reach(
    tmp_path: Path, flags: dict[str, Any], folder: str | None, reason: str
) -> None:
    where, why = upload_folder(load_settings({"data_dir": str(tmp_path), **flags}, environment={}))
    assert where == (None if folder is None else tmp_path / folder)
    assert reason in why


@pytest.mark.slow
def test_a_killed_server_keeps_what_it_has_received(tmp_path: Path) -> None:
    content = lines(0, 200_000)  # some megabytes
    file = tmp_path / "big.jsonl"
    file.write_bytes(content)
    with running_server(tmp_path, forked=True) as server:
        with server.client() as client:
            client.collections.create("docs", dimension=2)
        upload_id = create(server, content, file.name).json()["data"]["uploadId"]
        where = urlsplit(server.url)
        with socket.create_connection((str(where.hostname), int(where.port or 0))) as connection:
            head = (
                f"PATCH {UPLOADS}/{upload_id} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\n"
                f"Content-Length: {len(content)}\r\nContent-Type: application/offset+octet-stream\r\n\r\n"
            )
            connection.sendall(head.encode() + content[:5_000_000])
            wait_for(lambda: (offset(server, upload_id) or 0) >= 2_000_000)
            server.kill()
        (server.data_dir / "uploads" / ("0" * 32)).write_bytes(b"of a crashed process")
    with running_server(tmp_path, forked=True) as server, server.client() as client:
        reached = offset(server, upload_id)
        assert reached is not None
        assert reached >= 2_000_000
        sent: list[int] = []
        job = client.imports.create("docs", file, upload=True, progress=lambda state: sent.append(state.done))
        assert next(count for count in sent if count) == reached
        job = client.imports.wait(job)
        assert (job.state, job.rows) == ("Completed", 200_000)
        wait_for(lambda: files_of(server) == [])
