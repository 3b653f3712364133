"""The settings as rows, for ``--help``, the documentation and messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from pydantic import ByteSize, SecretStr

from penstock.settings.model import Settings
from penstock.settings.names import flag_of, variable_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table.

    ``flag`` is "" for secrets; ``default`` is display text; ``choices`` is empty if any value is allowed.
    """

    name: str
    flag: str
    environment: str
    default: str
    unit: str
    help: str
    reason: str
    choices: tuple[str, ...]
    repeatable: bool
    boolean: bool
    secret: bool


def settings_table() -> Sequence[Setting]:
    """Return every setting, in the order of :class:`Settings`."""
    return tuple(row_of(name) for name in Settings.model_fields)


def row_of(name: str) -> Setting:
    info = Settings.model_fields[name]
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    secret = SecretStr in get_args(info.annotation)
    is_choice = get_origin(info.annotation) is Literal
    return Setting(
        name=name,
        flag="" if secret else flag_of(name),
        environment=variable_of(name),
        default=str(extra["shown"]) or _shown(info.default),
        unit=str(extra["unit"]),
        help=info.description or "",
        reason=str(extra["reason"]),
        choices=tuple(str(arg) for arg in get_args(info.annotation)) if is_choice else (),
        repeatable=get_origin(info.annotation) is tuple,
        boolean=info.annotation is bool,
        secret=secret,
    )


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, ByteSize):
        return default.human_readable(separator="")
    return str(default).lower() if isinstance(default, bool) else str(default)
