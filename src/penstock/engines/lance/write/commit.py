"""Repeat a commit that another process preempted."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from penstock.errors import StorageConflict

_ATTEMPTS = 40
"""Each attempt that fails means that another process changed this table."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def retry_conflicts(
    attempt: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Call ``attempt`` until it doesn't raise StorageConflict, 40 times at most."""
    attempts = Retrying(
        retry=retry_if_exception_type(StorageConflict),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.01, max=0.5),
        reraise=True,
    )
    return attempts(attempt, *args, **kwargs)
