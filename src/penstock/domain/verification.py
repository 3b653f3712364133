"""The result of the option ``verify``, as it stands on a job: in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def verification_text(result: Mapping[str, Any]) -> str:
    """Say what was compared, or that the job's warnings have what didn't fit."""
    if not result.get("ok"):
        return "no, see the warnings"
    sampled = sum(file["sampledRows"] for file in result["files"])
    hits, searched = (sum(search[name] for search in result["searches"]) for name in ("hits", "searched"))
    return (
        f"{result['readRows']:,} rows counted, {sampled:,} sampled rows equal, "
        f"{hits:,} of {searched:,} searches find their row"
    )
