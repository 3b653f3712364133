"""Flags of ``penstock import`` for import options, made from the table of options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click

from penstock.domain.import_options import IMPORT_OPTIONS, ImportOption


def option_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flag of every import option that has one; :func:`options_of` takes their values."""
    return _with_flags(command, [option for option in IMPORT_OPTIONS if option.has_flag])


def file_option_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of the import options that say how files are read."""
    return _with_flags(command, [option for option in IMPORT_OPTIONS if option.has_flag and option.is_of_files])


def _with_flags(command: Callable[..., None], options: Sequence[ImportOption]) -> Callable[..., None]:
    for option in reversed(options):
        command = _flag(option)(command)
    return command


def reading_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of :func:`option_flags` that decide how files are read."""
    for option in reversed(IMPORT_OPTIONS):
        if option.has_flag and not option.is_of_job:
            command = _flag(option)(command)
    return command


def options_of(flags: Mapping[str, str | bool | None]) -> dict[str, str]:
    """The import options that the flags of :func:`option_flags` set."""
    return {name: "true" if value is True else str(value) for name, value in flags.items() if value}


def options_with_pairs(pairs: Sequence[str], flags: Mapping[str, str]) -> dict[str, str]:
    """The import options of ``--option KEY=VALUE`` and of flags, which win.

    Raises click.UsageError: a pair is not KEY=VALUE, or an option is unknown.
    """
    from penstock.sdk.v2_calls import checked_options

    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE, such as timeout=300s", param_hint="--option")
        options[key] = value
    options |= flags
    try:
        return checked_options(options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _flag(option: ImportOption) -> Callable[[Callable[..., None]], Callable[..., None]]:
    default = f" [default: {option.default}]" if option.default else ""
    if option.is_boolean:
        return click.option(option.flag, option.name, is_flag=True, help=f"{option.help}.")
    if option.values:
        return click.option(
            option.flag, option.name, type=click.Choice(option.values), help=f"{option.help}.{default}"
        )
    return click.option(option.flag, option.name, metavar=option.metavar, help=f"{option.help}.{default}")
