"""Several servers behind one address: each call of a client goes to another one, and none makes a difference.

``tests/server/test_fleet.py`` has the roles of servers, and who goes on when one dies.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import requests
from pymilvus import Collection, MilvusClient, connections
from pymilvus.client.iterator import SearchIteratorV2

import penstock
from penstock.access.accounts import AccountService
from penstock.access.login_limits import PER_USER_LIMIT
from penstock.catalog import Catalog
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.domain.access import Grant, Role
from penstock.sdk.errors import JobFailed
from tests.support.balancing import balanced_session, grpc_balancer
from tests.support.catalogs import opened_catalog
from tests.support.event_stream import event_stream
from tests.support.postgres import PostgresServer
from tests.support.servers import RunningServer, running_server

ROWS, DIM = 300, 8
LIMIT = 60.0
REVOKED_SECONDS = 5.0
IMPORTS = "/v2/vectordb/jobs/import"
UPLOADS = f"{IMPORTS}/uploads"
CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')

older_calls = pytest.mark.filterwarnings("ignore:.*ORM-style:pymilvus.decorators.PyMilvusDeprecationWarning")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two servers that do everything, on one catalog and one data dir, and the key of an administrator."""

    servers: tuple[RunningServer, RunningServer]
    catalog: Catalog
    secret: str
    grpc_url: str

    @property
    def urls(self) -> tuple[str, str]:
        return self.servers[0].url, self.servers[1].url

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def client(self, **options: Any) -> penstock.Client:
        """A client whose calls go to the servers in turn."""
        return penstock.Client("http://balanced", self.secret, session=balanced_session(self.urls), **options)

    def clients(self) -> tuple[penstock.Client, penstock.Client]:
        """A client of each server."""
        return self.servers[0].client(api_key=self.secret), self.servers[1].client(api_key=self.secret)

    def write(self, name: str, first: int = 0, rows: int = ROWS, dim: int = DIM) -> str:
        """Write a file of rows into the import root."""
        vectors = np.random.default_rng(first + 1).random((rows, dim)).round(4).tolist()
        lines = (json.dumps({"id": first + row, "vector": vectors[row]}) + "\n" for row in range(rows))
        (self.servers[0].import_root / name).write_text("".join(lines))
        return name

    def collection(self, name: str, rows: int = ROWS) -> str:
        """A loaded collection with so many rows."""
        with self.client() as client:
            client.collections.create(name, dimension=DIM)
            job = client.imports.create(name, [self.write(f"{name}.jsonl", rows=rows)])
            assert client.imports.wait(job.id, timeout=LIMIT).state == "Completed"
        return name


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with postgres.database() as url, ExitStack() as stack:
        flags = ("--upload-dir", str(folder / "uploads"), "--split-bytes", "40KiB")
        environment = {"PENSTOCK_CATALOG_URL": url}
        first, second = (
            stack.enter_context(running_server(folder, *flags, env=environment, name=name, forked=True))
            for name in ("first", "second")
        )
        catalog = stack.enter_context(opened_catalog(url, (first.data_dir / "secret.key").read_bytes()))
        key = AccountService(catalog).create_key(DEFAULT_ORG, "ops", [Grant(role=Role.ADMIN)])
        balanced = stack.enter_context(grpc_balancer([first.url, second.url]))
        pair = Pair(servers=(first, second), catalog=catalog, secret=key.secret, grpc_url=balanced)
        wait_until(
            lambda: all(requests.post(f"{url}{IMPORTS}/list", json={}).status_code == 401 for url in pair.urls)
        )
        yield pair


@pytest.fixture(scope="module")
def docs(pair: Pair) -> str:
    return pair.collection("docs")


@pytest.fixture
def milvus(pair: Pair) -> Iterator[MilvusClient]:
    client = MilvusClient(pair.grpc_url, token=pair.secret)
    yield client
    client.close()


