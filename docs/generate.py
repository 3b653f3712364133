"""Write the pages that are made from tables in the code: ``make docs``. A test compares them with what is written."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

import penstock
from docs.error_meanings import MEANINGS
from penstock.cli.main import cli
from penstock.errors import PenstockError, Transient
from penstock.server.http.app import PLAIN_ROUTES
from penstock.server.http.routes import dialect_routes
from penstock.server.options import CATALOG_SETTINGS
from penstock.server.services import Services
from penstock.settings import Setting, load_settings, settings_table
from penstock.wire.http import Route
from penstock.wire.milvus_v2.errors import MILVUS, ZILLIZ
from penstock.wire.milvus_v2.errors import TIMEOUT as V2_TIMEOUT
from penstock.wire.milvus_v2.parameter_docs import TABLES
from penstock.wire.zilliz_v1.errors import INTERNAL as V1_INTERNAL
from penstock.wire.zilliz_v1.errors import ROWS as V1
from penstock.wire.zilliz_v1.errors import UNAVAILABLE as V1_UNAVAILABLE

__all__ = ["PAGES", "SERVER_COMMANDS", "all_commands", "all_error_classes", "all_routes"]

FOLDER = Path(__file__).parent
SERVER_COMMANDS = frozenset({"penstock serve", "penstock doctor"})
"""Their options are the settings."""
CONNECTING = ("url", "api_key", "database")
ADMINISTERING = ("config", *CATALOG_SETTINGS)

MADE = "<!-- Made by `make docs` from the tables in the code; don't edit. -->\n"


def settings_page() -> str:
    rows = [
        (
            f"`{each.name}`",
            f"`{each.flag}`" if each.flag else "none: secret",
            f"`{each.environment}`",
            _cell(each.default),
            _cell(" ".join(filter(None, [each.help, _values(each), each.reason]))),
        )
        for each in settings_table()
    ]
    return f"""# Settings of `penstock serve`
{MADE}
Each setting is a flag, an environment variable, and a key of the TOML file that `--config FILE` (or
`PENSTOCK_CONFIG`) names. The first of these that is given counts: flag, variable, file, default. Secrets have no
flag, since others on the machine can read those. A flag that may be repeated is a list in the file, and in the
variable several values with commas between them. Relative paths are taken from the working directory.

```toml
# penstock.toml
data_dir = "/var/lib/penstock"
import_root = ["/data/files", "s3://bucket/prefix"]
list_window = "3d"
```

{_table(["Key", "Flag", "Variable", "Default", "Meaning"], rows)}"""


def _values(setting: Setting) -> str:
    """What a setting may be, where its help doesn't tell: a unit that is only counted is in there already."""
    if setting.choices:
        return f"One of {', '.join(f'`{choice}`' for choice in setting.choices)}."
    return f"In {setting.unit}." if ";" in setting.unit else ""


def cli_page() -> str:
    commands = dict(all_commands(cli, "penstock"))
    sections = [_command_section(path, command) for path, command in commands.items()]
    connecting = _options_table(
        "penstock collections list", _options_named(commands["penstock collections list"], CONNECTING)
    )
    return f"""# The command line
{MADE}
Exit codes: **0** done, **1** failed (what was asked couldn't be done, or a job failed or was aborted), **2** wrong
usage, **3** a job still goes on after the time that one was ready to wait, **130** interrupted by Ctrl-C.

Results go to the standard output, progress and errors to the standard error. `--json` prints what programs can read.
Every option can be given by an environment variable too; of an option that may be repeated, the variable holds
several values separated by blanks (those of the server's settings, by commas). `REQUESTS_CA_BUNDLE` names a file of
trusted issuers for servers with certificates of their own.

## Where the server is

Every command that talks to a server takes these:

{connecting}
## Where the catalog is

Commands for administrators (`keys`, `users`, `audit`, `orgs`, `clusters`) work on the catalog itself, with or without
a server, and find it by `--config`, `--data-dir`, `--catalog-url` and `--encryption-key-file`, which are the server's
[settings](settings.md), with their variables. Give them as the server has them.

{"".join(sections)}"""


