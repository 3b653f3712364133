"""``penstock jobs list``: filters, formats, and live."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
import tenacity
from click.testing import CliRunner

from penstock.cli.main import cli
from penstock.cli.since import parse_since
from tests.cli.conftest import Run
from tests.sdk.recording_server import Answer, recording_server
from tests.support.servers import RunningServer


@pytest.fixture(scope="module")
def jobs(server: RunningServer) -> str:
    """A collection into which one job went, and one failed."""
    good, bad = (server.import_root / f"job_list_{name}.jsonl" for name in ("good", "bad"))
    good.write_text('{"id": 1, "vector": [1, 2]}\n{"id": 2, "vector": [1, 2]}\n')
    bad.write_text('{"id": 1, "vector": [1, 2, 3]}\n')
    with server.client() as client:
        client.collections.create("cli_job_list", dimension=2)
        client.imports.wait(client.imports.create("cli_job_list", [good]))
        client.imports.wait(client.imports.create("cli_job_list", [good, good]))
        failed = client.imports.create("cli_job_list", [bad])
        while not client.imports.get(failed).is_finished:
            pass
    return "cli_job_list"


def test_csv(run: Run, jobs: str) -> None:
    done = run("jobs", "list", "--collection", jobs, "--format", "csv")
    failed, *completed = csv.DictReader(io.StringIO(done.stdout))
    assert [(row["state"], row["rows"], row["bytes"]) for row in completed] == [
        ("Completed", "4", "112"),
        ("Completed", "2", "56"),
    ]
    assert failed["reason"].startswith("file ")
    assert datetime.fromisoformat(completed[0]["created"]).tzinfo is not None
    assert int(completed[0]["seconds"]) >= 0


def test_json_twice(run: Run, jobs: str) -> None:
    by_format = run("jobs", "list", "--collection", jobs, "--format", "json").stdout
    assert by_format == run("jobs", "list", "--collection", jobs, "--json").stdout
    assert [job["importedRows"] for job in json.loads(by_format)] == [0, 4, 2]


def test_since(run: Run, jobs: str) -> None:
    def count(since: str) -> int:
        done = run("jobs", "list", "--collection", jobs, "--since", since, "--json")
        assert done.exit_code == 0, done.output
        return len(json.loads(done.stdout))

    assert count("1h") == 3
    assert count((datetime.now() + timedelta(days=1)).date().isoformat()) == 0
    assert run("jobs", "list", "--since", "yesterday").exit_code == 2


def test_times_ago_and_local_times() -> None:
    def parse(text: str) -> datetime:
        found = parse_since(click.Context(click.Command("list")), click.Option(["--since"]), text)
        assert found is not None
        return found

    assert abs(parse("1d12h") - (datetime.now(UTC) - timedelta(days=1.5))) < timedelta(seconds=5)
    assert parse("2026-11-30T08:15+01:00") == datetime(2026, 11, 30, 7, 15, tzinfo=UTC)
    assert parse("2026-11-30") == datetime(2026, 11, 30).astimezone()
    for text in ("2", "-1h", "99999999w", "0001-01-01T00:00-99:00"):
        with pytest.raises(click.BadParameter, match="write 2h or 1d12h"):
            parse(text)


def test_watch_ends_with_the_last_job(run: Run, jobs: str, server: RunningServer) -> None:
    assert "No job is running" in run("jobs", "list", "--collection", jobs, "--watch").stderr
    path = server.import_root / "job_list_long.jsonl"
    path.write_text("".join(f'{{"id": {number}, "vector": [1, 2]}}\n' for number in range(60_000)))
    job_id = run("import", str(path), "--collection", jobs, "--no-wait").stdout.strip()
    done = run("jobs", "list", "--collection", jobs, "--watch")
    assert done.exit_code == 0, done.output
    if done.stdout:  # it can be very fast
        last = done.stdout.splitlines()[-1]
        assert last.split()[:4] == [job_id, jobs, "Completed", "100"]
        assert "60,000 rows" in last
    assert run("jobs", "list", "--watch", "--format", "csv").exit_code == 2


JOBS = "/v2/vectordb/jobs/import"
RESTARTING = [Answer("Bad Gateway", status=502)] * 5
"""More than the client repeats one call."""


def states(job_id: int, *names: str) -> list[dict[str, object]]:
    """Answers with these states of a job, one after the other."""
    return [
        {"code": 0, "data": {"jobId": str(job_id), "collectionName": "docs", "state": name, "progress": 40}}
        for name in names
    ]


def running(*job_ids: int) -> dict[str, object]:
    """The answer that lists these jobs."""
    records = [answer["data"] for job_id in job_ids for answer in states(job_id, "Importing")]
    return {"code": 0, "data": {"records": records}}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls and repeated calls without pauses."""
    monkeypatch.setattr("penstock.cli.job_list.POLL_SECONDS", 0.01)
    monkeypatch.setattr("penstock.cli.watch.POLL_SECONDS", 0.01)
    monkeypatch.setattr("penstock.sdk.connection._BACKOFF", tenacity.wait_none())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "command", [("jobs", "list", "--watch", "--state", "Importing"), ("jobs", "describe", "7", "--watch", "--json")]
)
def test_a_live_view_goes_on_after_a_restart_of_the_server(command: tuple[str, ...]) -> None:
    with recording_server() as server:
        server.answer(f"{JOBS}/list", running(7), *RESTARTING, running(7), running())
        server.answer(f"{JOBS}/describe", *states(7, "Importing"), *RESTARTING, *states(7, "Completed"))
        done = CliRunner().invoke(cli, [*command, "--url", server.url])
    assert done.exit_code == 0, done.output
    assert "Completed" in done.stdout


