"""Filters as large as a caller can make them, sent to a real server: it lives, answers right, and ends in time."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import psutil
import pytest

from tests.attack.filters import ROWS, SCHEMA, Sized, largest, odd_filters, row, too_large
from tests.support.servers import RunningServer, running_server

SEED = int(os.environ.get("PENSTOCK_ATTACK_SEED", "1"))
ODD = max(10, int(os.environ.get("PENSTOCK_ATTACK_BODIES", "0")) // 50)
SECONDS = 60
"""For one call on a loaded machine; without bounds such calls took minutes, or the server's life."""

MANY = 60_000
_INTERNAL = 65535


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with (
        running_server(tmp_path_factory.mktemp("filters"), forked=True) as running,
        running.client(timeout=120) as client,
    ):
        (running.import_root / "rows.jsonl").write_text(
            "".join(json.dumps(row(index)) + "\n" for index in range(ROWS))
        )
        many = (f'{{"id": {index}, "vector": [{index}, 1], "a": {index}}}\n' for index in range(MANY))
        (running.import_root / "many.jsonl").write_text("".join(many))
        client.collections.create("rows", schema=SCHEMA, indexes=[{"fieldName": "vector", "metricType": "L2"}])
        client.collections.create("many", dimension=2)
        for name in ("rows", "many"):
            client.imports.wait(client.imports.create(name, [f"{name}.jsonl"]))
        yield running


def post(server: RunningServer, call: str, timeout: float = SECONDS, **body: Any) -> dict[str, Any]:
    headers = {"Request-Timeout": str(timeout), "Accept-Type-Allow-Int64": "true"}
    reply = httpx.post(f"{server.url}/v2/vectordb/entities/{call}", json=body, headers=headers, timeout=timeout + 60)
    assert reply.status_code in (200, 408), (call, reply.text[:500])
    assert len(reply.content) < 1 << 20
    answer: dict[str, Any] = reply.json()
    return answer


def bodies(sized: Sized, collection: str = "rows") -> dict[str, tuple[str, dict[str, Any]]]:
    """The calls that take a filter, by what is asked."""
    common = {"collectionName": collection, "filter": sized.text, "exprParams": dict(sized.params)}
    return {
        "query": ("query", {**common, "outputFields": ["id"], "limit": 16000}),
        "all": ("query", {**common, "outputFields": ["id"], "limit": 0}),
        "count": ("query", {**common, "outputFields": ["count(*)"]}),
        "search": ("search", {**common, "data": [[0, 1]], "outputFields": ["id"], "limit": 1000}),
    }


def ids(answer: dict[str, Any]) -> list[int]:
    assert answer["code"] == 0, str(answer)[:1000]
    return sorted(each["id"] for each in answer["data"])


CALLS = ("query", "search", "count")


@pytest.fixture(scope="module")
def largest_filters() -> list[Sized]:
    return largest()


@pytest.fixture(scope="module")
def too_large_filters() -> list[Sized]:
    return too_large()


def ask(server: RunningServer, sized: Sized, what: str) -> None:
    call, body = bodies(sized)[what]
    answer = post(server, call, **body)
    wanted = sorted(sized.ids)
    if what == "count":
        assert (answer["code"], answer["data"]) == (0, [{"count(*)": len(wanted)}]), str(answer)[:1000]
    else:
        assert ids(answer) == wanted


def once_each(filters: Sequence[Sized], left_out: Sequence[str] = ()) -> list[Any]:
    """The number of every third filter with one of the calls, and of all with all of them where time allows."""
    calls = itertools.cycle(CALLS)
    chosen = {number: next(calls) for number in range(0, len(filters), 3) if filters[number].name not in left_out}
    return [
        pytest.param(
            number, what, id=f"{sized.name}, {what}", marks=() if chosen.get(number) == what else pytest.mark.slow
        )
        for number, sized in enumerate(filters)
        for what in CALLS
    ]


# By number and small: the filters themselves take seconds to write, and hundreds of megabytes.
@pytest.mark.parametrize(("number", "what"), once_each(largest(1, 1, 1)))
def test_the_largest_filter_of_every_kind(
    server: RunningServer, largest_filters: list[Sized], number: int, what: str
) -> None:
    ask(server, largest_filters[number], what)


def test_an_answer_without_a_limit(server: RunningServer, largest_filters: list[Sized]) -> None:
    sized = next(each for each in largest_filters if each.name == "json_contains_any by template")
    assert ids(post(server, "query", **bodies(sized)["all"][1])) == sorted(sized.ids)


SMALL = too_large(1, 1, 1, 1)
LONG_TEXTS = [sized.name for sized in SMALL if sized.name.endswith("by text")][2:]
"""Refused like the same values in a template, after half a second of parsing each."""


@pytest.mark.parametrize(("number", "what"), once_each(SMALL, LONG_TEXTS))
def test_a_larger_filter_is_refused_at_once(
    server: RunningServer, too_large_filters: list[Sized], number: int, what: str
) -> None:
    call, body = bodies(too_large_filters[number])[what]
    answer = post(server, call, **body)
    assert answer["code"] in (1100, 1801), str(answer)[:1000]
    assert len(answer["message"]) < 3000


def test_odd_filters(server: RunningServer) -> None:
    """Any size of any kind, joined: an answer or a refusal, and never an internal error."""
    codes = set()
    for sized in itertools.islice(odd_filters(random.Random(SEED)), ODD):
        for call, body in bodies(sized).values():
            answer = post(server, call, **body)
            assert answer["code"] != _INTERNAL, (sized.name, str(answer)[:1000])
            codes.add(answer["code"])
    assert {0, 1100} <= codes
    assert server.process.poll() is None


def test_calls_that_have_timed_out_use_no_processor(server: RunningServer) -> None:
    """Six seconds of work at least each, of which the caller gives one."""
    heavy = Sized("heavy", " or ".join(f"k{index} == {index}" for index in range(128)))
    process = psutil.Process(server.process.pid)
    for what, (call, body) in bodies(heavy, "many").items():
        before = _processor_time(process)
        answer = post(server, call, timeout=1, **body)
        assert answer["code"] == 10001, (what, answer)
        time.sleep(1)
        assert _processor_time(process) - before < 3, what
    ended = _processor_time(process)
    time.sleep(2)
    assert _processor_time(process) - ended < 0.4


def _processor_time(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
