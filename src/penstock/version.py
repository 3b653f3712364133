"""The distribution's name and version."""

from __future__ import annotations

from functools import cache
from typing import Final

DISTRIBUTION: Final = "penstock-import"
"""The name to install this package by. ``penstock`` on the public index is another project."""


@cache
def package_version() -> str:
    """Return the version of the installed distribution."""
    from importlib.metadata import version  # takes longer to import than all the rest

    return version(DISTRIBUTION)
