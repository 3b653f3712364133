"""Deadlines: of a context and of threads that run in copies of it."""

from __future__ import annotations

import contextvars
import threading

import pytest

from penstock.domain.deadline import DeadlineExceeded, check_deadline, deadline


def test_without_a_deadline_nothing_is_checked() -> None:
    check_deadline()


def test_a_deadline_that_has_passed() -> None:
    with deadline(60):
        check_deadline()
        with deadline(-1), pytest.raises(DeadlineExceeded):
            check_deadline()
        check_deadline()
    check_deadline()


def test_a_thread_in_a_copy_of_the_context_has_its_deadline() -> None:
    raised = []

    def check() -> None:
        try:
            check_deadline()
        except DeadlineExceeded as error:
            raised.append(error)

    with deadline(-1):
        copied = contextvars.copy_context()
        for function in (check, lambda: copied.run(check)):
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()
    assert len(raised) == 1
