"""Imports from an object store: with the server's keys below an import root, with the caller's from anywhere."""

from __future__ import annotations

import contextlib
from pathlib import Path

import penstock
from tests.support.s3 import S3Server
from tests.support.servers import RunningServer, running_server

ROWS = b'{"id": 1, "vector": [0.5, 1.5]}\n{"id": 2, "vector": [2.5, 3.5]}\n'
SECRET = "callers-own-secret"


def v1_outcome(
    server: RunningServer, object_url: str, access_key: str = "", secret_key: str = ""
) -> dict[str, object]:
    """What the v1 calls say of an import in the end."""
    created = penstock.bulk_import(
        server.url, "key", object_url, access_key, secret_key, cluster_id="in01-local", collection_name="docs"
    )
    job_id = created.json()["data"]["jobId"]
    with server.client() as client, contextlib.suppress(penstock.JobFailed):
        client.imports.wait(job_id, timeout=60)
    answer = penstock.get_import_progress(server.url, "key", job_id, "in01-local").json()
    data: dict[str, object] = answer["data"]
    return data


def test_objects_are_read_with_the_keys_that_may_read_them(tmp_path: Path, s3: S3Server) -> None:
    own, foreign = s3.make_bucket(), s3.make_bucket()
    for name in ("docs/a.jsonl", "docs/b.jsonl"):
        s3.put(own, f"night/{name}", ROWS)
    s3.put(foreign, "c.jsonl", ROWS)
    roots = ["--import-root", f"s3://{own}/night", "--import-root", "s3://"]
    with running_server(tmp_path, *roots, env=s3.environment, forked=True) as server, server.client() as client:
        client.collections.create("docs", dimension=2)

        folder = v1_outcome(server, f"s3://{own}/night/docs/")
        assert (folder["errorMessage"], folder["readyPercentage"]) == (None, 1)
        assert folder["fileSize"] == 2 * len(ROWS)

        # A relative path and one with a slash in front are keys of the root, as old bulk writers wrote them.
        client.imports.wait(client.imports.create("docs", [["docs/a.jsonl"], ["/docs/b.jsonl"]]))
        assert client.count("docs") == 8

        theirs = v1_outcome(server, f"s3://{foreign}/c.jsonl", "callers-own-key", SECRET)
        assert theirs["errorMessage"] is None
        assert client.count("docs") == 10

        for call in (f"s3://{foreign}/c.jsonl", "s3://another-bucket/c.jsonl"):
            refused = client_refusal(client, call)
            assert "own credentials" in refused
    assert SECRET not in server.log.read_text()
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("data/catalog.db*"))


def client_refusal(client: penstock.Client, url: str) -> str:
    try:
        client.imports.create("docs", object_urls=[[url]])
    except penstock.ImportCallError as error:
        return str(error)
    raise AssertionError(f"{url} was not refused")
