"""Whose turn it is when there are more calls than threads: nobody waits behind the calls of somebody else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.access.accounts import AccountService
from penstock.access.authentication import Authenticator
from penstock.access.fairness_key import ANONYMOUS_KEY, UNAUTHENTICATED_KEY, UNVERIFIED_PASSWORD_KEY, FairnessKeys
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.domain.access import Grant, Role
from penstock.imports.requests import JobPage, JobQuery
from penstock.server.request_pool import STACK_BYTES, Pool, Threads
from tests.support.catalogs import opened_catalog
from tests.support.examples import examples
from tests.support.http import http_server, make_services
from tests.support.imports import MemoryImports
from tests.support.wire import V1, V2

WRITER = Grant(role=Role.WRITER)


@contextmanager
def held(*objects: threading.Event) -> Iterator[None]:
    """Lets go at the end whatever happens, so that a failing test ends."""
    try:
        yield
    finally:
        for object_ in objects:
            object_.set()


class Work:
    """Calls that end when they are told to; ``begun`` counts those that have and haven't ended, by lane."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool = Pool(size, "test")
        self.begun: list[tuple[str, threading.Event]] = []
        self.calls: list[tuple[str, asyncio.Task[None]]] = []

    async def call(self, fairness_key: str) -> asyncio.Task[None]:
        end = threading.Event()

        def work() -> None:
            self.begun.append((fairness_key, end))
            end.wait(60)

        task = asyncio.create_task(self.pool.run(fairness_key, work))
        self.calls.append((fairness_key, task))
        await asyncio.sleep(0)
        return task

    def end(self, number: int) -> None:
        _, end = self.begun.pop(number)
        end.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Threads and the loop need a moment to do what they can."""
        for _ in range(2000):
            if is_so():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.lanes())

    def lanes(self) -> Counter[str]:
        return Counter(fairness_key for fairness_key, _ in self.begun)

    async def close(self) -> None:
        def all_done() -> bool:
            for _, end in self.begun:
                end.set()
            return all(task.done() for _, task in self.calls)

        await self.until(all_done)
        self.pool.close()


def test_lanes_take_turns() -> None:
    async def run() -> None:
        work = Work(1)
        for fairness_key in ("ann", "ann", "ann", "bob", "cy", "bob"):
            await work.call(fairness_key)
        order = []
        for _ in range(6):
            await work.until(lambda: bool(work.begun))
            order.append(work.begun[0][0])
            work.end(0)
        assert order == ["ann", "ann", "bob", "cy", "ann", "bob"]
        await work.close()

    asyncio.run(run())


def test_no_lane_takes_all_threads() -> None:
    async def run() -> None:
        work = Work(8)
        for fairness_key in (UNVERIFIED_PASSWORD_KEY, "ann"):
            for _ in range(9):
                await work.call(fairness_key)
        await work.until(lambda: work.lanes() == {UNVERIFIED_PASSWORD_KEY: 2, "ann": 6})
        await work.close()
        alone = Work(8)
        for _ in range(9):
            await alone.call(ANONYMOUS_KEY)
        await alone.until(lambda: alone.lanes() == {ANONYMOUS_KEY: 8})
        await alone.close()

    asyncio.run(run())


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["call", "end", "cancel"]),
        st.integers(0, 9),
        st.sampled_from(["ann", "bob", UNVERIFIED_PASSWORD_KEY]),
    ),
    max_size=30,
)


@given(size=st.integers(1, 6), operations=OPERATIONS)
@settings(max_examples=examples(15, 40), deadline=None)
def test_no_thread_is_idle_while_somebody_may_have_it_and_none_is_lost(
    size: int, operations: list[tuple[str, int, str]]
) -> None:
    most = {"ann": size - size // 4, "bob": size - size // 4, UNVERIFIED_PASSWORD_KEY: max(1, size // 4)}

    async def run() -> None:
        work = Work(size)
        wanted: Counter[str] = Counter()  # calls that have begun, or wait

        def all_that_may_have_begun() -> bool:
            begun = work.lanes()
            assert begun.total() <= size
            assert all(begun[each] <= min(limit, wanted[each]) for each, limit in most.items())
            return begun.total() == size or all(
                begun[each] == min(limit, wanted[each]) for each, limit in most.items()
            )

        for what, number, fairness_key in operations:
            if what == "call":
                await work.call(fairness_key)
                wanted[fairness_key] += 1
            elif what == "end" and work.begun:
                wanted[work.begun[number % len(work.begun)][0]] -= 1
                work.end(number % len(work.begun))
            elif what == "cancel" and (waiting := wanted[fairness_key] - work.lanes()[fairness_key]):
                # The last one of those that wait, in their order.
                task = [each for other, each in work.calls if other == fairness_key and not each.done()][-waiting:][
                    -1
                ]
                wanted[fairness_key] -= task.cancel()
                await asyncio.sleep(0)
            await work.until(all_that_may_have_begun)
        await work.close()

    asyncio.run(run())


def test_a_call_whose_caller_has_gone_keeps_its_thread_until_it_is_done() -> None:
    async def run() -> None:
        work = Work(1)
        first = await work.call("ann")
        await work.call("bob")
        await work.until(lambda: work.lanes() == {"ann": 1})
        first.cancel()
        await work.until(first.done)
        assert work.lanes() == {"ann": 1}
        work.end(0)
        await work.until(lambda: work.lanes() == {"bob": 1})
        await work.close()

    asyncio.run(run())


class Question:
    """A function that many ask for; ``asked`` counts how often it was run, and each run gives its number."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.asked = 0
        self.end = threading.Event()

    def ask(self, key: str = "jobs", fairness_key: str = "ann") -> asyncio.Task[int]:
        return asyncio.create_task(self._pool.run_coalesced(key, fairness_key, self._answer))

    def _answer(self) -> int:
        self.asked += 1
        self.end.wait(60)
        return self.asked


