"""``client.indexes`` against laid-down answers."""

from __future__ import annotations

import io
from typing import Any

import pytest

import penstock
from penstock.sdk.errors import IndexUnfinished
from penstock.sdk.indexes import IndexDescription
from penstock.sdk.progress import index_bar
from tests.sdk.recording_server import RecordingServer

CREATE, DESCRIBE = (f"/v2/vectordb/indexes/{name}" for name in ("create", "describe"))


def answer(state: str, pending: int, **more: Any) -> dict[str, Any]:
    index = {"indexName": "v", "fieldName": "v", "indexState": state, "totalRows": 1000, "pendingRows": pending}
    return {"code": 0, "data": [{**index, **more}]}


def test_only_what_is_given_is_sent(server: RecordingServer) -> None:
    server.answer(CREATE, {"code": 0, "data": {}})
    client = penstock.Client(server.url)
    client.indexes.create("docs", "v")
    assert server.last.body == {"collectionName": "docs", "dbName": "default", "indexParams": [{"fieldName": "v"}]}
    client.indexes.create("docs", "v", name="near", type="HNSW", metric="L2", params={"M": 16})
    assert server.last.body["indexParams"] == [
        {"fieldName": "v", "indexName": "near", "indexType": "HNSW", "metricType": "L2", "params": {"M": 16}}
    ]


def test_wait_ends_when_no_work_is_due(server: RecordingServer) -> None:
    server.answer(DESCRIBE, answer("Unissued", 1000), answer("InProgress", 250), answer("Finished", 0))
    seen: list[tuple[str, int]] = []
    index = penstock.Client(server.url).indexes.wait(
        "docs", "v", progress=lambda index: seen.append((index.state, index.progress))
    )
    assert seen == [("Unissued", 0), ("InProgress", 75), ("Finished", 100)]
    assert index.built_rows is None


def test_wait_gives_up_after_its_timeout(server: RecordingServer) -> None:
    server.answer(DESCRIBE, answer("InProgress", 250))
    with pytest.raises(IndexUnfinished, match="250 of 1,000 rows of 'docs' wait for the index 'v' after 0 s"):
        penstock.Client(server.url).indexes.wait("docs", "v", timeout=0)


@pytest.mark.parametrize(
    ("pending", "built", "text"),
    [
        (1000, 0, "0 of 1,000 rows built"),
        (100, 900, "900 of 1,000 rows built"),
        (0, 1000, "1,000 rows built"),
        (0, 900, "900 of 1,000 rows built, 100 searched exactly"),
        (0, 0, "1,000 rows, all searched exactly"),
        (100, None, "900 of 1,000 rows built"),
    ],
)
def test_the_words_beside_the_bar(pending: int, built: int | None, text: str) -> None:
    state = "InProgress" if pending else "Finished"
    index = IndexDescription(
        name="v", field="v", type="HNSW", state=state, rows=1000, pending_rows=pending, built_rows=built
    )
    written = io.StringIO()
    with index_bar(written) as show:
        show(index)
    assert written.getvalue() == f"{state} {index.progress} %, {text}, 0 s so far\n"
