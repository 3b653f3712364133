"""``penstock doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.errors import FAILED
from penstock.cli.output import print_json, print_table
from penstock.cli.server_options import settings_options
from penstock.settings import load_settings


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option(
    "--adopt",
    "adopting",
    is_flag=True,
    help="First add tables of the store that are missing in the catalog, for example after the loss of a catalog.",
)
@click.pass_context
def doctor(context: click.Context, /, config: Path | None, as_json: bool, adopting: bool, **flags: object) -> None:
    """Check the installation of a server.

    Uses the settings of the server, checks versions, data dir, catalog, store, collections, jobs and import roots,
    and prints the state of each and the next step. It changes nothing, and works with or without a running server.
    The exit code is 1 if a check failed.

    With --adopt, while no server runs, it adds missing collections to the catalog from the store, with their
    schemas, partitions and indexes. Jobs and keys are not in the store: authentication is on from then on.
    """
    settings = load_settings(flags, config)
    from penstock.server.doctor import Health, adopt, examine

    results = [*(adopt(settings) if adopting else ()), *examine(settings)]
    if as_json:
        keys = ("check", "health", "found", "remedy")
        print_json([{key: str(getattr(result, key)) for key in keys} for result in results])
    else:
        print_table(
            ["check", "health", "found"], [(result.check, result.health, result.found) for result in results], none=""
        )
        for result in results:
            if result.health is not Health.OK:
                click.echo(f"\n{result.health} {result.check}: {result.found}.\n  {result.remedy}.")
    if any(result.health is Health.FAIL for result in results):
        context.exit(FAILED)