@contextmanager
def a_busy_pool() -> Iterator[tuple[Question, threading.Event]]:
    """Of one thread, taken until the event is set."""
    pool, end = Pool(1, "test"), threading.Event()
    question = Question(pool)
    with held(end, question.end):
        blocker = asyncio.create_task(pool.run("ann", partial(end.wait, 60)))
        yield question, end
    assert not blocker.cancelled()
    pool.close()


def test_calls_that_wait_for_the_same_are_answered_by_one_run_that_begins_after_all_of_them() -> None:
    async def run() -> None:
        with a_busy_pool() as (question, go_on):
            await asyncio.sleep(0)
            waiting = [question.ask() for _ in range(5)]
            other = question.ask("another")
            await asyncio.sleep(0)
            go_on.set()
            while not question.asked:
                await asyncio.sleep(0.01)
            late = question.ask()  # what it asks for may have changed since that run began
            await asyncio.sleep(0.01)
            question.end.set()
            assert await asyncio.gather(*waiting) == [1] * 5
            assert {await other, await late} == {2, 3}

    asyncio.run(run())


def test_a_call_that_need_not_wait_shares_nothing() -> None:
    async def run() -> None:
        pool = Pool(4, "test")
        question = Question(pool)
        with held(question.end):
            calls = [question.ask(fairness_key=ANONYMOUS_KEY) for _ in range(4)]
            while question.asked < 4:
                await asyncio.sleep(0.01)
        await asyncio.gather(*calls)
        pool.close()

    asyncio.run(run())


def test_who_goes_takes_nothing_from_those_who_wait_for_the_same() -> None:
    async def run() -> None:
        with a_busy_pool() as (question, go_on):
            await asyncio.sleep(0)
            first, second, third = (question.ask() for _ in range(3))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            go_on.set()
            question.end.set()
            assert [await second, await third] == [1, 1]
            assert first.cancelled()

    asyncio.run(run())


@pytest.mark.parametrize("moments", [0, 1, 2, 3])
def test_when_all_have_gone_it_is_not_run_and_who_comes_then_is_the_first(moments: int) -> None:
    async def run() -> None:
        with a_busy_pool() as (question, go_on):
            await asyncio.sleep(0)
            calls = [question.ask() for _ in range(3)]
            for _ in range(moments):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            again = question.ask()
            await asyncio.sleep(0)
            go_on.set()
            question.end.set()
            assert await again == 1
            assert all(call.cancelled() for call in calls)

    asyncio.run(run())


def test_an_error_is_told_to_all_of_them() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def run() -> None:
        pool, end = Pool(1, "test"), threading.Event()
        with held(end):
            blocker = asyncio.create_task(pool.run("ann", partial(end.wait, 60)))
            await asyncio.sleep(0)
            calls = [asyncio.create_task(pool.run_coalesced("k", "ann", fail)) for _ in range(3)]
            await asyncio.sleep(0)
        told = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(each) for each in told] == ["no"] * 3
        await blocker
        pool.close()

    asyncio.run(run())


def test_a_crowd_that_asks_the_same_is_answered_together_and_each_caller_as_himself(tmp_path: Path) -> None:
    go_on, begun = threading.Event(), threading.Semaphore(0)

    class Slow(MemoryImports):
        def list(self, query: JobQuery) -> JobPage:
            begun.release()
            go_on.wait(60)
            return super().list(query)

    with opened_catalog(tmp_path) as catalog, make_services(tmp_path / "data") as made:
        accounts = AccountService(catalog)
        ours = [accounts.create_key(DEFAULT_ORG, name, [WRITER]).secret for name in ("one", "two")]
        imports = Slow()
        services = replace(
            made, imports=imports, authentication=Authenticator(catalog.accounts), clusters=catalog.clusters
        )
        with http_server(services) as url, ThreadPoolExecutor(32) as pool, held(go_on):

            def ask(number: int, **body: object) -> httpx.Response:
                headers = {"authorization": ours[number % 2], "x-request-id": f"call-{number}"}
                return httpx.post(f"{url}{V2}/list", json=body, headers=headers, timeout=60)

            go_on.set()
            for number in range(2):
                ask(number)  # from now on both are known, and in the lane of their org
            go_on.clear()
            held_up = [pool.submit(ask, 0, collectionName="books") for _ in range(2)]
            for _ in range(4):
                assert begun.acquire(timeout=30)
            crowd = [pool.submit(ask, number) for number in range(20)]
            other = pool.submit(ask, 0, collectionName="docs")
            while services.registry.get_sample_value("penstock_http_requests_in_flight") != 23:
                time.sleep(0.01)
            go_on.set()
            assert {each.result().json()["code"] for each in (*held_up, *crowd, other)} == {0}
            assert [each.result().headers["x-request-id"] for each in crowd] == [
                f"call-{index}" for index in range(20)
            ]
    asked = Counter((query.caller.name, query.collection) for query in imports.queries)
    runs = [asked[name, None] - 1 for name in ("one", "two")]
    assert all(runs), "one key's answer is not the other's"
    # Two, and one more for each call that was there but did not wait yet when the threads became free.
    assert sum(runs) <= len(crowd) / 2
    assert (asked["one", "books"], asked["one", "docs"]) == (len(held_up), 1)


