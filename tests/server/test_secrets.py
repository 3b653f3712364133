"""Secrets of callers and of the server: nowhere in what a server writes, whatever happens to it.

One server goes through success, failure, retry, abort, refusals of every kind and a sudden death, with logs at their
most talkative and traces on. Then every byte that it ever wrote or said is looked through.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests
from cryptography.fernet import Fernet

from penstock.catalog import open_catalog
from penstock.domain.jobs import JobState
from penstock.errors import InvalidParameter
from penstock.server.process.scrub_environment import scrub_environment
from penstock.server.storage_settings import encryption_key
from penstock.settings import load_settings
from tests.support.catalogs import new_job, opened_catalog, stored_collection
from tests.support.faulty_store import Faults, FaultyStore, faulty_store
from tests.support.http import make_settings
from tests.support.otlp import Collector, collector
from tests.support.s3 import S3Server, s3_server
from tests.support.servers import PENSTOCK, RunningServer, clean_environment, running_server
from tests.support.wire import V1, V2

MARK = "hushhushsecret"
"""A part of every secret of these tests."""
LIMIT = 120.0
ROW = '{{"id": {}, "vector": [1, 2]}}\n'


def spellings(secret: str) -> list[bytes]:
    """The secret as it is, as UTF-16 and hexadecimal, and what each place of it in a Base64 text comes to."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] : -4] for shift in range(3)]
    return [raw, secret.encode("utf-16-le"), raw.hex().encode(), *encoded]


def test_spellings() -> None:
    for before in ("", "u", "us"):
        assert any(spelling in base64.b64encode(f"{before}{MARK}-x:y".encode()) for spelling in spellings(MARK))


