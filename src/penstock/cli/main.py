"""``penstock``: the command line.

Exit codes: 0 done, 1 failed (what was asked couldn't be done, or the job failed or was aborted), 2 wrong usage,
3 a job, an export or an index build still runs after the timeout, 130 interrupted.

The modules of commands are loaded lazily, so that ``penstock --help`` answers at once; the help texts of the command
list are here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from penstock.cli.errors import INTERRUPTED, Failure, explain
from penstock.cli.groups import choices_named, refuse_unknown
from penstock.cli.renamed import refuse_renamed
from penstock.errors import MissingExtra
from penstock.extras import require_server
from penstock.import_guard import leave_out_unused


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """An entry of the command list.

    ``place`` is the module in this package and the name of the command in it; ``needs_server`` marks commands that
    need the extra ``server``: they run a server or open its data dir, catalog and store themselves.
    """

    place: str
    help: str
    needs_server: bool = False


COMMANDS: Mapping[str, LazyCommand] = {
    "serve": LazyCommand("serve:serve", "Run the server.", needs_server=True),
    "doctor": LazyCommand("doctor:doctor", "Check the installation of a server.", needs_server=True),
    "backup": LazyCommand("backup:backup", "Back up a server into a folder.", needs_server=True),
    "restore": LazyCommand("backup:restore", "Restore a backup into a new data dir.", needs_server=True),
    "keys": LazyCommand("keys:keys", "Create, list and revoke API keys.", needs_server=True),
    "users": LazyCommand("users:users", "Create, list and drop users, and grant them roles.", needs_server=True),
    "audit": LazyCommand("audit:audit", "Print the audit log.", needs_server=True),
    "orgs": LazyCommand("orgs:orgs", "Create and list orgs, and set their quotas.", needs_server=True),
    "clusters": LazyCommand("clusters:clusters", "Create, list and drop clusters.", needs_server=True),
    "collections": LazyCommand("collections:collections", "Create, list, describe, load and drop collections."),
    "databases": LazyCommand("databases:databases", "Create, list and drop databases."),
    "partitions": LazyCommand("partitions:partitions", "Create, list and drop partitions."),
    "indexes": LazyCommand("indexes:indexes", "Create, list, describe and drop indexes."),
    "import": LazyCommand("imports:import_files", "Import files into a collection and follow the job."),
    "jobs": LazyCommand("jobs:jobs", "List, describe, wait for, commit, abort and retry import jobs."),
    "export": LazyCommand("exports:export", "Export a collection as files that import back equal."),
    "exports": LazyCommand("exports:exports", "List, describe, wait for, abort and retry exports."),
    "webhooks": LazyCommand("webhooks:webhooks", "Send state changes of import jobs to web addresses."),
    "query": LazyCommand("rows:query", "Print rows that a filter selects."),
    "search": LazyCommand("rows:search", "Print the rows nearest to a vector."),
    "profile": LazyCommand("profile:profile", "Add, list and remove profiles: servers by name."),
    "completion": LazyCommand("completion:completion", "Print the script that completes commands in a shell."),
    "check": LazyCommand("check:check", "Check import files without a server.", needs_server=True),
    "convert": LazyCommand("convert:convert", "Convert files into import files of a collection."),
}


class Commands(click.Group):
    """The command group: loads the commands of the table lazily, and shows errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        listed = COMMANDS[cmd_name]
        if listed.needs_server:
            try:
                require_server()
            except MissingExtra:
                if ctx.resilient_parsing:  # a shell asks for completions
                    return None
                raise
        module, _, name = listed.place.partition(":")
        command: click.Command = getattr(import_module(f"penstock.cli.{module}"), name)
        _name_variables(command, f"PENSTOCK_{cmd_name}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        refuse_renamed(ctx, args[0])
        refuse_unknown(ctx, args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        return [CompletionItem(name, help=COMMANDS[name].help) for name in names] or click.Command.shell_complete(
            self, ctx, incomplete
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            choices = choices_named(error)
            if not choices:
                raise
            meant = " or ".join(map(repr, choices))
            message = f"No such option {error.option_name!r}. Did you mean {meant}?"
            raise click.UsageError(message, error.ctx) from None
        except KeyboardInterrupt:
            _exit_interrupted()
        except click.Abort as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # Ctrl-C at a question
                _exit_interrupted()
            raise
        except Exception as error:
            explanation = explain(error)
            if explanation is None:  # click's own, or a bug in this program, which needs its traceback
                raise
            raise Failure(explanation) from None


def _exit_interrupted() -> NoReturn:
    click.echo("\nInterrupted.", err=True)
    sys.exit(INTERRUPTED)


def _name_variables(command: click.Command, prefix: str) -> None:
    """Give every option an environment variable, shown in the help: ``PENSTOCK_JOBS_LIST_LIMIT``.

    Click would derive its name from the function's parameter; this uses the flag.
    """
    for option in command.params:
        if isinstance(option, click.Option) and option.allow_from_autoenv:
            option.envvar = option.envvar or f"{prefix}{option.opts[-1].replace('--', '_')}".upper().replace("-", "_")
            option.show_envvar = True
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            _name_variables(subcommand, f"{prefix}_{name}")


def _print_version(ctx: click.Context, param: click.Parameter, requested: bool) -> None:
    if requested and not ctx.resilient_parsing:
        from penstock.version import package_version

        click.echo(f"penstock {package_version()}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every option can also be set by an environment variable, shown in the help of its command.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    allow_from_autoenv=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def cli() -> None:
    """Import files of vectors into searchable collections.

    Start with `penstock serve --data-dir ./data --import-root ./files`; then, in another terminal,
    `penstock import files/*.parquet --collection docs --create` and `penstock search docs --id 1`.
    """


def main() -> None:
    """Run the program; end the process with one of the exit codes above."""
    _open_closed_streams()
    leave_out_unused()
    cli(prog_name="penstock")


def _open_closed_streams() -> None:
    """Open the standard streams that the caller has closed, as daemons do: Python has None in their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - to the end of the process
