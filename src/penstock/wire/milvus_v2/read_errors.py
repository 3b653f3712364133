"""The texts of errors in calls that read rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import FieldNotFound, InvalidFilter, InvalidParameter, PartitionNotFound


@contextmanager
def read_errors() -> Iterator[None]:
    """Translate errors to the texts of reading calls."""
    try:
        yield
    except InvalidFilter as error:
        raise InvalidParameter(f"failed to create query plan: {error}") from error
    except (FieldNotFound, PartitionNotFound) as error:
        raise InvalidParameter(str(error)) from error
