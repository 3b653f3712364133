"""Names of settings on the command line and in the environment."""

from __future__ import annotations

ENVIRONMENT_PREFIX = "PENSTOCK_"


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper()
