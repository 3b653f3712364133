"""Running calls of any wire protocol in the request pools."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from penstock.access.authentication import NoAuthentication
from penstock.domain.deadline import DeadlineExceeded, check_deadline
from penstock.errors import CollectionNotFound
from penstock.server.calls import Calls

HERE = "192.0.2.7"


@pytest.fixture
def calls() -> Iterator[Calls]:
    calls = Calls(NoAuthentication(), threads=1, timeout=60)
    yield calls
    calls.close()
    threading.stack_size(0)


def run(calls: Calls, work: Callable[[], object], **options: Any) -> object:
    async def main() -> object:
        return await calls.run("", HERE, work, route="/x", **options)

    return asyncio.run(main())


def test_work_runs_in_a_thread_and_its_result_is_returned(calls: Calls) -> None:
    assert run(calls, threading.get_ident) != threading.get_ident()
    assert run(calls, lambda: 7, read_only=True) == 7


def test_an_error_of_the_use_case_is_raised_and_not_logged(calls: Calls) -> None:
    def work() -> None:
        raise CollectionNotFound("no such collection")

    with capture_logs() as logs, pytest.raises(CollectionNotFound):
        run(calls, work)
    assert logs == []


def test_any_other_error_is_logged_with_its_call(calls: Calls) -> None:
    def work() -> None:
        raise TimeoutError("of a socket, not of the call")

    with capture_logs() as logs, pytest.raises(TimeoutError, match="of a socket"):
        run(calls, work)
    assert [(log["event"], log["route"]) for log in logs] == [("request.failed", "/x")]


def test_work_beyond_its_timeout_gets_the_deadline_and_stops(calls: Calls) -> None:
    stopped = threading.Event()

    def work() -> None:
        try:
            while True:
                check_deadline()
                time.sleep(0.001)
        finally:
            stopped.set()

    with pytest.raises(DeadlineExceeded):
        run(calls, work, timeout=0.05)
    assert stopped.wait(30)


def test_a_call_that_waits_too_long_for_a_thread_gets_the_deadline(calls: Calls) -> None:
    release = threading.Event()

    async def main() -> None:
        first = asyncio.create_task(calls.run("", HERE, lambda: release.wait(30), route="/slow"))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await calls.run("", HERE, lambda: None, route="/x", timeout=0.05)
        release.set()
        assert await first

    asyncio.run(main())


def test_equal_reads_that_wait_share_a_run_unless_the_caller_differs(calls: Calls) -> None:
    release = threading.Event()
    runs: list[str] = []

    def read(authorization: str, key: str) -> Coroutine[Any, Any, None]:
        def work() -> None:
            runs.append(f"{authorization} {key}")

        return calls.run(authorization, HERE, work, route="/x", read_only=True, coalescing_key=key)

    async def main() -> None:
        slow = calls.run("", HERE, lambda: release.wait(30), route="/slow", read_only=True)
        first = asyncio.create_task(slow)
        await asyncio.sleep(0)
        reads = [asyncio.create_task(read(*same)) for same in (("ann", "list"),) * 3 + (("bob", "list"),)]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, *reads)

    asyncio.run(main())
    assert sorted(runs) == ["ann list", "bob list"]
