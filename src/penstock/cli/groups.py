"""Command groups that refuse old names, and propose the nearest name for a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click

from penstock.cli.renamed import refuse_renamed


class Group(click.Group):
    """A command group whose errors name the command that was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        refuse_renamed(ctx, args[0])
        refuse_unknown(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def refuse_unknown(ctx: click.Context, name: str, commands: Iterable[str]) -> None:
    """Refuse a command that doesn't exist.

    Raises:
        click.UsageError: names the nearest command, else all of them.
    """
    names = list(commands)
    if name in names or name.startswith("-") or ctx.resilient_parsing:
        return
    hint = did_you_mean(name, names) or f"Commands: {', '.join(names)}."
    raise click.UsageError(f"No such command {name!r}. {hint}", ctx)


def choices_named(error: click.NoSuchOption) -> list[str]:
    """The options with a choice of an unknown option's name: ``--write-mode upsert`` for ``--upsert``."""
    if error.ctx is None:
        return []
    choice = error.option_name.lstrip("-").replace("-", "_")
    return [
        f"{option.opts[-1]} {choice}"
        for option in error.ctx.command.params
        if isinstance(option.type, click.Choice) and choice in option.type.choices
    ]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``Did you mean 'jobs'?``; empty if no name is near."""
    near = get_close_matches(name.lower(), [each.lower() for each in names], n=3)
    found = [each for match in near for each in names if each.lower() == match]
    return f"Did you mean {' or '.join(map(repr, dict.fromkeys(found)))}?" if found else ""
