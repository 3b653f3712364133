"""The audit log of a running server: who did what to what, from where, and what came of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner

from penstock.catalog import Catalog
from penstock.cli.main import cli
from penstock.domain.audit import AuditEntry
from penstock.server.assembly import build_services
from tests.support.http import http_server, make_settings
from tests.support.many_tenants import Tenants, tenants

HOME = "127.0.0.1"


def entries(catalog: Catalog) -> list[AuditEntry]:
    return [replace(each, at=None, caller_id=None) for each in catalog.audit.read()]


def told(server: Tenants, action: str) -> AuditEntry:
    """The last entry of an action."""
    return [entry for entry in entries(server.catalog) if entry.action == action][-1]


def of(caller: str, action: str, **facts: Any) -> AuditEntry:
    org = caller.partition("-")[0]
    place: dict[str, Any] = {"cluster_id": f"in01-{org}", "database": "default", "address": HOME}
    return AuditEntry(caller=caller, org_id=f"org-{org}", action=action, **(place | facts))


def test_every_change_is_kept_with_who_made_it_and_where(tmp_path: Path, catalog_url: str) -> None:
    docs = {"collection": "docs"}
    with tenants(tmp_path, catalog_url, started=False) as server:
        server.add("ann")
        assert told(server, "collection.create") == of("ann-writer", "collection.create", **docs)

        job = int(server.create("ann", "a.jsonl").json()["data"]["jobId"])
        assert told(server, "import.create") == of("ann-writer", "import.create", **docs, job_id=job)
        server.v2("ann", "jobs/import/abort", jobId=str(job))
        assert told(server, "import.abort") == of("ann-writer", "import.abort", **docs, job_id=job)
        (server.files / "b.jsonl").write_text('{"id": 1, "vector": [0, 1]}\n')
        job = int(server.v1("ann", objectUrl="b.jsonl").json()["data"]["jobId"])
        assert told(server, "import.create") == of("ann-writer", "import.create", **docs, job_id=job)

        server.v2("ann", "partitions/create", collectionName="docs", partitionName="p")
        assert told(server, "partition.create") == of("ann-writer", "partition.create", **docs, subject="p")
        server.v2("ann:admin", "databases/create", dbName="sales")
        assert told(server, "database.create") == of("ann-admin", "database.create", database="sales")
        server.v2("ann:admin", "users/create", userName="clerk", password="correct horse")
        clerk = {"database": None, "subject": "clerk"}
        assert told(server, "user.create") == of("ann-admin", "user.create", **clerk)
        server.v2("ann:admin", "users/grant_role", userName="clerk", roleName="reader")
        assert told(server, "user.grant_role") == of(
            "ann-admin", "user.grant_role", database=None, subject="clerk reader"
        )
        server.v2("ann", "collections/drop", collectionName="docs")
        assert told(server, "collection.drop") == of("ann-writer", "collection.drop", **docs)
        assert {entry.outcome for entry in entries(server.catalog)} == {"ok"}
        [key] = {each.caller_id for each in server.catalog.audit.read() if each.caller == "ann-admin"}
        assert key is not None
        assert key.startswith("key-")
        assert "correct horse" not in str(entries(server.catalog))


def test_a_repeated_call_that_changes_nothing_is_not_told_twice(tmp_path: Path, catalog_url: str) -> None:
    with tenants(tmp_path, catalog_url, started=False) as server:
        server.add("ann")
        for _ in range(2):
            httpx.post(
                f"{server.url}/v2/vectordb/jobs/import/create",
                json={"collectionName": "docs", "files": [["a.jsonl"]]},
                headers={**server.headers("ann"), "Idempotency-Key": "k"},
            )
        assert [entry.action for entry in entries(server.catalog)].count("import.create") == 1


def test_reads_are_kept_only_when_they_are_refused(tmp_path: Path, catalog_url: str) -> None:
    with tenants(tmp_path, catalog_url, started=False) as server:
        server.add("ann", "bob")
        job = server.create("ann", "a.jsonl").json()["data"]["jobId"]
        before = len(entries(server.catalog))
        for path, body in (
            ("collections/list", {}),
            ("collections/describe", {"collectionName": "docs"}),
            ("collections/has", {"collectionName": "nothing"}),
            ("collections/describe", {"collectionName": "nothing"}),
            ("jobs/import/list", {}),
            ("jobs/import/describe", {"jobId": job}),
            ("entities/query", {"collectionName": "docs", "filter": "id > 0"}),
        ):
            server.v2("ann:reader", path, **body)
        assert len(entries(server.catalog)) == before

        server.v2("bob:reader", "collections/list", clusterId="in01-ann")
        refused = told(server, "collection.list")
        assert (refused.caller, refused.org_id, refused.cluster_id) == ("bob-reader", "org-bob", "in01-ann")
        assert refused.outcome == "cluster_not_found"
        v1 = f"{server.url}/v1/vector/collections/import/list"
        httpx.get(v1, params={"clusterId": "in01-ann"}, headers=server.headers("bob"))
        assert (told(server, "import.list").caller, told(server, "import.list").cluster_id) == (
            "bob-writer",
            "in01-ann",
        )


def test_a_look_at_the_job_of_another_org_is_kept(tmp_path: Path, catalog_url: str) -> None:
    with tenants(tmp_path, catalog_url, started=False) as server:
        server.add("ann", "bob")
        job = server.create("ann", "a.jsonl").json()["data"]["jobId"]
        missing = str(int(job) + 4096)
        before = len(entries(server.catalog))
        assert server.v2("bob:reader", "jobs/import/describe", jobId=missing).json()["code"] == 2101
        assert len(entries(server.catalog)) == before, "a wrong number is no intrusion"
        for action in ("describe", "get_progress"):
            told_of = server.v2("bob:reader", f"jobs/import/{action}", jobId=job).json()
            nowhere = server.v2("bob:reader", f"jobs/import/{action}", jobId=missing).json()
            assert str(told_of).replace(job, "?") == str(nowhere).replace(missing, "?")
            refused = told(server, f"import.{action}")
            assert (refused.caller, refused.job_id, refused.outcome) == ("bob-reader", int(job), "job_not_found")
        v1 = f"{server.url}/v1/vector/collections/import/get"
        httpx.get(v1, params={"clusterId": "in01-bob", "jobId": job}, headers=server.headers("bob"))
        assert told(server, "import.get").job_id == int(job)


def test_refused_and_failed_changes_are_kept_with_their_reason(tmp_path: Path, catalog_url: str) -> None:
    with tenants(tmp_path, catalog_url, started=False) as server:
        server.add("ann")
        server.v2("ann:reader", "collections/drop", collectionName="docs")
        refused = told(server, "collection.drop")
        assert (refused.outcome, refused.caller) == ("permission_denied", "ann-reader")
        assert refused.reason is not None
        assert refused.reason.startswith("ann-reader needs the role writer in the database default")
        job = server.create("ann", "a.jsonl").json()["data"]["jobId"]
        server.v2("ann:reader", "jobs/import/abort", jobId=job)
        assert (told(server, "import.abort").outcome, told(server, "import.abort").job_id) == (
            "permission_denied",
            int(job),
        )
        server.create("ann", "https://u:hush@elsewhere.example/a.jsonl?sig=hush")
        assert told(server, "import.create").outcome == "unsupported"
        assert "hush" not in str(entries(server.catalog))
        for who in ("", "nobody:at all", "psk_" + "x" * 43):
            server.v2(who, "collections/list")
        assert told(server, "login") == AuditEntry(
            caller="unknown",
            action="login",
            address=HOME,
            outcome="unauthenticated",
            reason="no credentials were sent; a key or user:password is required",
        )


def test_where_nobody_is_asked_who_he_is_the_log_says_so(tmp_path: Path, catalog_url: str) -> None:
    (tmp_path / "data").mkdir()
    services = build_services(make_settings(tmp_path / "data", catalog=catalog_url))
    try:
        with http_server(services) as url:
            body = {"collectionName": "docs", "dimension": 2}
            assert httpx.post(f"{url}/v2/vectordb/collections/create", json=body).json()["code"] == 0
    finally:
        services.stop()
    listed = run(catalog_url, tmp_path, "audit", "--format", "jsonl").splitlines()
    entry = json.loads(listed[-1])
    assert (entry["caller"], entry["org_id"], entry["address"]) == ("anybody", None, HOME)
    assert (entry["action"], entry["collection"], entry["outcome"]) == ("collection.create", "docs", "ok")


def run(catalog_url: str, folder: Path, *arguments: str) -> str:
    environment = {"PENSTOCK_DATA_DIR": str(folder / "data"), "PENSTOCK_CATALOG_URL": catalog_url}
    done = CliRunner().invoke(cli, arguments, prog_name="penstock", env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_log_is_exported_beside_a_running_server(tmp_path: Path, catalog_url: str) -> None:
    with tenants(tmp_path, catalog_url, started=False) as server:
        server.add("ann", "bob")
        run(catalog_url, tmp_path, "keys", "create", "late", "--role", "reader", "--org", "ann")
        run(catalog_url, tmp_path, "keys", "revoke", "late")
        exported = [
            json.loads(line) for line in run(catalog_url, tmp_path, "audit", "--format", "jsonl").splitlines()
        ]
        actions = [each["action"] for each in exported]
        assert actions == ["collection.create", "collection.create", "key.create", "key.revoke"]
        assert exported[2]["address"] == "this machine"
        assert exported[2]["subject"].startswith("late (key-")
        assert "psk_" not in str(exported)
        ann = run(catalog_url, tmp_path, "audit", "--org", "ann", "--since", "1h", "--format", "csv").splitlines()
        assert ann[0].startswith("at,caller,caller_id,org_id,address,action,cluster_id")
        assert [line.split(",")[5] for line in ann[1:]] == ["collection.create", "key.create", "key.revoke"]
        assert run(catalog_url, tmp_path, "audit", "--until", "2026-01-01T00:00Z") == ""
        table = run(catalog_url, tmp_path, "audit", "--since", "2026-01-01")
        assert table.splitlines()[0].split() == ["Time", "Who", "Org", "From", "What", "On", "Outcome", "Times"]
        assert "in01-ann/default/docs" in table


def test_a_bad_time_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["audit", "--since", "yesterday", "--data-dir", str(tmp_path)])
    assert done.exit_code == 2
    assert "'yesterday' is not a time. Write 24h for a day ago" in done.output


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    run(url, tmp_path, "orgs", "create", "=1+1")
    assert ",'=1+1,ok," in run(url, tmp_path, "audit", "--format", "csv")
