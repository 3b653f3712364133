"""The Python of README and reference pages runs: each block by itself, with the names that its page assumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.pages import ADDRESS, Block, read_blocks
from tests.support.servers import RunningServer, running_server

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", *(f"docs/{name}.md" for name in ("bad-rows", "bulk-writer", "events", "export", "formats")))
PAGES += tuple(f"docs/{name}.md" for name in ("loaded-files", "python", "write-modes"))
ELSEWHERE = ("s3://", "zillizcloud")
"""Blocks that need a store or a server of others; S3 is in the how-to pages, which run."""
DIM = 768
LANGUAGE = {"fieldName": "language", "dataType": "VarChar", "elementTypeParams": {"max_length": 8}}


def runnable() -> Iterator[Any]:
    for page in PAGES:
        for block in read_blocks(ROOT / page):
            if block.language == "python" and not any(place in block.text for place in ELSEWHERE):
                yield pytest.param(block, id=f"{page}:{block.line}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("reference")
    (folder / "exports").mkdir()
    with running_server(folder, "--export-root", str(folder), forked=True) as server:
        yield server


def write(path: Path, first: int, dim: int = DIM, name: str = "vector") -> None:
    path.parent.mkdir(exist_ok=True)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.full(10 * dim, 0.5, np.float32)), dim)
    table: dict[str, Any] = {"id": range(first, first + 10), name: vectors, "comment": ["none"] * 10}
    pq.write_table(pa.table(table), path)


def schema(dim: int, *others: Mapping[str, Any]) -> dict[str, Any]:
    vector = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": dim}}
    return {"fields": [{"fieldName": "id", "dataType": "Int64", "isPrimary": True}, vector, *others]}


def workspace(server: RunningServer) -> dict[str, Any]:
    """Files of all the names below the import root, and the collections that the pages assume to be there."""
    root = server.import_root
    for number, name in enumerate(("docs", "0", "1", "new", "corrected", "country=DE/a")):
        write(root / f"{name}.parquet", 100 * number)
    write(root / "words.parquet", 0, name="embedding")
    write(root / "dataset/a.parquet", 10, 2, "embedding")
    bad = '{"id": 900, "vector": [1]}\n' + "".join(
        f'{{"id": {901 + n}, "vector": {[0.5] * DIM}}}\n' for n in range(200)
    )
    (root / "bad.jsonl").write_text(bad)
    (root / "set").mkdir(exist_ok=True)
    client = server.client()
    for name, dim, others in (("docs", DIM, ()), ("words", DIM, (LANGUAGE,)), ("articles", 2, ())):
        if client.collections.has(name):
            client.collections.drop(name)
        client.collections.create(name, schema=schema(dim, *others))
    job = client.imports.wait(client.imports.create("docs", ["docs.parquet"]))
    return {
        "client": client,
        "Path": Path,
        "url": server.url,
        "job_id": job.id,
        "files": ["bad.jsonl"],
        "schema": schema(2),
        "ids": [2, 3],
        "vectors": [[0.0, 1.0], [1.0, 0.0]],
    }


def adapted(text: str, server: RunningServer, tmp_path: Path) -> str:
    """The block for this server: its address, its import root, and a folder that is not there yet."""
    changes: Mapping[str, str] = {
        ADDRESS: server.url.removeprefix("http://"),
        '"/data/': f'"{server.import_root}/',
        "exports/docs": f"{server.import_root.parent}/exports/{tmp_path.name}",
        'collections.create("docs"': 'collections.create("new_docs"',
        '"dataset/"': f'"{server.import_root}/dataset"',
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    if "new_docs" in text:
        text = text.replace('"docs"', '"new_docs"')
    return text


@pytest.mark.parametrize("block", list(runnable()))
def test_a_block_runs(block: Block, server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = workspace(server)
    monkeypatch.chdir(tmp_path)
    with names["client"]:
        exec(compile(adapted(block.text, server, tmp_path), f"line {block.line}", "exec"), names)
        names["client"].collections.drop("new_docs")
