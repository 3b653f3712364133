"""Trying again what failed for a cause that may pass: pauses that grow, and an end that says how often and what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
import tenacity

from penstock.catalog.db.errors import CatalogUnavailable
from penstock.errors import PenstockError, Transient
from penstock.imports.settings import JobSettings

__all__ = ["MAX_BACKOFF_SECONDS", "RetriesExhausted", "retry_transient"]

log = structlog.get_logger(__name__)

MAX_BACKOFF_SECONDS = 30.0
"""Seconds."""

_Result = TypeVar("_Result")


class RetriesExhausted(PenstockError):
    """What might have passed did not pass in time. ``details``: ``attempts``; the cause is the last error."""

    code = "gave_up"


def retry_transient(
    attempt: Callable[[], _Result],
    what: str,
    settings: JobSettings,
    stop: threading.Event,
    retrying: Callable[[BaseException], None],
    remedy: str = "Retry the job when the cause is gone; it keeps what it has done",
    passing: tuple[type, ...] = (Transient,),
) -> _Result:
    """The result of ``attempt``, made up to ``split_attempts`` times while it fails for a ``passing`` cause.

    ``retrying`` gets each error that is not the last; ``remedy`` ends what is said after the last. ``stop`` cuts
    a pause short; the attempt itself tells whether it must not begin again.

    Raises:
        RetriesExhausted: it failed for passing causes to the last attempt; its cause is the last error.
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
        if not isinstance(error, passing) or isinstance(error, CatalogUnavailable):
            # No fault of the job: it waits until somebody reaches the catalog again.
            raise
        raise RetriesExhausted(
            f"{_sentence(error)} This was tried {settings.max_attempts} times within "
            f"{time.monotonic() - began:.0f} s while {what}. {remedy}",
            attempts=settings.max_attempts,
        ) from error


def _sentence(error: BaseException) -> str:
    text = str(error).rstrip()
    return text if text.endswith((".", ")", "!", "?")) else f"{text}."


def _log_retry(what: str, state: tenacity.RetryCallState, retrying: Callable[[BaseException], None]) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        retrying(error)
    log.warning("attempt.failed", doing=what, attempt=state.attempt_number, error=str(error))
