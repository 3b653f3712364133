"""Files of pymilvus's own writers, imported through the client into a real server, read back equal.

Each release writes every file type and data type that it can; see ``tests/support/writers/write_all_types.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import ENVIRONMENTS, IN_EACH_RUN
from tests.support.samples import load_samples, sample_folder
from tests.support.servers import RunningServer, running_server

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    kept = ("--import-root", str(ENVIRONMENTS))
    with running_server(tmp_path_factory.mktemp("server"), *kept, forked=True) as server:
        yield server


@pytest.mark.parametrize("version", IN_EACH_RUN)
def test_what_a_release_writes_is_read_back_equal(running: RunningServer, version: str) -> None:
    samples = {
        f"c{version}_{sample.name}".replace(".", "_").replace("-", "_"): sample
        for sample in load_samples(sample_folder(version))
    }

    with running.client() as client:
        jobs = {}
        for name, sample in samples.items():
            client.collections.create(name, schema=sample.schema)
            jobs[name] = client.imports.create(name, sample.files, options=sample.options)
        for name, sample in samples.items():
            job = client.imports.wait(jobs[name], timeout=120)
            assert job.rows == len(sample.expected)
            rows = client.query(name, output_fields=["*"], limit=1000)
            assert sample.neutral(rows) == sample.expected, name


def test_the_client_follows_a_job_to_the_end(running: RunningServer) -> None:
    files = [running.import_root / f"{part}.jsonl" for part in "ab"]
    for number, file in enumerate(files):
        rows = (f'{{"id": {number * 100 + i}, "vector": [{i}, 1.0], "title": "row {i}"}}\n' for i in range(100))
        file.write_text("".join(rows))

    with running.client(cluster_id="in01-local") as client:
        client.collections.create("docs", dimension=2, metric="L2")
        states: list[str] = []
        job = client.imports.wait(
            client.imports.create("docs", list[Path | str](files)), progress=lambda seen: states.append(seen.state)
        )

        assert (job.state, job.progress, job.rows, len(job.files)) == ("Completed", 100, 200, 2)
        assert job.size == sum(file.stat().st_size for file in files)
        assert job.created_at is not None
        assert job.completed_at is not None
        assert states[-1] == "Completed"
        assert job.id in [each.id for each in client.imports.list("docs", page_size=1)]
        assert client.count("docs") == client.collections.stats("docs").rows == 200
        hits = client.search("docs", [[7, 1]], limit=2, output_fields=["title"])[0]
        assert {hit.id for hit in hits} == {7, 107}
        assert {hit.fields["title"] for hit in hits} == {"row 7"}
        assert client.get("docs", [3, 999], output_fields=["title"]) == [{"id": 3, "title": "row 3"}]