def test_a_lane_is_told_by_what_was_let_in_before() -> None:
    known = FairnessKeys()
    key, user = "Bearer psk_" + "a" * 43, "Bearer ann:correct horse"
    assert [known.fairness_key(each) for each in (key, user, "", "nonsense")] == [
        UNAUTHENTICATED_KEY,
        UNVERIFIED_PASSWORD_KEY,
        UNAUTHENTICATED_KEY,
        UNAUTHENTICATED_KEY,
    ]
    known.note(user, "org-acme")
    assert known.fairness_key(user) == "org-acme"
    assert known.fairness_key("Bearer ann:wrong horse") == UNVERIFIED_PASSWORD_KEY


def test_an_org_with_more_calls_than_threads_keeps_no_other_waiting(tmp_path: Path) -> None:
    go_on = threading.Event()
    with opened_catalog(tmp_path) as catalog, make_services(tmp_path / "data", request_threads=4) as made:
        accounts = AccountService(catalog)
        greedy = accounts.create_key(DEFAULT_ORG, "greedy", [WRITER]).secret
        modest = accounts.create_key(catalog.orgs.ensure("acme").id, "modest", [WRITER]).secret
        imports = MemoryImports()
        begun = threading.Semaphore(0)

        def hold() -> None:
            begun.release()
            go_on.wait(60)

        imports.hold = hold
        services = replace(
            made,
            imports=imports,
            authentication=Authenticator(catalog.accounts),
            clusters=catalog.clusters,
        )
        with http_server(services) as url, held(go_on), ThreadPoolExecutor(20) as pool:
            assert httpx.post(f"{url}{V2}/list", json={}, headers={"authorization": greedy}).json()["code"] == 0
            create = {"collectionName": "docs", "files": [["a.json"]]}
            calls = [
                pool.submit(
                    httpx.post, f"{url}{V2}/create", json=create, headers={"authorization": greedy}, timeout=60
                )
                for _ in range(20)
            ]
            for _ in range(3):
                assert begun.acquire(timeout=30)
            for path in ("/v2/vectordb/collections/list", f"{V2}/list", "/metrics"):
                told = httpx.request(
                    "GET" if path == "/metrics" else "POST", url + path, headers={"authorization": modest}
                )
                assert told.status_code in (200, 403)
            assert not begun.acquire(blocking=False), "a fourth of the threads is for others"
            assert not any(call.done() for call in calls)
            go_on.set()
            assert {call.result().json()["code"] for call in calls} == {0}


@pytest.mark.parametrize(
    "path", [f"{V2}/list", f"{V1}/list?clusterId=x", "/metrics", "/v2/vectordb/collections/list"]
)
def test_guesses_at_passwords_keep_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def slow(self: PasswordHasher, hash: str | bytes, password: str | bytes) -> bool:
        begun.set()
        go_on.wait(60)
        return False

    monkeypatch.setattr(PasswordHasher, "verify", slow)
    with opened_catalog(tmp_path) as catalog, make_services(tmp_path / "data") as made:
        key = AccountService(catalog).create_key(DEFAULT_ORG, "ops", [WRITER]).secret
        services = replace(made, authentication=Authenticator(catalog.accounts), clusters=catalog.clusters)
        with http_server(services) as url, held(go_on), ThreadPoolExecutor(40) as pool:
            guesses: list[Future[httpx.Response]] = []
            method = "GET" if path.startswith(V1) or path == "/metrics" else "POST"
            for number in range(40):
                wrong = {"authorization": f"user{number}:wrong password"}
                guesses.append(pool.submit(httpx.request, method, url + path, headers=wrong, timeout=60))
            assert begun.wait(30)
            for each, how in ((path, method), (f"{V2}/list", "POST"), ("/healthz", "GET")):
                assert httpx.request(how, url + each, headers={"authorization": key}, timeout=30).status_code == 200
            assert not any(guess.done() for guess in guesses)
            go_on.set()
            assert {guess.result().status_code for guess in guesses} <= {200, 401}


def test_the_stack_of_a_thread_does_not_depend_on_the_shell() -> None:
    threads = Threads(1)
    try:
        assert threading.stack_size() == STACK_BYTES
    finally:
        threads.close()
        threading.stack_size(0)
