"""Click options made from the settings table."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.settings import Setting, settings_table

__all__ = ["CATALOG_SETTINGS", "settings_options"]

F = TypeVar("F", bound=Callable[..., Any])


CATALOG_SETTINGS = ("data_dir", "catalog", "secret_key_file")
"""What tells where a server's catalog is."""


def settings_options(command: F, only: Collection[str] = ()) -> F:
    """Decorate a command with one option per setting, or with ``only`` some of them, and ``--config``.

    The command gets ``config`` and, by field name, what was given on the command line: hand them to
    :func:`penstock.settings.load_settings`, which also reads the environment, fills defaults in and checks values.
    """
    for row in reversed([row for row in settings_table() if row.flag and (not only or row.name in only)]):
        command = _option(row)(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="TOML file with settings. [env: PENSTOCK_CONFIG]",
    )(command)


def _option(row: Setting) -> Callable[[F], F]:
    unit = f" In {row.unit}." if row.unit else ""
    text = f"{row.help}{unit} [default: {row.default}; env: {row.environment}]"
    if row.boolean:
        return click.option(f"{row.flag}/{row.flag.replace('--', '--no-', 1)}", row.name, default=None, help=text)
    kind = click.Choice(row.choices) if row.choices else None
    return click.option(row.flag, row.name, type=kind, multiple=row.repeatable, help=text)