def wait_until(true: Callable[[], bool], limit: float = LIMIT) -> None:
    until = time.monotonic() + limit
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def has_failed(client: penstock.Client, job_id: str) -> bool:
    """Wait for the end of a job that was aborted."""
    try:
        client.imports.wait(job_id, timeout=LIMIT)
    except JobFailed:
        return True
    return False


def read(iterator: Any) -> list[int]:
    ids = []
    while page := iterator.next():
        ids += [row["id"] for row in page]
    iterator.close()
    return ids


def test_what_one_creates_the_other_describes_fills_and_searches(pair: Pair) -> None:
    first, second = pair.clients()
    first.collections.create("made", dimension=DIM)
    assert second.collections.describe("made").name == "made"
    for number, (here, there) in enumerate([(first, second), (second, first), (first, second)]):
        rows = (number + 1) * ROWS
        job = here.imports.create("made", [pair.write(f"made-{number}.jsonl", first=number * ROWS)])
        assert there.imports.wait(job.id, timeout=LIMIT).state == "Completed"
        # Each has opened the table before, and must see the rows that the other has published since.
        for client in (here, there):
            assert client.count("made") == rows
            (hits,) = client.search("made", [[0.5] * DIM], limit=rows)
            assert len({hit.id for hit in hits}) == rows
    first.collections.drop("made")
    assert not second.collections.has("made")
    second.collections.create("made", dimension=DIM + 1)
    assert first.count("made") == 0


def test_searches_at_either_have_the_same_answer_before_and_after_an_import(pair: Pair) -> None:
    pair.collection("warm")
    first, second = pair.clients()
    query = [[0.5] * DIM]
    for round_ in range(3):
        for _ in range(20):  # so many that vectors are kept in memory
            answers = [client.search("warm", query, limit=10)[0] for client in (first, second)]
            assert answers[0] == answers[1]
        nearest = {"id": 10_000 + round_, "vector": [0.5] * DIM}
        (pair.servers[0].import_root / "nearest.jsonl").write_text(json.dumps(nearest))
        job = first.imports.create("warm", ["nearest.jsonl"])
        assert second.imports.wait(job.id, timeout=LIMIT).state == "Completed"
        for client in (second, first):
            assert nearest["id"] in {hit.id for hit in client.search("warm", query, limit=round_ + 1)[0]}


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_search_iterator_goes_on_at_the_other(milvus: MilvusClient, docs: str, size: int) -> None:
    query = [[0.5] * DIM]
    expected = [hit["id"] for hit in milvus.search(docs, query, limit=60)[0]]
    iterator = milvus.search_iterator(docs, query, batch_size=size, limit=60)
    assert isinstance(iterator, SearchIteratorV2)
    assert read(iterator) == expected


def test_a_query_iterator_goes_on_at_the_other(milvus: MilvusClient, docs: str) -> None:
    assert read(milvus.query_iterator(docs, batch_size=7, output_fields=["id"])) == list(range(ROWS))


@older_calls
def test_a_search_iterator_before_v2_goes_on_at_the_other(pair: Pair, milvus: MilvusClient, docs: str) -> None:
    connections.connect("pair", uri=pair.grpc_url, token=pair.secret)
    try:
        query = [[0.5] * DIM]
        iterator = Collection(docs, using="pair").search_iterator(
            query, "vector", {"metric_type": "COSINE"}, batch_size=7, limit=60
        )
        assert not isinstance(iterator, SearchIteratorV2)
        assert read(iterator) == [hit["id"] for hit in milvus.search(docs, query, limit=60)[0]]
    finally:
        connections.disconnect("pair")


