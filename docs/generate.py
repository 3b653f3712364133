"""Write the pages that are made from tables in the code: ``make docs``. A test compares them with what is written."""

from __future__ import annotations

import importlib
import pkgutil
import string
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

import penstock
from docs.drop_in import drop_in_page
from docs.error_meanings import MEANINGS
from docs.markdown import MADE, cell, keys_cell, markdown_table
from penstock.cli.main import cli
from penstock.cli.server_options import CATALOG_SETTINGS
from penstock.domain.schema import DataType
from penstock.errors import PenstockError, Transient
from penstock.rules.forms import FORMS
from penstock.rules.rule import Rule
from penstock.rules.table import RULES, TYPE
from penstock.server.grpc.methods import grpc_methods
from penstock.server.http.app import PLAIN_ROUTES
from penstock.server.http.routes import dialect_routes
from penstock.server.services import Services
from penstock.settings import Setting, load_settings, settings_table
from penstock.targets.rule import Target, TargetRule
from penstock.targets.table import RULES as TARGET_RULES
from penstock.wire.http import Route
from penstock.wire.milvus.errors import MILVUS, ZILLIZ
from penstock.wire.milvus.errors import TIMEOUT as V2_TIMEOUT
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_v2.parameter_docs import TABLES
from penstock.wire.zilliz_v1.errors import INTERNAL as V1_INTERNAL
from penstock.wire.zilliz_v1.errors import ROWS as V1
from penstock.wire.zilliz_v1.errors import UNAVAILABLE as V1_UNAVAILABLE

__all__ = ["PAGES", "SERVER_COMMANDS", "all_commands", "all_error_classes", "all_routes"]

FOLDER = Path(__file__).parent
SERVER_COMMANDS = frozenset({"penstock backup", "penstock doctor", "penstock restore", "penstock serve"})
"""Their options are the settings."""
CONNECTING = ("url", "api_key", "database", "profile")
ADMINISTERING = ("config", *CATALOG_SETTINGS)


def settings_page() -> str:
    rows = [
        (
            f"`{setting.name}`",
            f"`{setting.flag}`" if setting.flag else "none: secret",
            f"`{setting.environment}`",
            cell(setting.default),
            cell(" ".join(filter(None, [setting.help, _values(setting), setting.reason]))),
        )
        for setting in settings_table()
    ]
    return f"""# Settings of `penstock serve`
{MADE}
Each setting is a flag, an environment variable, and a key of the TOML file given by `--config FILE` (or
`PENSTOCK_CONFIG`). Precedence: flag, variable, file, default. Secrets have no
flag, since other users of the machine can read arguments. A repeatable flag is a list in the file, and a
comma-separated list in the variable. Relative paths are relative to the working directory.

```toml
# penstock.toml
data_dir = "/var/lib/penstock"
import_root = ["/data/files", "s3://bucket/prefix"]
list_window = "3d"
```

{markdown_table(["Key", "Flag", "Variable", "Default", "Meaning"], rows)}"""


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
Exit codes: **0** success, **1** failure (the command failed, or a job failed or was aborted), **2** wrong
usage, **3** timeout while a job is still running, **130** interrupted by Ctrl-C.

Results are printed to standard output, progress and errors to standard error. `--json` prints machine-readable
output. Every option can also be set by an environment variable; for a repeatable option, the variable holds values
separated by spaces (settings of the server: by commas). `REQUESTS_CA_BUNDLE` names a file of trusted certificate
authorities, for servers with private certificates.

## Server options

Every command that calls a server has these options:

{connecting}
A profile names a server: `penstock profile add prod --url https://… --api-key-file key.txt`, then
`--profile prod` or `PENSTOCK_PROFILE=prod`. Options on the command line come before the profile, the profile before
the variables of these options. A profile's key is sent to its own address only, and never together with another
`--url`. Profiles are in `~/.config/penstock/profiles.toml` (or below `$XDG_CONFIG_HOME`), saved keys next to it in
`api-keys.toml`, which only their owner can read.

## Catalog options

Commands for administrators (`keys`, `users`, `audit`, `orgs`, `clusters`) work on the catalog directly, with or
without a running server, and locate it by `--config`, `--data-dir`, `--catalog-url` and `--encryption-key-file`,
which are the server's [settings](settings.md), with their variables. Use the same values as the server.

