"""Renamed commands and options; an old name is refused with an error that gives the new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

RENAMED_COMMANDS: Mapping[str, str] = {
    "penstock write": "penstock convert",
    "penstock jobs show": "penstock jobs describe",
    "penstock orgs show": "penstock orgs describe",
    "penstock users password": "penstock users set-password",
    "penstock users withdraw": "penstock users revoke-role",
}


def refuse_renamed(ctx: click.Context, name: str) -> None:
    """Refuse the old name of a command.

    Raises:
        click.UsageError: names the new command.
    """
    old = f"{ctx.command_path} {name}"
    if old in RENAMED_COMMANDS:
        raise click.UsageError(f"'{old}' is now '{RENAMED_COMMANDS[old]}'.", ctx)


def renamed_option(old: str, new: str, *, is_flag: bool = False) -> Callable[[F], F]:
    """Decorate a command with the hidden option ``old``, whose use is an error that names ``new``."""

    def refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value and not ctx.resilient_parsing:
            raise click.UsageError(f"{old} is now {new}.", ctx)

    name = f"{old}/--no-{old.removeprefix('--')}" if is_flag else old
    return click.option(
        name,
        hidden=True,
        expose_value=False,
        allow_from_autoenv=False,
        default=None,
        multiple=not is_flag,
        callback=refuse,
    )