def test_names_change_at_both_at_once(pair: Pair, docs: str) -> None:
    first, second = (MilvusClient(url, token=pair.secret) for url in pair.urls)
    try:
        for here, there in ((first, second), (second, first)):
            here.create_alias(docs, "a")
            assert there.describe_alias("a")["collection_name"] == docs
            assert len(there.query("a", "id < 5", output_fields=["id"])) == 5
            here.drop_alias("a")
            with pytest.raises(Exception, match="can't find collection"):
                there.query("a", "id < 5", output_fields=["id"])
            here.create_partition(docs, "p")
            assert there.has_partition(docs, "p")
            here.drop_partition(docs, "p")
            assert not there.has_partition(docs, "p")
            here.release_collection(docs)
            with pytest.raises(Exception, match="not loaded"):
                there.query(docs, "id < 5")
            there.load_collection(docs)
            assert len(here.query(docs, "id < 5", output_fields=["id"])) == 5
            assert "Loaded" in str(here.get_load_state(docs)["state"])
            here.refresh_load(docs)
    finally:
        first.close()
        second.close()


def test_jobs_are_committed_aborted_and_reverted_at_the_other(pair: Pair) -> None:
    first, second = pair.clients()
    first.collections.create("jobs", dimension=DIM)
    for number, (here, there) in enumerate([(first, second), (second, first)]):
        file = [pair.write("jobs.jsonl", first=number * ROWS)]
        held = here.imports.create("jobs", file, options={"auto_commit": False})
        wait_until(lambda: there.imports.get(held.id).raw["state"] == "Uncommitted")  # noqa: B023
        there.imports.abort(held.id)
        assert has_failed(here, held.id)
        held = here.imports.create("jobs", file, options={"auto_commit": False})
        wait_until(lambda: there.imports.get(held.id).raw["state"] == "Uncommitted")  # noqa: B023
        there.imports.commit(held.id)
        assert here.imports.wait(held.id, timeout=LIMIT).state == "Completed"
        assert here.count("jobs") == there.count("jobs") == ROWS
        there.imports.revert(held.id, timeout=LIMIT)
        assert here.count("jobs") == there.count("jobs") == 0


def test_a_running_job_stops_when_it_is_aborted_at_either(pair: Pair) -> None:
    first, second = pair.clients()
    first.collections.create("long", dimension=DIM)
    file = pair.write("long.jsonl", rows=60_000)
    for client in (first, second):
        job = first.imports.create("long", [file])
        wait_until(lambda: second.imports.get(job.id).state == "Importing")  # noqa: B023
        client.imports.abort(job.id)
        assert has_failed(second, job.id)
        assert first.count("long") == second.count("long") == 0


def test_one_idempotency_key_makes_one_job_at_both(pair: Pair, docs: str) -> None:
    body = {"collectionName": docs, "files": [[pair.write("once.jsonl", rows=1)]]}

    def create(at: int) -> str:
        headers = {**pair.header, "Idempotency-Key": "once"}
        answer = requests.post(pair.urls[at % 2] + f"{IMPORTS}/create", json=body, headers=headers, timeout=LIMIT)
        return str(answer.json()["data"]["jobId"])

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(create, range(16)))) == 1


def test_events_of_one_are_in_the_stream_of_the_other_and_resumed_there(pair: Pair) -> None:
    first, second = pair.clients()
    first.collections.create("events", dimension=DIM)
    file = [pair.write("events.jsonl")]
    with httpx.Client(base_url=pair.urls[1]) as there, httpx.Client(base_url=pair.urls[0]) as here:
        with event_stream(there, pair.header, collectionName="events") as events:
            job = first.imports.create("events", file)
            seen = next(events)
            assert seen.data["jobId"] == job.id
            states = [event.data["state"] for event in iter_until(events, "Completed")]
            assert states[-1] == "Completed"
        later = second.imports.create("events", file)
        second.imports.wait(later.id, timeout=LIMIT)
        with event_stream(here, pair.header, seen.id, collectionName="events") as events:
            assert next(event for event in events if event.data["jobId"] == later.id).data["state"] == "Completed"
        with event_stream(here, pair.header, jobId=later.id) as events:
            last = list(events)[-1]
        ended = there.get(
            f"{IMPORTS}/events", params={"jobId": later.id}, headers={**pair.header, "Last-Event-ID": last.id}
        )
        assert ended.status_code == 204


