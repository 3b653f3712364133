"""The query vector of a search: JSON, a file, or the standard input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from penstock.cli.standard_input import stdin_text

_FILE = re.compile(r"@(?P<path>.+?)(?:\[(?P<row>\d+)\])?\Z", re.DOTALL)
_FORMS = "write a list as '[0.1, 0.2]', {\"index\": value} for sparse ones, or @FILE.npy"


def parse_vector(text: str) -> Any:
    """Parse ``[0.1, 0.2]``, ``{"3": 0.5}``, ``@file.npy``, ``@file.json``, ``@file.npy[7]`` (one row), or ``-``.

    Raises:
        click.BadParameter: it is none of them, or the file has no vector.
    """
    if text == "-":
        return _only_vector(_json(stdin_text(), "the standard input"), "-", None)
    match = _FILE.match(text)
    if match is None:
        return _only_vector(_json(text, "it"), "it", None)
    path, row = Path(match["path"]), match["row"]
    if not path.exists() and Path(text[1:]).exists():  # a file whose own name ends in brackets
        path, row = Path(text[1:]), None
    value = _array(path) if path.suffix.lower() == ".npy" else _json(_content(path), str(path))
    return _only_vector(value, str(path), None if row is None else int(row))


def _only_vector(value: Any, place: str, row: int | None) -> Any:
    """The vector, or the row asked for of a list of vectors."""
    is_list_of_vectors = isinstance(value, list) and bool(value) and isinstance(value[0], list | dict | bytes)
    if not is_list_of_vectors:
        if not isinstance(value, list | dict | bytes):
            raise _wrong(_FORMS)
        if row is not None:
            raise _wrong(f"{place} has one vector; leave out [{row}]")
        return value
    if row is None and len(value) > 1:
        raise _wrong(f"{place} has {len(value):,} vectors; choose one: --vector '@FILE[0]'")
    if (row or 0) >= len(value):
        raise _wrong(f"{place} has {len(value):,} vectors; the last is [{len(value) - 1}]")
    return value[row or 0]


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"{place} is not JSON: {error}. Or {_FORMS}") from None


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(f"{path} cannot be read as JSON: {error}") from None


def _array(path: Path) -> Any:
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _wrong(f"{path} cannot be read as .npy: {error}") from None
    if not isinstance(array, np.ndarray) or array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise _wrong(f"{path} must hold an array of numbers with one or two axes")
    if array.dtype == np.uint8:  # the bytes of binary vectors
        return array.tobytes() if array.ndim == 1 else [row.tobytes() for row in array]
    return array.tolist()


def _wrong(why: str) -> click.BadParameter:
    return click.BadParameter(why, param_hint="--vector")
