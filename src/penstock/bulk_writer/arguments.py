"""Validate the arguments of writers, so that a wrong type is rejected at construction, not at a later row."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from penstock.errors import InvalidParameter
from penstock.writers.file_type import BulkFileType

__all__ = ["file_type_of", "flag", "folder_path", "string_mapping", "whole_number"]


def whole_number(name: str, value: Any, *, least: int = 1) -> int:
    """Validate an integer; NumPy integers are accepted, booleans and floats are not.

    Raises:
        InvalidParameter: not an integer, or smaller than ``least``.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise InvalidParameter(f"{name} is a whole number, not {value!r}")
    if number < least:
        raise InvalidParameter(f"{name} is {least} or more, not {number}")
    return number


def file_type_of(value: Any) -> BulkFileType:
    """Validate a file type. Raises InvalidParameter."""
    try:
        return BulkFileType(value)
    except ValueError:
        names = ", ".join(f"BulkFileType.{kind.name}" for kind in BulkFileType)
        raise InvalidParameter(f"file_type is one of {names}, not {value!r}") from None


def folder_path(name: str, value: Any) -> Path:
    """Validate a path. Raises InvalidParameter."""
    if not isinstance(value, str | PurePath):
        raise InvalidParameter(f"{name} is a path (str or Path), not {value!r}")
    return Path(value)


def flag(name: str, value: Any) -> bool:
    """Validate a boolean. Raises InvalidParameter."""
    if not isinstance(value, bool):
        raise InvalidParameter(f"{name} is True or False, not {value!r}")
    return value


def string_mapping(name: str, value: Any) -> Mapping[str, str]:
    """Validate a mapping of strings; None becomes an empty one. Raises InvalidParameter."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidParameter(f"{name} is a dict of texts, not {value!r}")
    for key, text in value.items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise InvalidParameter(f"{name} is a dict of texts; {key!r} is {text!r}")
    return value
