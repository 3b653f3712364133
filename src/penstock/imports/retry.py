"""Retry transient errors with exponential backoff; the final error has the number of attempts and the cause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
import tenacity

from penstock.errors import CatalogError, PenstockError, Transient
from penstock.imports.settings import JobSettings

log = structlog.get_logger(__name__)

MAX_BACKOFF_SECONDS = 30.0
"""Seconds."""

_Result = TypeVar("_Result")


def backoff(failures: int, first: float, most: float) -> float:
    """Seconds to wait after so many failures in a row: ``first``, doubled each time up to ``most``, with jitter."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = failures
    return float(tenacity.wait_exponential_jitter(multiplier=first, max=most, jitter=first / 2)(state))


class RetriesExhausted(PenstockError):
    """All attempts failed with transient errors. ``details``: ``attempts``; the cause is the last error."""

    code = "retries_exhausted"


def retry_transient(
    attempt: Callable[[], _Result],
    what: str,
    settings: JobSettings,
    stop: threading.Event,
    retrying: Callable[[BaseException], None],
    remedy: str = "Retry the job when the cause is fixed; finished splits are kept",
    passing: tuple[type, ...] = (Transient,),
) -> _Result:
    """Call ``attempt`` up to ``max_attempts`` times while it fails with an error of the ``passing`` types.

    ``retrying`` is called with each error but the last; ``remedy`` ends the message of the last. ``stop`` cuts a
    pause short; the attempt itself must check whether to start again.

    Raises:
        RetriesExhausted: all attempts failed with transient errors; its cause is the last error.
    """
    began = time.monotonic()
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(passing),
        stop=tenacity.stop_after_attempt(settings.max_attempts),
        wait=tenacity.wait_exponential_jitter(
            multiplier=settings.retry_pause, max=MAX_BACKOFF_SECONDS, jitter=settings.retry_pause
        ),
        sleep=tenacity.sleep_using_event(stop),
        before_sleep=lambda state: _log_retry(what, state, retrying),
        reraise=True,
    )
    try:
        return attempts(attempt)
    except Exception as error:
        if not isinstance(error, passing) or isinstance(error, CatalogError):
            # Not the job's error: it waits until the catalog is available again.
            raise
        raise RetriesExhausted(
            f"{_sentence(error)} This was tried {settings.max_attempts} times within "
            f"{time.monotonic() - began:.0f} s while {what}. {remedy}",
            attempts=settings.max_attempts,
        ) from error


def _sentence(error: BaseException) -> str:
    text = str(error).rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _log_retry(what: str, state: tenacity.RetryCallState, retrying: Callable[[BaseException], None]) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        retrying(error)
    log.warning("attempt.failed", doing=what, attempt=state.attempt_number, error=str(error))