def iter_until(events: Any, state: str) -> Iterator[Any]:
    for event in events:
        yield event
        if event.data["state"] == state:
            return


def test_an_upload_goes_on_at_the_other_and_is_imported(pair: Pair) -> None:
    content = (pair.servers[0].import_root / pair.write("upload.jsonl")).read_bytes()
    half = len(content) // 2
    digest = hashlib.sha256(content).hexdigest()
    metadata = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}"
        for name, value in (("filename", "upload.jsonl"), ("sha256", digest))
    )
    with balanced_session(pair.urls) as session:
        headers = {**pair.header, "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
        upload = session.post(f"http://balanced{UPLOADS}", headers=headers).json()["data"]
        address = f"http://balanced{UPLOADS}/{upload['uploadId']}"
        for start, piece in ((0, content[:half]), (half, content[half:])):
            assert session.head(address, headers=pair.header).headers["Upload-Offset"] == str(start)
            session.head(address, headers=pair.header)  # the pieces go to different servers
            sent = {**pair.header, "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(start)}
            assert session.patch(address, data=piece, headers=sent).status_code == 204
    with pair.client() as client:
        client.collections.create("uploaded", dimension=DIM)
        job = client.imports.create("uploaded", upload["path"])
        assert client.imports.wait(job.id, timeout=LIMIT).rows == ROWS


def test_a_schema_is_inferred_at_both(pair: Pair) -> None:
    file = pair.write("inferred.jsonl")
    for client in pair.clients():
        assert [field.name for field in client.collections.infer(file).fields] == ["id", "vector"]


def test_a_key_that_is_revoked_and_a_session_that_ends_are_refused_at_both(pair: Pair) -> None:
    accounts = AccountService(pair.catalog)
    made = accounts.create_key(DEFAULT_ORG, "brief", [Grant(role=Role.READER)])

    def statuses(**sent: Any) -> set[int]:
        answers = (httpx.post(f"{url}/v2/vectordb/collections/list", json={}, **sent) for url in pair.urls)
        return {answer.status_code for answer in answers}

    headers = {"Authorization": f"Bearer {made.secret}"}
    assert statuses(headers=headers) == {200}
    with httpx.Client() as browser:
        pages = [f"{url}/collections" for url in pair.urls]
        form = CSRF.search(browser.get(f"{pair.urls[0]}/login").text)
        assert form is not None
        fields = {"secret": pair.secret, "user": "", "csrf": form[1]}
        assert browser.post(f"{pair.urls[1]}/login", data=fields).status_code == 303
        assert [browser.get(page).status_code for page in pages] == [200, 200]
        token = CSRF.search(browser.get(pages[0]).text)
        assert token is not None
        kept = dict(browser.cookies)
        browser.post(f"{pair.urls[1]}/logout", data={"csrf": token[1]})
        wait_until(lambda: 200 not in {httpx.get(page, cookies=kept).status_code for page in pages}, REVOKED_SECONDS)
    accounts.revoke_key("brief")
    wait_until(lambda: 200 not in statuses(headers=headers), REVOKED_SECONDS)


def test_wrong_passwords_are_counted_together(pair: Pair) -> None:
    AccountService(pair.catalog).create_user(DEFAULT_ORG, "ann", "correct horse")

    def message(url: str) -> str:
        answer = requests.post(
            f"{url}/v2/vectordb/collections/list",
            json={},
            headers={"Authorization": "Bearer ann:wrong"},
            timeout=LIMIT,
        )
        return str(answer.json()["message"])

    for attempt in range(PER_USER_LIMIT):
        assert "too many" not in message(pair.urls[attempt % 2])
    for url in pair.urls:
        # It has seen half of them, and hears of the others within a moment: three more would not be too many alone.
        answers = [message(url)]
        while len(answers) < 3 and "too many wrong credentials" not in answers[-1]:
            time.sleep(0.5)
            answers.append(message(url))
        assert "too many wrong credentials" in answers[-1]
