"""Traces, as a collector receives them from a real server and its workers; and none where none are wanted."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from penstock import JobFailed
from penstock.runners.base import Bounded, Reserving
from penstock.runners.local import LocalRunner
from penstock.server.observability import tracing
from penstock.server.observability.tracing import TracedRunner, make_provider, send_last_spans
from penstock.server.worker_setup import WorkerSetup, wants_traces
from tests.runners.tasks import Build, Hoard, double
from tests.support.doubles import InlineRunner
from tests.support.grpc import call
from tests.support.http import make_settings
from tests.support.otlp import Collector, collector
from tests.support.servers import running_server

CREATE = "POST /v2/vectordb/jobs/import/create"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class RecordingRunner(InlineRunner):
    """Keeps the arguments of tasks, as a runner sees them."""

    def __init__(self) -> None:
        self.arguments: list[object] = []

    def submit(self, function: Callable[[Any, Any], Any], argument: Any) -> Any:
        self.arguments.append(argument)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Collector:
    """What a server sent that made one import, refused one call, failed one job, and was stopped."""
    with collector() as found:
        with running_server(
            tmp_path_factory.mktemp("traced"), "--workers", "1", "--otel-endpoint", found.url
        ) as server:
            (server.import_root / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
            with server.client() as client:
                client.collections.create("docs", dimension=2)
                body = {"collectionName": "docs", "files": [["docs.jsonl"]]}
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
                answer = requests.post(f"{server.url}{CREATE[5:]}", json=body, headers=headers, timeout=30).json()
                client.imports.wait(answer["data"]["jobId"])
                requests.get(f"{server.url}/no/such/thing", timeout=30)
                with grpc.insecure_channel(server.url.removeprefix("http://")) as channel:
                    call(channel, "HasCollection", metadata=headers, collection_name="docs")
                    call(channel, "LoadCollection", collection_name="absent")
                with pytest.raises(JobFailed):
                    client.imports.wait(client.imports.create("docs", ["absent.jsonl"]))
        return found


def test_a_call_goes_on_with_the_trace_of_its_caller(collected: Collector) -> None:
    (call,) = (each for each in collected.named(CREATE) if each.trace == TRACE)
    assert call.parent == CALLER
    assert call.facts["http.route"] == CREATE[5:]
    assert call.facts["http.response.status_code"] == 200
    assert call.facts["penstock.request_id"]
    assert call.process["service.name"] == "penstock"


def test_the_memory_and_the_slots_of_a_task_are_those_of_the_task_that_is_traced() -> None:
    """Without them a traced server had no memory limits."""
    runner = RecordingRunner()
    traced = TracedRunner(runner)
    for argument in (Build(1 << 20, slots=3), Hoard(1 << 20), "files"):
        traced.submit(double, argument)
    build, hoard, plain = runner.arguments
    assert isinstance(build, Reserving)
    assert (build.slots, build.memory_limit) == (3, 1 << 20)
    assert isinstance(hoard, Bounded)
    assert not isinstance(hoard, Reserving)
    assert hoard.memory_limit == 1 << 20
    assert not isinstance(plain, Bounded)


def test_a_grpc_call_goes_on_with_the_trace_of_its_caller(collected: Collector) -> None:
    (has,) = collected.named("HasCollection")
    assert (has.trace, has.parent) == (TRACE, CALLER)
    assert (has.facts["rpc.system"], has.facts["rpc.response.status_code"]) == ("grpc", "OK")
    (load,) = collected.named("LoadCollection")
    assert load.facts["penstock.code"] == 100


def test_an_unknown_path_makes_no_name_of_its_own(collected: Collector) -> None:
    assert [span.name for span in collected.spans if span.facts.get("http.response.status_code") == 404] == ["GET"]


def test_a_job_its_steps_and_its_split(collected: Collector) -> None:
    job = next(each for each in collected.named("import job") if not each.failed)
    below = {span.name: span for span in collected.spans if span.parent == job.id}
    assert {"planning", "staging", "commit"} <= below.keys()
    assert job.facts["penstock.collection"] == "docs"
    assert job.facts["penstock.rows"] == 1
    assert "job.state" in job.events
    split = collected.one("split")
    assert split.parent == below["staging"].id
    assert split.facts["penstock.rows"] == 1
    assert {each.trace for each in [split, *below.values()]} == {job.trace}


def test_a_job_goes_on_with_the_trace_of_the_call_that_created_it(collected: Collector) -> None:
    (call,) = (each for each in collected.named(CREATE) if each.trace == TRACE)
    job = next(each for each in collected.named("import job") if not each.failed)
    assert (job.trace, job.parent) == (TRACE, call.id)


def test_workers_tell_their_part(collected: Collector) -> None:
    staged = collected.one("stage_split")
    assert staged.parent == collected.one("split").id
    planned = {each.id for each in collected.named("planning")}
    assert {each.parent for each in collected.named("plan_files")} <= planned
    assert staged.process["service.name"] == "penstock"


def test_a_worker_that_ends_at_once_sends_its_last_spans() -> None:
    with collector() as found:
        runner = LocalRunner(1, WorkerSetup("console", "info", traced=True, otel_endpoint=found.url))
        try:
            assert TracedRunner(runner).submit(double, 21).future.result() == 42
        finally:
            runner.close()
        assert found.one("double").process["service.name"] == "penstock"


def test_a_collector_that_does_not_answer_keeps_no_worker_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_LAST_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = make_provider(f"http://127.0.0.1:{silent.getsockname()[1]}")
        provider.get_tracer("test").start_span("unsent").end()
        assert not send_last_spans(provider)


def test_a_failed_job_is_marked(collected: Collector) -> None:
    (failed,) = (each for each in collected.named("import job") if each.failed)
    assert failed.trace != next(each for each in collected.named("import job") if not each.failed).trace


def test_a_collector_that_is_away_costs_no_job(tmp_path: Path) -> None:
    # The last spans are tried for so long when a server or a worker ends; ten seconds by default.
    soon = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with running_server(tmp_path, "--otel-endpoint", "http://127.0.0.1:9", env=soon) as server:
        (server.import_root / "docs.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n')
        with server.client() as client:
            client.collections.create("docs", dimension=2)
            assert client.imports.wait(client.imports.create("docs", ["docs.jsonl"])).rows == 1


@pytest.mark.parametrize(
    ("flag", "environment", "wanted"),
    [
        (None, {}, False),
        ("http://127.0.0.1:4318", {}, True),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ("http://127.0.0.1:4318", {"OTEL_SDK_DISABLED": "true"}, False),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_when_traces_are_made(tmp_path: Path, flag: str | None, environment: dict[str, str], wanted: bool) -> None:
    assert wants_traces(make_settings(tmp_path, otel_endpoint=flag), environment) is wanted


def test_nothing_is_loaded_where_none_are_wanted() -> None:
    program = (
        "import sys\n"
        "import penstock.server.assembly, penstock.server.serve, penstock.server.observability.setup\n"
        "print(sorted(each for each in sys.modules if each.startswith('opentelemetry')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
