"""Click options generated from the settings table."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.cli.renamed import renamed_option
from penstock.settings import RENAMED_SETTINGS, Setting, flag_of, row_of, settings_table

F = TypeVar("F", bound=Callable[..., Any])


CATALOG_SETTINGS = ("data_dir", "catalog_url", "encryption_key_file")
"""Settings that locate a server's catalog."""


def settings_options(command: F, only: Collection[str] = ()) -> F:
    """Decorate a command with one option per setting, or with ``only`` some of them, and ``--config``.

    The command gets ``config`` and, by field name, the options of the command line: pass them to
    :func:`penstock.settings.load_settings`, which also reads the environment (and splits lists in its own way), fills
    defaults in and checks values. So click reads no environment variables for them.
    """
    for old, new in RENAMED_SETTINGS.items():
        row = row_of(new)
        if row.flag and (not only or new in only):
            command = renamed_option(flag_of(old), row.flag, is_flag=row.boolean)(command)
    for row in reversed([row for row in settings_table() if row.flag and (not only or row.name in only)]):
        command = _option(row)(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        allow_from_autoenv=False,
        help="TOML file with settings. [env: PENSTOCK_CONFIG]",
    )(command)


def _option(row: Setting) -> Callable[[F], F]:
    unit = f" In {row.unit}." if row.unit else ""
    text = f"{row.help}{unit} [default: {row.default}; env: {row.environment}]"
    if row.boolean:
        flags = f"{row.flag}/{row.flag.replace('--', '--no-', 1)}"
        return click.option(flags, row.name, default=None, allow_from_autoenv=False, help=text)
    kind = click.Choice(row.choices) if row.choices else None
    return click.option(row.flag, row.name, type=kind, multiple=row.repeatable, allow_from_autoenv=False, help=text)
