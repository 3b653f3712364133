"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["examples"]


def examples(each_run: int, at_length: int) -> int:
    """``each_run`` in `make test`, the same ones each time; ``at_length`` in `make test-all`, others each time."""
    return each_run if settings.get_current_profile_name() == "repeatable" else at_length
