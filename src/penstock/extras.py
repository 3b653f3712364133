"""The extras of the distribution: the modules that optional parts need, and the error for those that are missing."""

from __future__ import annotations

from importlib.util import find_spec

from penstock.errors import MissingExtra
from penstock.version import DISTRIBUTION

SERVER_MODULES = (
    "alembic",
    "argon2",
    "cachetools",
    "cryptography",
    "google.protobuf",
    "grpc",
    "httptools",
    "jinja2",
    "lance",
    "lark",
    "obstore",
    "prometheus_client",
    "psutil",
    "pydantic",
    "pymilvus",
    "snowballstemmer",
    "sqlalchemy",
    "starlette",
    "structlog",
    "uvicorn",
)
"""Modules of the distributions of the extra ``server``, but uvloop and isal, which the server runs without."""


def require_server() -> None:
    """Check that the extra ``server`` is installed; part of it may be there for other reasons.

    Raises:
        MissingExtra: the message has the command that installs it.
    """
    require_extra("server", *SERVER_MODULES, reason="the server and its commands are not installed")


def require_extra(extra: str, *modules: str, reason: str, otherwise: str = "") -> None:
    """Check that the modules of an extra can be imported, without importing them.

    Args:
        reason: the first half of the error message: what needs the extra.
        otherwise: what the user may do instead, after the command that installs it.

    Raises:
        MissingExtra: one of the modules is missing.
    """
    missing = next((module for module in modules if not _is_installed(module)), None)
    if missing is not None:
        remedy = f"pip install '{DISTRIBUTION}[{extra}]'{otherwise and f', or {otherwise}'}"
        raise MissingExtra(f"{reason} (no module {missing}): {remedy}", extra=extra, module=missing)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that the module is in
        return False
