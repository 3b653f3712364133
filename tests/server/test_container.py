"""A server in a container: a real control group with little memory."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.cgroups import joined, memory_group
from tests.support.servers import running_server

ROWS = 10_000
VECTOR = [0.125] * 256


@pytest.mark.slow
def test_a_server_in_a_small_container_outlives_its_imports(tmp_path: Path) -> None:
    """With the budget of the whole machine, two imports had the kernel end the server."""
    with ExitStack() as stack:
        group = stack.enter_context(memory_group(420_000_000))
        with joined(group):
            server = stack.enter_context(running_server(tmp_path, "--workers", "2"))
        client = stack.enter_context(server.client(timeout=120))
        jobs = []
        for number in range(2):
            name = f"{number}.jsonl"
            with (server.import_root / name).open("w") as file:
                file.writelines(json.dumps({"id": row, "vector": VECTOR}) + "\n" for row in range(ROWS))
            client.collections.create(f"docs{number}", dimension=len(VECTOR))
            jobs.append(client.imports.create(f"docs{number}", [name]))
        assert [client.imports.wait(job).rows for job in jobs] == [ROWS, ROWS]
        assert server.process.poll() is None
        assert "memory.fewer_workers" in server.log.read_text()
