"""Many clients at once while imports run: no call fails, and every job that was promised is listed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.load import KINDS, saturated, start_imports, steady

from tests.support.servers import running_server


def test_many_clients(tmp_path: Path) -> None:
    with running_server(tmp_path, "--workers", "1") as server, server.client(timeout=60) as client:
        large = server.import_root / "large.jsonl"
        large.write_text(f'{{"id": 1, "vector": {[0.5] * 768}}}\n' * 500)
        (server.import_root / "small.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
        client.collections.create("small", dimension=2)
        running = list(start_imports(client, large))
        jobs = [client.imports.create("small", ["small.jsonl"]).id]
        paced = asyncio.run(steady(server.url, jobs, KINDS, clients=60, seconds=2))
        unpaced = asyncio.run(saturated(server.url, jobs, KINDS, seconds=1, connections=32))
        listed = {each.id for each in client.imports.list(collection="small")}
        for each in running:
            client.imports.abort(each)
    assert paced.errors == unpaced.errors == []
    assert paced.calls == 120
    assert set(jobs) == listed
    assert len(set(jobs)) == len(jobs) > 40