def errors_page() -> str:
    rows = []
    for kind in all_error_classes():
        rows.append(
            (
                f"`{kind.code}`",
                _cell(MEANINGS[kind.code]),
                "yes" if issubclass(kind, Transient) else "no",
                _v1_numbers(kind),
                str(_row(MILVUS, kind).code),
                str(_row(ZILLIZ, kind).code),
            )
        )
    return f"""# Errors
{MADE}
Inside, every error has a stable code, and logs and reasons of jobs are made of these. On the wire each dialect has
its own numbers: `{{"code": 1100, "message": "…"}}`. The same number may stand for several errors; the message tells
them apart. **Try again** says whether the very same call may succeed later; jobs do so by themselves.

The HTTP status is 200, since clients drop the body of anything else, with a few exceptions. A call that takes too
long answers 408 (v1: {V1_UNAVAILABLE}, v2: {V2_TIMEOUT}), an error that nobody foresaw 500, and Milvus's calls answer
401, 403 and 429 to [who may not come in](access.md#what-callers-are-told).

A call without `clusterId` and `projectId` gets Milvus's numbers, one with either of them Zilliz Cloud's. Beside the
table, the v1 calls check their own parameters in the order that `src/penstock/wire/zilliz_v1/errors.py` lists.

{_table(["Code", "Meaning", "Try again", "v1", "v2", "v2, Zilliz profile"], rows)}"""


def endpoints_page() -> str:
    tags: dict[str, list[tuple[str, str]]] = {}
    for route in all_routes():
        about = route.operation
        text = " ".join(filter(None, [about.summary.rstrip(".") + ".", about.description]))
        tags.setdefault(about.tag, []).append((f"`{route.method} {route.path}`", _cell(text)))
    own = [(f"`GET {path}`", _cell(text)) for path, text in PLAIN_ROUTES.items()]
    sections = [
        f"## {tag[0].upper()}{tag[1:]}\n\n{_table(['Call', 'What it does'], rows)}" for tag, rows in tags.items()
    ]
    return f"""# HTTP calls
{MADE}
All on one port. A running server shows the bodies and answers of each call at `/docs`, and the same as a document at
`/openapi.json`. Most errors answer with HTTP status 200 and a number: see [errors.md](errors.md). Doubled slashes are
taken as one.

{chr(10).join(sections)}
## The server's own

{_table(["Call", "What it does"], own)}"""


def parameters_page() -> str:
    sections = []
    for table in TABLES:
        rows = [
            (
                ", ".join(f"`{name}*`" if name.endswith(".") else f"`{name}`" for name in row.names),
                row.effect.value,
                _cell(", ".join(filter(None, [row.about, f"({', '.join(sorted(row.types))})" if row.types else ""]))),
            )
            for row in table.rows
        ]
        sections.append(f"## {table.title}\n\n{_table(['Key', 'Effect', 'What it does, or why nothing'], rows)}")
    return f"""# Parameters of the Milvus calls
{MADE}
Objects of free keys in requests: what is **served**, what is taken and has **no effect**, and what is **refused**.
A key that is in none of these tables is refused with the nearest name, where Milvus ignores it. Those of import
options are warned of by the job.

{chr(10).join(sections)}
## What `indexes/describe` tells

`indexState` is `Finished` when nothing is due for the index, `InProgress` while a worker is at the collection's
indexes, `Unissued` while a build waits for one. `pendingRows` are the rows that wait for it; `indexedRows` all others
of `totalRows`. As in Milvus these are not only rows in the index: where none is built, since a search of so few
vectors (32 MB) or rows (10,000) is as quick without or the type has none ([indexes](indexes.md)), and of new rows as
long as fewer than 10,000 are beside the index, rows are searched exactly, and nothing is pending. So who waits for
`Finished`, or for no pending rows, comes to an end.
"""


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "errors.md": errors_page,
    "endpoints.md": endpoints_page,
    "parameters.md": parameters_page,
}