{"".join(sections)}"""


def errors_page() -> str:
    rows = []
    for kind in all_error_classes():
        rows.append(
            (
                f"`{kind.code}`",
                cell(MEANINGS[kind.code]),
                "yes" if issubclass(kind, Transient) else "no",
                _v1_numbers(kind),
                str(_row(MILVUS, kind).code),
                str(_row(ZILLIZ, kind).code),
            )
        )
    return f"""# Errors
{MADE}
Every error has a stable code, used in logs and in reasons of jobs. On the wire each dialect has its own numbers:
`{{"code": 1100, "message": "…"}}`. One number may cover several errors; the message distinguishes them.
**Transient** errors may disappear by themselves: the same call may succeed later; jobs retry them automatically.

The HTTP status is 200, since clients discard the body of other statuses, with a few exceptions. A call that times
out answers 408 (v1: {V1_UNAVAILABLE}, v2: {V2_TIMEOUT}), an unexpected error 500, and Milvus's calls answer 401,
403 and 429 to [unauthorised calls](access.md#error-codes).

A call without `clusterId` and `projectId` gets Milvus's numbers, one with either of them Zilliz Cloud's. In
addition to the table, the v1 calls check their own parameters in the order of
`src/penstock/wire/zilliz_v1/errors.py`.

{markdown_table(["Code", "Meaning", "Transient", "v1", "v2", "v2, Zilliz profile"], rows)}"""


def endpoints_page() -> str:
    tags: dict[str, list[tuple[str, str]]] = {}
    for route in all_routes():
        about = route.operation
        text = " ".join(filter(None, [about.summary.rstrip(".") + ".", about.description]))
        tags.setdefault(about.tag, []).append((f"`{route.method} {route.path}`", cell(text)))
    own = [(f"`GET {path}`", cell(text)) for path, text in PLAIN_ROUTES.items()]
    sections = [
        f"## {tag[0].upper()}{tag[1:]}\n\n{markdown_table(['Call', 'Description'], rows)}"
        for tag, rows in tags.items()
    ]
    return f"""# HTTP calls
{MADE}
All calls share one port. A running server documents the request and response bodies at `/docs`, and as OpenAPI at
`/openapi.json`. Most errors have HTTP status 200 and a code: see [errors.md](errors.md). Repeated slashes are
treated as one.

{chr(10).join(sections)}
## Other paths

{markdown_table(["Call", "Description"], own)}"""


def grpc_page() -> str:
    methods = _all_methods()
    served = [(f"`{method.name}`", method.role or "") for method in methods if not method.refusal]
    prefix = "is not served by Penstock"
    refused = [
        (f"`{method.name}`", cell(method.refusal.partition(prefix)[2].removeprefix("; ")))
        for method in methods
        if method.refusal
    ]
    return f"""# gRPC calls
{MADE}
Clients of Milvus that speak gRPC (`MilvusClient` and the older calls of pymilvus, the SDKs for Java, Go and Node)
connect to the port of the HTTP calls, plain or with TLS: a connection's first bytes tell which it is. `--no-grpc`
turns it off. The service is `milvus.proto.milvus.MilvusService`. To clients the server is Milvus 2.6.

- **Credentials** are an API key as `token`, or `user` and `password`. Wrong ones are the gRPC status
  `UNAUTHENTICATED`, a role that is missing `PERMISSION_DENIED`; most other errors have the status `OK` and Milvus's
  number in the response.
- **The database** is that of the request, else that of the client (metadata `dbname`), else `default`. The cluster is
  that of the credentials; `session(cluster_id)` of pymilvus 3 must name the same one.
- **Timeouts** are the calls' own, else `--request-timeout`; **messages** have at most `--max-body-bytes`, and must
  not be compressed.
- **One connection** takes three of the process's open files, and counts as three towards
  [the limit of connections](access.md#limits-before-authentication).
- **Rows come by import jobs**: `utility.do_bulk_insert` creates one, and `utility.get_bulk_insert_state` and
  `utility.list_bulk_insert_tasks` show what REST calls jobs. Its files are paths or URLs as in
  [the REST call](endpoints.md); the `.npy` files of one call are the columns of the same rows. In the state
  `ImportPersisted` all rows are visible, and indexes are being built. `infos` of a state has the job's `warnings`,
  such as options that are unknown and were ignored.
- **Nothing is left to flush or compact**: `Flush` and `ManualCompaction` succeed at once, since rows are durable from
  the import's commit and compaction runs by itself. A collection is shown as one segment and one replica.
- **Hybrid search** fuses the rankings of its searches by primary key; equal scores are in order of their keys. An
  offset of one of the searches has no effect, as in Milvus; groups, rounding and time zone of one are refused unless
  they are the hybrid search's own. A weighted sum of distances alone without `norm_score` is a distance: the lowest
  comes first. All searches together have at most 16,384 query vectors.
- **Iterators** return each row once, in order. A search iterator searches exactly, whatever the index, so each page
  costs a scan of the field. Rows with equal scores are on one page, which then has more rows than `batch_size`. Rows
  that are imported meanwhile are met if they come after the last page. With a radius, iterators of clients before
  v2 end at a wide gap between distances, since they look for the next rows step by step.
- **HTTP/2 is gRPC here.** Over TLS clients of HTTP agree on HTTP/1.1 by themselves; without TLS, one that speaks
  HTTP/2 unasked ("prior knowledge") gets an error of gRPC: let it speak HTTP/1.1.

## Served

{markdown_table(["Method", "Role"], served)}
## Not served

They answer with number 10 and a sentence. Methods that are in neither table are the gRPC status `UNIMPLEMENTED`.

{markdown_table(["Method", "Alternative"], refused)}"""


def parameters_page() -> str:
    sections = []
    for table in TABLES:
        rows = [
            (
                keys_cell(row),
                row.effect.value,
                cell(", ".join(filter(None, [row.about, f"({', '.join(sorted(row.types))})" if row.types else ""]))),
            )
            for row in table.rows
        ]
        sections.append(f"## {table.title}\n\n{markdown_table(['Key', 'Effect', 'Description'], rows)}")
    return f"""# Parameters of the Milvus calls
{MADE}
Request objects with free keys: which keys are **served**, accepted with **no effect**, or **refused**.
A key in none of these tables is refused with the nearest name, where Milvus ignores it. Unknown import
options only add a warning to the job. Calls are named as in REST; gRPC takes the same keys for the calls that do the
same: `AlterCollection`, `AlterCollectionField`, `AlterIndex`, `AlterDatabase`, `AddCollectionField`.

{chr(10).join(sections)}
## State of an index: `indexes/describe`

`indexState` is `Finished` when no work is due for the index, `InProgress` while a worker builds the collection's
indexes, `Unissued` while a build waits for a worker. `pendingRows` are the rows that wait for it; `indexedRows` all
others of `totalRows`. As in Milvus, `indexedRows` also includes rows that are not in an index: rows are searched
exactly, and not pending, if no index is built (because a search of fewer vectors than 32 MB or rows than 10,000 is
as fast without, or the type has no index, see [indexes](indexes.md)), or while fewer than 10,000 new rows are
outside the index. So a client that waits for `Finished`, or for no pending rows, terminates.
"""


def types_page() -> str:
    forms = [
        (f"`{kind.value}`", *(cell(_names_only(form)) for form in FORMS[kind])) for kind in DataType if kind in FORMS
    ]
    rules = [
        (
            _types(rule),
            cell(rule.demand),
            f"`{cell(_names_only(rule.message, '<{}>'))}`",
            cell(_names_only(rule.remedy)),
        )
        for rule in RULES
        if rule is not TYPE
    ]
    return f"""# Types and rules
{MADE}
A value of any format, and a row of a [bulk writer](bulk-writer.md), is checked by the same rules and refused in the
same words. The error adds the file, the row, the field and the value.

## Forms

What a value of a type may be given as. A cell of CSV holds a number or a text, or JSON for all types below `VarChar`.
Any other kind is refused: `{_names_only(TYPE.message, "<{}>")}`. The output field of a
[BM25 function](full-text-search.md) must not be given at all: the server computes it from the text.

{markdown_table(["Type", "Arrow (Parquet, NumPy, data frames)", "JSON, CSV", "Python rows"], forms)}
## Rules

{markdown_table(["Types", "A value is", "Error", "What to do"], rules)}"""


def _names_only(template: str, mark: str = "`{}`") -> str:
    """Replace the fields of a format string by their names, each within ``mark``."""
    parts = string.Formatter().parse(template)
    return "".join(text + (mark.format(name) if name else "") for text, name, _, _ in parts)


def _types(rule: Rule) -> str:
    return "all" if len(rule.types) == len(DataType) else ", ".join(kind.value for kind in rule.types)


def target_rules_page() -> str:
    header = ["Rule", *(target.label for target in Target), "What", "What to do"]
    rows = [
        (
            f'<a id="{rule.id.lower()}"></a>{rule.id}<br>{rule.name}',
            *(_target_cell(rule, target) for target in Target),
            cell(rule.summary),
            cell(rule.remedy),
        )
        for rule in TARGET_RULES
    ]
    return f"""# Rules of Milvus and Zilliz Cloud
{MADE}
What other servers refuse of import files that this one imports, or read otherwise.
`penstock check FILES --for milvus-2.6` finds it: [checking files](checking-files.md). **x**: refused, or rows are
lost or wrong. **late**: a late patch release of that version takes it; a warning. **!**: accepted, but not as one may
think; a warning. Nothing: no difference.

A version of Milvus is one with its default settings. The facts are from the sources of Milvus 2.4 to 3.0 and the
documentation of Zilliz Cloud, which can change at any time; some are compared with a running Milvus by
`tests/calibration/test_target_rules.py`.

{markdown_table(header, rows)}
The rules for values, which hold for all servers, are in [types and rules](types.md).
"""


def _target_cell(rule: TargetRule, target: Target) -> str:
    return "x" if target in rule.refused else "late" if target in rule.late else "!" if target in rule.warned else ""


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "errors.md": errors_page,
    "drop-in.md": lambda: drop_in_page(all_routes(), _all_methods()),
    "endpoints.md": endpoints_page,
    "grpc.md": grpc_page,
    "parameters.md": parameters_page,
    "types.md": types_page,
    "target-rules.md": target_rules_page,
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
    """Every route of the dialects."""
    return dialect_routes(_no_services())


def _all_methods() -> Collection[GrpcMethod]:
    """Every gRPC method, served or refused."""
    return grpc_methods(_no_services()).values()


def _no_services() -> Services:
    """Services for routes and methods that are only looked at: nothing stands behind them."""
    none = cast(Any, _Nothing())
    return Services(
        settings=load_settings({}, environment={}),
        authentication=none,
        accounts=none,
        audit=none,
        audit_log=none,
        sessions=none,
        orgs=none,
        quotas=none,
        list_clusters=none,
        imports=none,
        exports=none,
        job_events=none,
        uploads=none,
        inference=none,
        rejections=none,
        clusters=none,
        databases=none,
        collections=none,
        aliases=none,
        alterations=none,
        partitions=none,
        indexes=none,
        entities=none,
        searches=none,
        webhooks=none,
        search_iterators=none,
    )


class _Nothing:
    """Has every attribute."""

    def __getattr__(self, name: str) -> _Nothing:
        return self


def all_error_classes() -> Sequence[type[PenstockError]]:
    """One class per code, parents first."""
    for module in pkgutil.walk_packages(penstock.__path__, "penstock."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    by_code: dict[str, type[PenstockError]] = {}
    kinds: list[type[PenstockError]] = [PenstockError, *_subclasses(PenstockError)]
    for kind in kinds:
        by_code.setdefault(kind.code, kind)
    return list(by_code.values())


def _subclasses(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    # Python lists them in the order in which their modules were imported, which differs from program to program.
    for subclass in sorted(
        kind.__subclasses__(), key=lambda error: (error.__module__ != "penstock.errors", error.__module__)
    ):
        # Tests and programs may derive errors of their own.
        if subclass.__module__.startswith("penstock."):
            yield subclass
            yield from _subclasses(subclass)


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
        parts.append("And the [server options](#server-options).\n")
    elif path not in SERVER_COMMANDS and shared:
        parts.append("And the [catalog options](#catalog-options).\n")
    return "\n".join(parts) + "\n"


def _options(command: click.Command) -> Sequence[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option) and not param.hidden]


def _options_named(command: click.Command, names: Collection[str]) -> Sequence[click.Option]:
    return [option for option in _options(command) if option.name in names]


def _connecting_options(command: click.Command) -> Sequence[click.Option]:
    options = _options_named(command, CONNECTING)
    return options if len(options) == len(CONNECTING) else []  # a role's --database is something else


def _options_table(path: str, options: Sequence[click.Option]) -> str:
    return markdown_table(
        ["Option", "Variable", "Default", "Meaning"], [_option_row(option, path) for option in options]
    )


def _option_row(option: click.Option, path: str) -> tuple[str, str, str, str]:
    names = ", ".join(f"`{opt}`" for opt in [*option.opts, *option.secondary_opts])
    if not option.is_flag:
        names += f" {option.make_metavar(click.Context(click.Command(path)))}"
    variable = str(option.envvar or "")
    is_given = isinstance(option.default, str | int | float) and not option.is_flag and option.default != ""
    is_given = is_given and option.show_default is not False
    default = f"`{option.default}`" if is_given else "required" if option.required else ""
    return names.replace("|", "\\|"), f"`{variable}`" if variable else "", default, cell(option.help or "")


def _v1_numbers(kind: type[PenstockError]) -> str:
    if kind is PenstockError:  # its row is for kinds that have none; what nobody foresaw has a number of its own
        return str(V1_INTERNAL)
    row = _row(V1, kind)
    others = sorted(set(row.by_detail.values()) - {row.code})
    return ", ".join(map(str, [row.code, *others]))


def _row(table: Mapping[type[PenstockError], Any], kind: type[PenstockError]) -> Any:
    return next(table[base] for base in kind.__mro__ if base in table)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