@pytest.mark.usefixtures("quick")
def test_a_live_list_ends_though_jobs_wait_for_their_commit() -> None:
    with recording_server() as server:
        (waiting,) = states(7, "Uncommitted")
        server.answer(f"{JOBS}/list", {"code": 0, "data": {"records": [waiting["data"]]}})
        server.answer(f"{JOBS}/describe", waiting)
        command = ["jobs", "list", "--watch", "--state", "Uncommitted", "--url", server.url]
        done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].split()[:3] == ["7", "docs", "Uncommitted"]


@pytest.mark.usefixtures("quick")
def test_a_live_list_of_few_jobs_waits_for_all_of_them() -> None:
    with recording_server() as server:
        server.answer(f"{JOBS}/list", running(1, 2), running(2), running(2), running())
        server.answer(f"{JOBS}/describe", *states(1, "Completed"), *states(2, "Importing", "Completed"))
        command = ["jobs", "list", "--watch", "--state", "Importing", "--limit", "1", "--url", server.url]
        done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].split()[:3] == ["2", "docs", "Completed"]


def test_the_files_of_a_job_live(run: Run, jobs: str, server: RunningServer) -> None:
    paths = [server.import_root / f"job_list_{name}.jsonl" for name in "ab"]
    for path in paths:
        path.write_text("".join(f'{{"id": {number}, "vector": [1, 2]}}\n' for number in range(20_000)))
    job_id = run("import", *map(str, paths), "--collection", jobs, "--no-wait").stdout.strip()
    done = run("jobs", "describe", job_id, "--watch", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"] == "Completed"
    assert done.stderr.splitlines()[-1].split()[:4] == ["all", "Completed", "100", "40,000"]


def test_a_retry_is_proposed_only_where_it_can_help(run: Run, jobs: str, server: RunningServer) -> None:
    (failed,) = json.loads(run("jobs", "list", "--collection", jobs, "--state", "failed", "--json").stdout)
    assert f"penstock jobs retry {failed['jobId']}" in run("jobs", "describe", failed["jobId"]).stdout
    path: Path = server.import_root / "job_list_lost.jsonl"
    path.write_text('{"id": 1, "vector": [1, 2]}\n')
    run("collections", "create", "cli_lost", "--dimension", "2")
    staged = run("import", str(path), "--collection", "cli_lost", "--option", "auto_commit=false")
    job_id = staged.stdout.split()[1]
    run("collections", "drop", "cli_lost", "--yes")
    run("jobs", "commit", job_id)
    told = run("jobs", "wait", job_id, "--timeout", "30")
    assert told.exit_code == 1, told.output
    assert "collection cli_lost dropped" in told.stdout
    assert "jobs retry" not in told.stdout
    assert "penstock collections create cli_lost" in told.stdout