def all_commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below and with its path, as it is typed; groups come before what is in them."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from all_commands(inner, f"{path} {name}")


def all_routes() -> Sequence[Route]:
    """Every route of the dialects. They are only looked at, so no services stand behind them."""
    none = cast(Any, _Nothing())
    services = Services(
        settings=load_settings({}, environment={}),
        authentication=none,
        accounts=none,
        audit=none,
        imports=none,
        clusters=none,
        databases=none,
        collections=none,
        aliases=none,
        alterations=none,
        partitions=none,
        indexes=none,
        entities=none,
    )
    return dialect_routes(services)


class _Nothing:
    """Has every attribute."""

    def __getattr__(self, name: str) -> _Nothing:
        return self


def all_error_classes() -> Sequence[type[PenstockError]]:
    """One class per code, parents first."""
    for module in pkgutil.walk_packages(penstock.__path__, "penstock."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    found: dict[str, type[PenstockError]] = {}
    kinds: list[type[PenstockError]] = [PenstockError, *_subclasses(PenstockError)]
    for kind in kinds:
        found.setdefault(kind.code, kind)
    return list(found.values())


def _subclasses(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    for each in kind.__subclasses__():
        # Tests and programs may derive errors of their own.
        if each.__module__.startswith("penstock."):
            yield each
            yield from _subclasses(each)


def _command_section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    text = "\n\n".join(paragraphs)
    shared = [*_options_named(command, ADMINISTERING), *_connecting_options(command)]
    if path in SERVER_COMMANDS:
        shared = [option for option in _options(command) if not option.allow_from_autoenv]
    own = [option for option in _options(command) if option not in shared]
    parts = [f"{'#' * min(path.count(' ') + 2, 4)} `{path}`\n\n```\n{usage}\n```\n", f"{text}\n"]
    if path in SERVER_COMMANDS:
        parts.append(f"Its options are the [settings](settings.md){', and' if own else '.'}\n")
    if own:
        parts.append(_options_table(path, own))
    if _connecting_options(command):
        parts.append("And [where the server is](#where-the-server-is).\n")
    elif path not in SERVER_COMMANDS and shared:
        parts.append("And [where the catalog is](#where-the-catalog-is).\n")
    return "\n".join(parts) + "\n"


def _options(command: click.Command) -> Sequence[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option) and not param.hidden]


def _options_named(command: click.Command, names: Collection[str]) -> Sequence[click.Option]:
    return [option for option in _options(command) if option.name in names]


def _connecting_options(command: click.Command) -> Sequence[click.Option]:
    found = _options_named(command, CONNECTING)
    return found if len(found) == len(CONNECTING) else []  # a role's --database is something else


def _options_table(path: str, options: Sequence[click.Option]) -> str:
    return _table(["Option", "Variable", "Default", "Meaning"], [_option_row(option, path) for option in options])


def _option_row(option: click.Option, path: str) -> tuple[str, str, str, str]:
    names = ", ".join(f"`{opt}`" for opt in [*option.opts, *option.secondary_opts])
    if not option.is_flag:
        names += f" {option.make_metavar(click.Context(click.Command(path)))}"
    variable = str(option.envvar or "")
    is_given = isinstance(option.default, str | int | float) and not option.is_flag and option.default != ""
    is_given = is_given and option.show_default is not False
    default = f"`{option.default}`" if is_given else "required" if option.required else ""
    return names.replace("|", "\\|"), f"`{variable}`" if variable else "", default, _cell(option.help or "")


def _v1_numbers(kind: type[PenstockError]) -> str:
    if kind is PenstockError:  # its row is for kinds that have none; what nobody foresaw has a number of its own
        return str(V1_INTERNAL)
    row = _row(V1, kind)
    others = sorted(set(row.by_detail.values()) - {row.code})
    return ", ".join(map(str, [row.code, *others]))


def _row(table: Mapping[type[PenstockError], Any], kind: type[PenstockError]) -> Any:
    return next(table[each] for each in kind.__mro__ if each in table)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
