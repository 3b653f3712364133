"""The flags ``--column``, ``--cast``, ``--path`` and ``--constant`` of ``penstock import``: sources of fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click


def mapping_of(
    columns: Sequence[str], casts: Sequence[str], paths: Sequence[str], constants: Sequence[str]
) -> dict[str, Any]:
    """The import option ``mapping`` that flags mean.

    Raises click.UsageError: a flag is not FIELD=…, or two of them contradict each other.
    """
    mapping: dict[str, Any] = {}
    for field, column in _pairs(columns, "--column", "vector=embedding"):
        if field in mapping:
            raise click.UsageError(f"--column names the field {field!r} twice: a field has one source")
        names = column.split(",")
        mapping[field] = {"columns": names} if len(names) > 1 else column
    for field, kind in _pairs(casts, "--cast", "price=VarChar"):
        column = mapping.get(field, field)
        if not isinstance(column, str):
            raise click.UsageError(f"--cast of the field {field!r}: it has a cast already, or several columns")
        mapping[field] = {"column": column, "cast": kind}
    for flag, key, texts, example in (
        ("--path", "path", paths, "title=doc.titles[0]"),
        ("--constant", "value", constants, "country=DE"),
    ):
        for field, value in _pairs(texts, flag, example):
            if field in mapping:
                raise click.UsageError(f"{flag} of the field {field!r}: it has another source already")
            mapping[field] = {key: value}
    return mapping


def _pairs(texts: Sequence[str], flag: str, example: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        field, equals, value = text.partition("=")
        if not (field and equals and (value or flag == "--constant")):
            kind = {"--column": "COLUMN", "--cast": "TYPE", "--path": "PATH"}.get(flag, "VALUE")
            raise click.BadParameter(f"{text!r} is not FIELD={kind}, such as {example}", param_hint=flag)
        yield field, value