class Story:
    """What a server is put through, and all that it said."""

    def __init__(self, folder: Path, s3: S3Server, store: FaultyStore, traces: Collector) -> None:
        self.folder = folder
        self.s3 = s3
        self.store = store
        self.traces = traces
        self.told: list[str] = []
        self.processes: list[str] = []
        self.bucket = s3.make_bucket()
        self.environment = {
            "PENSTOCK_S3_ENDPOINT": store.url,
            "PENSTOCK_S3_REGION": "us-east-1",
            "PENSTOCK_S3_ACCESS_KEY": f"{MARK}-server-access",
            "PENSTOCK_S3_SECRET_KEY": f"{MARK}-server-secret",
            "PENSTOCK_STORAGE_ACCESS_KEY": f"{MARK}-store-access",
            "PENSTOCK_STORAGE_SECRET_KEY": f"{MARK}-store-secret",
            "PENSTOCK_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        }
        self.key = self.command("keys", "create", "ops", "--role", "admin")
        self.command("users", "create", "ann", "--role", "admin", PENSTOCK_USER_PASSWORD=f"{MARK}-password")
        self.secrets = [MARK, self.key, self.environment["PENSTOCK_ENCRYPTION_KEY"]]

    def command(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [PENSTOCK, *arguments, "--data-dir", self.folder / "data"],
            env=clean_environment() | self.environment | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        self.told.append(done.stderr)
        return done.stdout.strip()

    def serve(self) -> Any:
        flags = ("--import-root", "s3://", "--workers", "1", "--log-level", "debug", "--log-format", "json")
        return running_server(self.folder, *flags, "--otel-endpoint", self.traces.url, env=self.environment)

    def call(self, server: RunningServer, path: str, body: Any = None, authorization: str | None = None) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        headers = {"Authorization": authorization or f"Bearer {self.key}"}
        reply = requests.post(server.url + path, data=data, headers=headers, timeout=60)
        self.told += [reply.text, str(reply.headers)]
        return reply.json()

    def create(self, server: RunningServer, name: str, content: str, **more: Any) -> str:
        """An import of a file, with the caller's own keys."""
        body = {"collectionName": "docs", "files": [[self.s3.put(self.bucket, name, content.encode())]]}
        told = self.call(server, f"{V2}/create", body | self.keys(name) | more)
        return str(told["data"]["jobId"])

    def keys(self, name: str) -> dict[str, str]:
        return {each: f"{MARK}-{each}-of-{name}" for each in ("accessKey", "secretKey", "token")}

    def until(self, server: RunningServer, job: str, *states: str) -> None:
        deadline = time.monotonic() + LIMIT
        while (now := self.call(server, f"{V2}/describe", {"jobId": job})["data"])["state"] not in states:
            assert time.monotonic() < deadline, now
            assert now["state"] not in ("Completed", "Failed"), now
            time.sleep(0.05)

    def look(self, server: RunningServer) -> None:
        """Note what others can see of the server and its workers, and what it says to anybody."""
        main = psutil.Process(server.process.pid)
        workers = main.children(recursive=True)
        assert workers
        self.processes += [" ".join(each.cmdline()) for each in (main, *workers)]
        self.processes += [str(worker.environ()) for worker in workers]
        for path in ("/metrics", "/healthz", "/openapi.json", "/nowhere"):
            self.told.append(requests.get(server.url + path, timeout=60).text)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """All that is in the folder: data, logs; not the files that are imported."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.parent.name != "files":
                yield str(path), path.read_bytes()

    def check(self) -> None:
        """Nothing of any secret is anywhere."""
        said = {
            "answers": "\n".join(self.told).encode(),
            "arguments and environments": "\n".join(self.processes).encode(),
            "traces": str(self.traces.spans).encode(),
            **dict(self.files()),
        }
        assert len(said) > 5
        for where, content in said.items():
            for secret in self.secrets:
                found = [spelling for spelling in spellings(secret) if spelling in content]
                assert not found, f"{secret!r} is in the {where}: {excerpt(content, found[0])!r}"

    def sealed(self) -> list[str]:
        """Files that hold sealed credentials, of which each begins so."""
        return [where for where, content in self.files() if b"gAAAAA" in content]


def excerpt(content: bytes, found: bytes) -> bytes:
    at = content.index(found)
    return content[max(0, at - 200) : at + 100]


def the_good_and_the_bad(story: Story, server: RunningServer) -> None:
    """Jobs that complete, fail, go on, are aborted, and find their keys refused."""
    story.call(server, "/v2/vectordb/collections/create", {"collectionName": "docs", "dimension": 2})
    story.until(server, story.create(server, "good.jsonl", ROW.format(1)), "Completed")
    failed = story.create(server, "bad.jsonl", ROW.format(2) + '{"id": "x"}\n')
    story.until(server, failed, "Failed")
    story.s3.put(story.bucket, "bad.jsonl", ROW.format(2).encode())
    story.call(server, f"{V2}/retry", {"jobId": failed, **story.keys("retry")})
    story.until(server, failed, "Completed")
    waiting = story.create(server, "abort.jsonl", ROW.format(3), options={"auto_commit": "false"})
    story.until(server, waiting, "Uncommitted")
    assert story.sealed(), "while a job lives its keys are sealed in the catalog"
    story.call(server, f"{V2}/abort", {"jobId": waiting})
    story.until(server, waiting, "Failed")
    late = story.create(server, "late.jsonl", ROW.format(4), options={"timeout": "1s", "auto_commit": "false"})
    story.until(server, late, "Failed")
    body = {"clusterId": "in01-local", "collectionName": "docs", "objectUrl": f"s3://{story.bucket}/good.jsonl"}
    assert story.call(server, V1, body | story.keys("v1"))["code"] == 200
    story.call(server, "/v2/vectordb/collections/create", {"collectionName": "gone", "dimension": 2})
    story.until(
        server,
        dropped := story.create(
            server, "drop.jsonl", ROW.format(5), collectionName="gone", options={"auto_commit": "false"}
        ),
        "Uncommitted",
    )
    story.call(server, "/v2/vectordb/collections/drop", {"collectionName": "gone"})
    story.until(server, dropped, "Failed")


def refusals(story: Story, server: RunningServer) -> None:
    """Requests that are no good, with secrets in the worst places."""
    create, files = f"{V2}/create", {"collectionName": "docs", "files": [["none.jsonl"]]}
    for body in (
        {"collectionName": "none", **story.keys("nothing")},
        {**files, "secretKey": [f"{MARK}-list"], "accessKey": {f"{MARK}-key": 1}},
        {**files, "token": {"token": f"{MARK}-deep"}},
        {**files, "options": {"secretKey": f"{MARK}-option", "sep": ","}},
        {**files, "files": [[f"https://user:{MARK}-userinfo@host.example/a.jsonl"]]},
        {**files, "files": [[f"ftp://user:{MARK}-userinfo@host.example/a.jsonl"]]},
        {**files, "files": [[f"https://host.example/a.jsonl?X-Amz-Signature={MARK}-query"]]},
        {**files, "files": [["s3://x/a.jsonl"]], "secretKey": 12, "token": f"{MARK}-token"},
    ):
        assert (story.call(server, create, body)["code"] == 0) == ("options" in body)
    for broken in (
        f'{{"secretKey": "{MARK}-broken", "files": [["a.jsonl"]],}}',
        f'{{"collectionName": "docs", "secretKey": "{MARK}-cut',
        f'[{{"token": "{MARK}-list"}}]',
        f'{{"token": "{MARK}-\\ud800", "files": [[1]]}}',
        f"secretKey={MARK}-form&token={MARK}-form",
    ):
        assert story.call(server, create, broken.encode())["code"] != 0
    nobody = base64.b64encode(f"ann:{MARK}-wrong".encode()).decode()
    for given in (f"Bearer ann:{MARK}-wrong", f"Basic {nobody}", f"Bearer {MARK}", f"Digest {MARK}"):
        assert story.call(server, create, files, authorization=given)["code"] == 1800
    assert story.call(server, f"{V2}/list", authorization=f"Bearer ann:{MARK}-password")["code"] == 0
    user = {"userName": "eve", "password": f"{MARK}-of-eve"}
    for action, asked in (
        ("create", user),
        ("create", user),
        ("update_password", {**user, "newPassword": f"{MARK}-new"}),
        ("update_password", {**user, "newPassword": [f"{MARK}-list"]}),
        ("update_password", {**user, "newPassword": MARK * 50}),
        ("drop", {"userName": "eve"}),
    ):
        story.call(server, f"/v2/vectordb/users/{action}", asked)
    path = f"/v2/vectordb/none?secretKey={MARK}-path"
    story.told.append(requests.post(server.url + path, headers={"X-Secret": f"{MARK}-header"}, timeout=60).text)


@pytest.mark.slow  # 20 s
def test_everything_that_a_server_ever_wrote(tmp_path: Path, s3: S3Server) -> None:
    with collector() as traces, faulty_store(s3.endpoint, Faults(), seed=1) as store:
        story = Story(tmp_path, s3, store, traces)
        with story.serve() as server:
            the_good_and_the_bad(story, server)
            refusals(story, server)
            store.faults = Faults(rate=100_000)
            killed = story.create(server, "large.jsonl", "".join(ROW.format(index) for index in range(40_000)))
            story.until(server, killed, "Importing")
            story.look(server)
            server.kill()
        assert story.sealed()
        story.check()

        store.faults = Faults()
        with story.serve() as server, s3_server(open_calls=2) as strict:
            story.until(server, killed, "Completed")
            path = strict.put(strict.make_bucket("closed"), "a.jsonl", b"{}")
            store.target = strict.endpoint
            refused = story.create(server, "other.jsonl", "", files=[[path]])
            story.until(server, refused, "Failed")
            deadline = time.monotonic() + LIMIT
            while story.sealed():
                assert time.monotonic() < deadline, story.sealed()
                time.sleep(0.1)
            story.look(server)
        story.check()
        assert any(span.facts for span in traces.spans)


def test_sealed_credentials_are_wiped_to_the_last_byte(tmp_path: Path) -> None:
    """SQLite leaves deleted content in free pages, and older pages in its log."""
    with opened_catalog(tmp_path) as catalog:
        docs = stored_collection(catalog)
        jobs = [catalog.jobs.insert(new_job(docs, token="t" * 3000)) for _ in range(20)]
        with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
            sealed = [row[0] for row in connection.execute("SELECT sealed FROM job_secret")]

        def written() -> bytes:
            return b"".join(path.read_bytes() for path in tmp_path.glob("catalog.db*"))

        assert len(sealed) == 20
        assert all(each[:200] in written() for each in sealed)
        for job in jobs:
            catalog.jobs.request_transition(job, JobState.ABORTED)
        catalog.database.purge_wal()
        for each in sealed:
            pieces = [each[start : start + 64] for start in range(0, len(each) - 64, 64)]
            assert not any(piece in written() for piece in pieces)


def test_a_catalog_in_postgresql_holds_sealed_bytes_only(postgres_url: str) -> None:
    key = Fernet.generate_key()
    catalog = open_catalog(postgres_url, key)
    try:
        catalog.clusters.ensure("in01-local", "local")
        job = catalog.jobs.insert(new_job(stored_collection(catalog), token=f"{MARK}-token"))
        assert catalog.jobs.secret(job.id) == {"token": f"{MARK}-token"}
        with psycopg.connect(postgres_url) as connection:
            names = [
                row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            ]
            rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
            (sealed,) = (bytes(row[1]) for row in rows["job_secret"])
            assert sealed.startswith(b"gAAAAA")
            for secret in (MARK, key.decode()):
                assert not any(spelling in str(rows).encode() + sealed for spelling in spellings(secret))
            catalog.jobs.request_transition(job, JobState.ABORTED)
            assert connection.execute("SELECT count(*) FROM job_secret").fetchone() == (0,)
    finally:
        catalog.close()


# Processes


def test_a_crash_writes_no_memory_to_the_disk() -> None:
    program = (
        "import ctypes, resource\n"
        "from penstock.server.process.hardening import forbid_dumps\n"
        "forbid_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0\n"


def test_neither_the_servers_nor_a_workers(server: RunningServer) -> None:
    main = psutil.Process(server.process.pid)
    for each in (main, *main.children(recursive=True)):
        if "resource_tracker" not in str(each.cmdline()):
            limits = Path(f"/proc/{each.pid}/limits").read_text()
            assert "Max core file size 0 0 bytes" in " ".join(limits.split())


def test_what_workers_inherit() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": f"{MARK}-1",
        "AWS_SECRET_ACCESS_KEY": f"{MARK}-2",
        "AWS_SESSION_TOKEN": f"{MARK}-3",
        "AWS_REGION": "eu-central-1",
        "PENSTOCK_AZURE_KEY": f"{MARK}-4",
        "PENSTOCK_API_KEY": f"{MARK}-5",
        "PENSTOCK_WORKERS": "3",
        "PENSTOCK_CATALOG_URL": "postgresql://penstock@db.example/penstock",
        "PGPASSWORD": f"{MARK}-6",
    }
    settings = scrub_environment(load_settings(environment=environment), environment)
    assert MARK not in str(environment)
    assert environment.keys() == {"PATH", "AWS_REGION", "PENSTOCK_WORKERS"}
    assert settings.s3_secret_key is not None
    assert settings.s3_secret_key.get_secret_value() == f"{MARK}-2"
    assert settings.catalog_url == f"postgresql://penstock:{MARK}-6@db.example/penstock"
    assert MARK not in repr(settings)


@pytest.mark.parametrize("where", ["penstock:{}@db.example/penstock", "db.example/penstock?user=x&password={}"])
def test_a_password_is_no_flag(where: str) -> None:
    url = f"postgresql://{where.format(MARK)}"
    with pytest.raises(InvalidParameter, match="--catalog-url contains a password") as raised:
        load_settings({"catalog_url": url}, environment={})
    assert MARK not in str(raised.value)
    assert load_settings(environment={"PENSTOCK_CATALOG_URL": url}).catalog_url == url
    done = subprocess.run([PENSTOCK, "keys", "list", "--catalog-url", url], capture_output=True, text=True)
    assert done.returncode != 0
    assert MARK not in done.stdout + done.stderr


# The key that seals


def test_the_key_comes_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    key = Fernet.generate_key()
    given = load_settings({"data_dir": tmp_path}, environment={"PENSTOCK_ENCRYPTION_KEY": key.decode()})
    assert encryption_key(given) == key
    assert list(tmp_path.iterdir()) == [], "no file is made"
    assert key.decode() not in repr(given)
    made = encryption_key(make_settings(tmp_path))
    assert encryption_key(make_settings(tmp_path)) == made == (tmp_path / "secret.key").read_bytes()
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidParameter, match="PENSTOCK_ENCRYPTION_KEY is not a key") as raised:
        encryption_key(load_settings(environment={"PENSTOCK_ENCRYPTION_KEY": MARK}))
    assert MARK not in str(raised.value)
