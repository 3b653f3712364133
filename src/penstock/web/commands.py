"""The calls behind a page, to copy: as curl, in Python, and for the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

V2 = "/v2/vectordb"
_URL = "http://127.0.0.1:19530"
_CLIENT = f"""import os
import penstock

client = penstock.Client(
    os.environ.get("PENSTOCK_URL", "{_URL}"),
    os.environ.get("PENSTOCK_API_KEY", ""),%s
)
"""
DEFAULT_DATABASE = "default"


@dataclass(frozen=True, slots=True)
class Copies:
    """The same call three times, as it can be run: ``$PENSTOCK_URL`` and ``$PENSTOCK_API_KEY`` are the reader's."""

    curl: str
    python: str
    cli: str


def copies(
    path: str, body: Mapping[str, Any], *, python: str, cli: str, database: str = DEFAULT_DATABASE, cluster: str = ""
) -> Copies:
    """The copies of a v2 call; ``path`` is below ``/v2/vectordb``.

    Args:
        database, cluster: those of the Python client.
    """
    content = json.dumps(body, ensure_ascii=False)
    curl = (
        f'curl -sS "${{PENSTOCK_URL:-{_URL}}}{V2}{path}" -H "Authorization: Bearer $PENSTOCK_API_KEY" \\\n'
        f"  -H 'Content-Type: application/json' -d {shlex.quote(content)}"
    )
    chosen = {"cluster_id": cluster, "database": "" if database == DEFAULT_DATABASE else database}
    arguments = "".join(f"\n    {name}={value!r}," for name, value in chosen.items() if value)
    return Copies(curl=curl, python=_CLIENT % arguments + python, cli=cli)


def database_flag(database: str) -> tuple[str, ...]:
    """``--database`` for a command, unless it is the one that commands work in by default."""
    return () if database == DEFAULT_DATABASE else ("--database", database)


def command(*words: str) -> str:
    """A shell command with its words quoted; empty ones are left out."""
    return " ".join(shlex.quote(word) for word in words if word)
