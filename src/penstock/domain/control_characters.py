"""Control characters in texts of callers and files, which a terminal would obey."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""C0 and C1 without tabulator and line feed."""


def escape_controls(text: str) -> str:
    """The text with control characters as escapes, such as ``\\x1b``; tabulators and line feeds stay."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
