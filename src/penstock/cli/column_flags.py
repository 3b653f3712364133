"""The flags that say where fields get their values from: ``--column``, ``--cast``, ``--path``, ``--constant`` …"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


_OPTIONS = (
    click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="FIELD=COLUMN",
        help="The column of a field, or several for a vector or array: FIELD=X0,X1; repeatable.",
    ),
    click.option(
        "--cast",
        "casts",
        multiple=True,
        metavar="FIELD=TYPE",
        help="Read a field's column as a type, such as VarChar, and cast it; repeatable.",
    ),
    click.option(
        "--path",
        "nested",
        multiple=True,
        metavar="FIELD=PATH",
        help="A field within a column of objects: FIELD=doc.titles[0]; repeatable.",
    ),
    click.option(
        "--constant", "constants", multiple=True, metavar="FIELD=VALUE", help="One value for all rows; repeatable."
    ),
    click.option("--drop", "dropped", multiple=True, metavar="COLUMN", help="Leave a column out; repeatable."),
    click.option(
        "--gather-rest",
        is_flag=True,
        help="Keep columns without a field as dynamic values: --unknown-columns dynamic.",
    ),
)


def mapping_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of this module; :func:`mapping_flags` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def mapping_flags(flags: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]:
    """The import option ``mapping``, the columns to drop, and the other flags of a command.

    Raises click.UsageError as :func:`mapping_of`, and where --gather-rest contradicts another flag.
    """
    rest = dict(flags)
    columns, casts, nested, constants, dropped, gather_rest = (
        rest.pop(name) for name in ("columns", "casts", "nested", "constants", "dropped", "gather_rest")
    )
    if gather_rest:
        if rest["unknown_columns"] not in (None, "dynamic"):
            raise click.UsageError(
                f"--gather-rest contradicts --unknown-columns {rest['unknown_columns']}: give one of them"
            )
        rest["unknown_columns"] = "dynamic"
    return mapping_of(columns, casts, nested, constants), dropped, rest
