"""The server's resident memory comes to rest while small jobs, queries and searches go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.resident import DIMENSION, Load, anonymous_and_file

from tests.support.servers import running_server

FILLING, AFTER = 900, 400
"""Jobs until every cache is full, and jobs in which hardly anything may be added."""


@pytest.mark.slow
def test_small_jobs_add_nothing_once_the_caches_are_full(tmp_path: Path) -> None:
    """Before the engine's cache was bounded to what a server of small jobs needs, 400 jobs added 13 MiB."""
    with running_server(tmp_path, "--workers", "1") as server:
        with server.client() as client:
            client.collections.create("docs", dimension=DIMENSION)
        sizes = []
        for jobs in (FILLING, AFTER):
            load = Load(server, jobs, ["docs"], seconds=900)
            load.run()
            assert not load.errors
            assert load.done == jobs
            sizes.append(anonymous_and_file(server.process.pid)[0])
    assert sizes[1] - sizes[0] < 6 << 20
