"""The interface to traces of gRPC calls; without OpenTelemetry it does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

TraceCall: TypeAlias = Callable[
    [str, Mapping[str, str], str], AbstractContextManager[Callable[[str, int | None], None]]
]
"""From method, metadata and request id to the context of a call, which is given the call's gRPC status and Milvus's
code."""


@contextmanager
def untraced(
    method: str, metadata: Mapping[str, str], request_id: str
) -> Iterator[Callable[[str, int | None], None]]:
    """A :data:`TraceCall` that traces nothing."""
    del method, metadata, request_id
    yield lambda status, code: None
