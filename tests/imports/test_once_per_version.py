"""Of the jobs that one version of a table published, one does what concerns all of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.imports import once_per_version
from penstock.imports.once_per_version import OncePerVersion


def test_threads_of_one_version_share_a_result() -> None:
    once: OncePerVersion[int] = OncePerVersion()
    begun, go = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        assert go.wait(30)
        return 7

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(once.run, "t", 2, work)
        assert begun.wait(30)
        others = [threads.submit(once.run, "t", 2, lambda: 8) for _ in range(2)]
        assert once.run("another", 2, lambda: 9) == 9
        go.set()
        assert [each.result() for each in (first, *others)] == [7, 7, 7]
    assert once.run("t", 3, lambda: 10) == 10


def test_an_error_is_of_the_thread_that_met_it() -> None:
    once: OncePerVersion[int] = OncePerVersion()
    with pytest.raises(ZeroDivisionError):
        once.run("t", 2, lambda: 1 // 0)
    assert once.run("t", 2, lambda: 8) == 8


def test_a_result_counts_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once_per_version, "_FRESH_SECONDS", 0.0)
    once: OncePerVersion[int] = OncePerVersion()
    assert [once.run("t", 2, lambda: 7), once.run("t", 2, lambda: 8)] == [7, 8]
