"""Two tenants import from one server's folder: neither can read, or even find, the other's files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

import penstock
from penstock.bulk_writer import bulk_import
from penstock.cli.main import cli
from penstock.sdk import v1_calls
from penstock.sdk.errors import ImportCallError
from tests.support.servers import RunningServer, running_server

CLUSTERS = {"acme": "in01-acme", "globex": "in01-globex"}


@dataclass(frozen=True)
class Tenants:
    server: RunningServer
    keys: dict[str, str]

    def client(self, who: str) -> penstock.Client:
        return self.server.client(api_key=self.keys[who])

    def refused(self, path: str) -> list[str]:
        """What ``acme`` is told when it asks for a path by v1, by v2 as Milvus and Zilliz, and by the client."""
        server, key, cluster = self.server.url, self.keys["acme"], CLUSTERS["acme"]
        told = []
        for call in (
            lambda: v1_calls.bulk_import(server, key, path, "", "", cluster, "docs"),
            lambda: bulk_import(server, "docs", files=[[path]], api_key=key),
            lambda: bulk_import(server, "docs", object_url=path, cluster_id=cluster, api_key=key),
            lambda: self.client("acme").imports.create("docs", [[path]]),
            lambda: self.client("acme, by password").imports.create("docs", [[path]]),
        ):
            with pytest.raises(ImportCallError) as raised:
                call()
            told.append(str(raised.value))
        return told


def command(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--data-dir", str(folder / "data")], env=dict(env or {}))
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def write_rows(path: Path, start: int) -> None:
    rows = [{"id": number, "vector": [number, 1]} for number in range(start, start + 3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    folder: Path = tmp_path_factory.mktemp("tenants")
    keys = {}
    for number, (who, cluster) in enumerate(CLUSTERS.items()):
        command(folder, "clusters", "create", cluster, "--org", who)
        mine = ("--org", who, "--cluster", cluster, "--role", "writer")
        keys[who] = command(folder, "keys", "create", who, *mine, "--root", who)
        keys[f"{who} everywhere"] = command(folder, "keys", "create", "ops", *mine)
        password = {"PENSTOCK_USER_PASSWORD": f"password of {who}"}
        command(folder, "users", "create", who, *mine, "--root", who, env=password)
        keys[f"{who}, by password"] = f"{who}:password of {who}"
        (folder / "files" / who).mkdir(parents=True)
        write_rows(folder / "files" / who / "a.jsonl", 10 * number)
    (folder / "files" / "acme" / "theirs.jsonl").symlink_to(folder / "files" / "globex" / "a.jsonl")
    (folder / "files" / "acme" / "guess.jsonl").symlink_to(folder / "files" / "globex" / "none.jsonl")
    with running_server(folder, forked=True) as server:
        made = Tenants(server, keys)
        for who in CLUSTERS:
            with made.client(who) as client:
                client.collections.create("docs", dimension=2)
        yield made


def reason_of(client: penstock.Client, job: str | penstock.ImportJob) -> str:
    """Why the job failed, once it has."""
    with pytest.raises(penstock.JobFailed) as raised:
        client.imports.wait(job)
    assert raised.value.job.reason is not None
    return raised.value.job.reason


def test_each_imports_its_own(tenants: Tenants) -> None:
    for who in CLUSTERS:
        with tenants.client(who) as client:
            assert client.imports.wait(client.imports.create("docs", [[f"{who}/a.jsonl"]])).rows == 3


@pytest.mark.parametrize(
    "path",
    [
        "globex/a.jsonl",
        "{files}/globex/a.jsonl",
        "file://{files}/globex/a.jsonl",
        "acme/../globex/a.jsonl",
        "acme/%2e%2e/globex/a.jsonl",
        "file://{files}/acme/%252e%252e/globex/a.jsonl",
    ],
)
def test_by_no_name_and_no_interface_is_the_others_file_to_be_had(tenants: Tenants, path: str) -> None:
    path = path.format(files=tenants.server.import_root)
    there, missing = tenants.refused(path), tenants.refused(path.replace("a.jsonl", "none.jsonl"))
    assert [each.replace("none.jsonl", "a.jsonl") for each in missing] == there, "the same, there or not"
    for each in there:
        assert "is outside the import roots of your key (acme)" in each or "the path contains '..'" in each


@pytest.mark.parametrize("who", ["acme", "acme everywhere"])
def test_no_tenant_is_told_where_the_server_keeps_its_files(tenants: Tenants, who: str) -> None:
    with tenants.client(who) as client:
        reason = reason_of(client, client.imports.create("docs", [["acme/none.jsonl"]]))
        assert reason == "path 'acme/none.jsonl': the file does not exist. Looked in: the import roots"


def test_a_link_among_ones_own_files_leads_nowhere_else(tenants: Tenants) -> None:
    with tenants.client("acme") as client:
        there, missing = (
            reason_of(client, client.imports.create("docs", [[f"acme/{name}.jsonl"]])) for name in ("theirs", "guess")
        )
        assert there.replace("theirs", "guess") == missing
        assert "is a link that leads outside the import roots" in there
        assert client.query("docs", filter="id >= 10", output_fields=["id"]) == []


def test_the_roots_stay_with_the_job_whoever_asks_for_it_again(tenants: Tenants) -> None:
    with tenants.client("acme") as client:
        failed = client.imports.create("docs", [["acme/theirs.jsonl"]])
        reason = reason_of(client, failed)
    with tenants.client("acme everywhere") as client:
        client.imports.retry(failed)
        assert reason_of(client, failed) == reason
        assert client.imports.wait(client.imports.create("docs", [["acme/theirs.jsonl"]])).rows == 3


def test_an_upload_belongs_to_its_org(tenants: Tenants, tmp_path: Path) -> None:
    write_rows(tmp_path / "mine.jsonl", 100)
    with tenants.client("acme") as acme, tenants.client("globex") as globex:
        [[path]] = acme.imports.upload(tmp_path / "mine.jsonl")
        upload_id = path.split("/")[2]
        (tenants.server.import_root / "globex" / "x.manifest").write_text(path)
        calls = f"{tenants.server.url}/v2/vectordb/jobs/import/uploads/{upload_id}"
        for who, status in (("globex", 404), ("acme", 200)):
            headers = {"Authorization": f"Bearer {tenants.keys[who]}"}
            assert requests.head(calls, headers=headers, timeout=30).status_code == status
        assert requests.head(calls, timeout=30).status_code == 401
        theirs = {"Authorization": f"Bearer {tenants.keys['globex']}", "Upload-Offset": "0"}
        theirs["Content-Type"] = "application/offset+octet-stream"
        assert requests.patch(calls, headers=theirs, data=b"x", timeout=30).status_code == 404
        assert requests.delete(calls, headers=theirs, timeout=30).status_code == 404
        for call in (globex.imports.create, lambda name, files: globex.collections.infer(files)):
            with pytest.raises(ImportCallError, match="there is no upload"):
                call("docs", [[path]])
        assert "there is no such upload" in reason_of(globex, globex.imports.create("docs", "globex/x.manifest"))
        assert acme.imports.wait(acme.imports.create("docs", [[path]])).rows == 3
