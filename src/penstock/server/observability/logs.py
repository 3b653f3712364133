"""Structured logs: console or JSON lines on stderr, with secrets redacted."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from penstock.domain.control_characters import escape_controls

REDACTED = "[redacted]"
_SHORTEST = 8
_SECRET_KEYS = frozenset(
    {"accesskey", "secretkey", "token", "sessiontoken", "securitytoken", "authorization", "apikey", "password", "ezk"}
)
_TEXTS = (
    (re.compile(r"\b(Bearer|Basic)\s+\S+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"\b(X-Amz-(?:Signature|Credential|Security-Token)|sig)=[^&\s]+", re.IGNORECASE), rf"\1={REDACTED}"),
    (re.compile(r"\bps[ks]_[A-Za-z0-9_-]{43}"), REDACTED),
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
"""Patterns of credentials inside texts: headers, queries, API keys, URLs, and ``name: value`` as JSON, Python and
settings write it, also where a value is truncated."""


_MARKS = re.compile(r"[:=\s]|ps[ks]_")
"""Quick check: texts without a match hold no credentials. Most are paths and ids, a line for every call."""


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Redact values of secret keys, at any depth, and credentials inside texts; a structlog processor."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if _is_secret(key) and value:
        return REDACTED
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), nested) for name, nested in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", item) for item in value]
    if isinstance(value, str) and len(value) > _SHORTEST and _MARKS.search(value):
        for pattern, replacement in _TEXTS:
            value = pattern.sub(replacement, value)
    return value


def _drop_nones(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Drop keys with None from console lines; JSON lines keep all keys. A structlog processor."""
    return {key: value for key, value in event.items() if value is not None}


def _escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escape control characters in console lines, where paths of strangers are shown. A structlog processor."""
    return {key: escape_controls(value) if isinstance(value, str) else value for key, value in event.items()}


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return re.sub(r"[^a-z]", "", key.lower()) in _SECRET_KEYS


class _Logger(structlog.WriteLogger):
    """Writes lines to stderr, with the name that ``structlog.get_logger`` is given."""

    def __init__(self, name: str = "penstock") -> None:
        super().__init__(sys.stderr)
        self.name = name

    def msg(self, message: str) -> None:
        """Write a line. One that can't be written, as on a full disk, doesn't fail what logs it."""
        with suppress(OSError, ValueError):
            super().msg(message)

    debug = info = warning = error = critical = exception = fatal = msg


def configure_logs(form: Literal["console", "json"], level: str) -> None:
    """Send structlog's events and the standard library's log records through one processor chain to stderr.

    Events don't become log records on their way: a line for each call takes half the time without.
    """
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
        if form == "json"
        # The default traceback would print the values of local variables, a caller's keys among them.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    rendering: list[Processor] = [renderer] if form == "json" else [_drop_nones, _escape_controls, renderer]
    structlog.configure(
        processors=[*chain, *rendering],
        logger_factory=_Logger,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The server itself logs start, stop and answers; Alembic logs every check of the catalog.
    for chatty in ("uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
