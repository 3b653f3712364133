"""The calls behind a page, to copy: as curl, in Python, and for the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

V2 = "/v2/vectordb"
_CLIENT = """import os
import penstock

client = penstock.Client(os.environ["PENSTOCK_URL"], os.environ.get("PENSTOCK_API_KEY", ""))
"""


@dataclass(frozen=True, slots=True)
class Copies:
    """The same call three times. ``$PENSTOCK_URL`` and ``$PENSTOCK_API_KEY`` stand for what a page never shows."""

    curl: str
    python: str
    cli: str


def copies(path: str, body: Mapping[str, Any], *, python: str, cli: str) -> Copies:
    """The copies of a v2 call; ``path`` is below ``/v2/vectordb``."""
    content = json.dumps(body, ensure_ascii=False)
    curl = (
        f'curl -sS "$PENSTOCK_URL{V2}{path}" -H "Authorization: Bearer $PENSTOCK_API_KEY" \\\n'
        f"  -H 'Content-Type: application/json' -d {shlex.quote(content)}"
    )
    return Copies(curl=curl, python=_CLIENT + python, cli=cli)


def command(*words: str) -> str:
    """A shell command with its words quoted; empty ones are left out."""
    return " ".join(shlex.quote(word) for word in words if word)
