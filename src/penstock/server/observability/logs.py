"""Structured logs: console or JSON lines on the standard error, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["configure_logs", "redact"]

REDACTED = "[redacted]"
_SHORTEST = 8
_SECRET_KEYS = frozenset(
    {"accesskey", "secretkey", "token", "sessiontoken", "securitytoken", "authorization", "apikey", "password", "ezk"}
)
_TEXTS = (
    (re.compile(r"\b(Bearer|Basic)\s+\S+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"\b(X-Amz-(?:Signature|Credential|Security-Token)|sig)=[^&\s]+", re.IGNORECASE), rf"\1={REDACTED}"),
    (re.compile(r"\bpsk_[A-Za-z0-9_-]{43}"), REDACTED),
    (re.compile(r"(://[^/@:\s]*):[^/@\s]+@"), rf"\1:{REDACTED}@"),
    (
        re.compile(
            r"""(["']?\b(?:access[_-]?key(?:[_-]?id)?|secret[_-]?(?:access[_-]?)?key|(?:session|security|sas)?[_-]?token|"""
            r"""api[_-]?key|account[_-]?key|password)["']?\s*[:=]\s*)(?:"[^"]*"?|'[^']*'?|[^\s,;&}"']+)""",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)
"""Credentials inside texts: headers, queries, keys of this server, addresses, and ``name: value`` as JSON, Python and
settings write it. What was cut off in the middle of a value counts as well."""


_MARKS = re.compile(r"[:=\s]|psk_")
"""Texts without any of these hold no credentials: most are paths and ids, a line for every call."""


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor: values of secret keys, at any depth, and credentials inside texts are blotted out."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if _is_secret(key) and value:
        return REDACTED
    if isinstance(value, Mapping):
        return {str(inner): _clean(str(inner), each) for inner, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", each) for each in value]
    if isinstance(value, str) and len(value) > _SHORTEST and _MARKS.search(value):
        for pattern, instead in _TEXTS:
            value = pattern.sub(instead, value)
    return value


def _leave_nothings_out(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor for lines that people read; programs find all keys in each JSON line."""
    return {key: value for key, value in event.items() if value is not None}


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return re.sub(r"[^a-z]", "", key.lower()) in _SECRET_KEYS


def configure_logs(form: Literal["console", "json"], level: str) -> None:
    """Send the lines of structlog and of the standard library's loggers through one chain to the standard error."""
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
        if form == "json"
        # Its own choice of traceback would print the values of local variables, a caller's keys among them.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if form == "json" else [_leave_nothings_out]),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The server says itself when it starts, stops and answers; migrations tell of every look at the catalog.
    for chatty in ("uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
