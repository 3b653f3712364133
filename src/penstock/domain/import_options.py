"""The options of an import call: their names, and the syntax of a separator."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

SERVED_OPTIONS = frozenset(
    {"auto_commit", "datasets", "drop_columns", "mapping", "nullkey", "sep", "timeout", "unknown_columns"}
)
"""Options that this server supports. The ``FormatSpec`` of a format declares those that belong to it."""
_OF_MILVUS = frozenset(
    {
        "backup",
        "endTs",
        "end_ts",
        "ezk",
        "l0_import",
        "skip_disk_quota_check",
        "startTs",
        "start_ts",
        "storage_version",
    }
)
"""Options of Milvus that only concern its backups."""
_OF_CLIENTS = frozenset({"scene", "sdk"})
"""Options that the Java SDK adds to every call; they have no effect."""
_OTHER_NAMES = {"delimiter": "sep", "delim": "sep", "null": "nullkey", "nullvalue": "nullkey", "navalues": "nullkey"}
"""Names of these options in other programs."""
_MAX_NAMED = 10
_MAX_NAME = 100
_ESCAPE = re.compile(
    r"\\(?:(?P<tab>t)|x(?P<hex>[0-9a-fA-F]{2})|u(?P<unicode>[0-9a-fA-F]{4})|(?P<octal>[0-3]?[0-7]{1,2}))"
)


def parse_separator(text: str) -> str:
    """Parse a separator as shells and configuration files write it: ``\\t``, ``\\x01``, ``\\u0001`` or ``\\001``.

    Any other text, ``\\\\`` for one backslash excepted, stays as it is.
    """
    if text == "\\\\":
        return "\\"
    match = _ESCAPE.fullmatch(text)
    if match is None:
        return text
    if match["tab"]:
        return "\t"
    return chr(int(match["octal"], 8) if match["octal"] else int(match["hex"] or match["unicode"], 16))


def unknown_option(name: str) -> str | None:
    """Describe an option unknown to this server and Milvus, with the nearest one; None for a known option."""
    if name in SERVED_OPTIONS | _OF_MILVUS | _OF_CLIENTS:
        return None
    near = _nearest(name)
    shown = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"
    hint = f"Did you mean {near!r}?" if near else f"Options are {', '.join(sorted(SERVED_OPTIONS))}"
    return f"option {shown!r} is unknown. {hint}"


def option_warnings(names: Iterable[str]) -> Sequence[str]:
    """Return the texts of a job's warnings about ignored options, which Milvus ignores silently; bounded."""
    texts = [f"{text} It was ignored" for name in sorted(names) if (text := _ignored(name))]
    if len(texts) > _MAX_NAMED:
        texts[_MAX_NAMED:] = [f"{len(texts) - _MAX_NAMED} more unknown options. They were ignored"]
    return texts


def _ignored(name: str) -> str | None:
    if name in _OF_MILVUS:
        return f"option {name!r} only concerns backups of Milvus, which are not imported."
    text = unknown_option(name)
    return text if text is None or text.endswith("?") else f"{text}."


def _nearest(name: str) -> str | None:
    plain = re.sub(r"[^a-z0-9]", "", name[:_MAX_NAME].lower())
    by_plain = {option.replace("_", ""): option for option in sorted(SERVED_OPTIONS)} | _OTHER_NAMES
    beginning = [
        alias for alias in by_plain if len(plain) > 2 and (plain.startswith(alias) or alias.startswith(plain))
    ]
    near = beginning or difflib.get_close_matches(plain, by_plain, n=1)
    return by_plain[near[0]] if near else None
