"""Errors of calls as Milvus has them: those that read rows, and those that create collections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import (
    FieldNotFound,
    InvalidFilter,
    InvalidName,
    InvalidParameter,
    InvalidSchema,
    MissingParameter,
    PartitionNotFound,
    shorten_name,
)
from penstock.wire.milvus.errors import Refused


@contextmanager
def read_errors() -> Iterator[None]:
    """Translate errors to the texts of reading calls."""
    try:
        yield
    except InvalidFilter as error:
        raise InvalidParameter(f"failed to create query plan: {error}") from error
    except (FieldNotFound, PartitionNotFound) as error:
        raise InvalidParameter(str(error)) from error


@contextmanager
def creating() -> Iterator[None]:
    """Translate errors of a new collection to Milvus's error numbers."""
    try:
        yield
    except InvalidName as error:
        if error.details.get("kind") == "field":
            raise Refused(1701, str(error)) from error
        raise
    except InvalidSchema as error:
        if "missing" in error.details or error.details.get("rule") == "primary":
            raise MissingParameter(str(error), **error.details) from error
        if str(error).startswith("invalid parameter, "):
            raise Refused(1100, str(error)) from error
        raise
    except FieldNotFound as error:
        name = shorten_name(str(error.details["field"]))
        raise Refused(1802, f"missing required parameters, error: `{name}` hasn't defined in schema") from error
