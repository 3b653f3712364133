"""``penstock databases``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import json_option, with_client
from penstock.cli.groups import Group

if TYPE_CHECKING:
    from penstock.sdk.client import Client


@click.group(cls=Group)
def databases() -> None:
    """Create, list and drop databases."""


@databases.command()
@click.argument("name")
@with_client
def create(client: Client, name: str) -> None:
    """Create the database NAME. Other commands work in it with --database NAME."""
    client.databases.create(name)
    click.echo(f"Created database {name}.")


@databases.command("list")
@json_option
@with_client
def list_databases(client: Client, as_json: bool) -> None:
    """List the databases of a server."""
    from penstock.cli.output import print_json, print_table

    names = client.databases.list()
    if as_json:
        print_json(names)
    else:
        print_table(["Database"], [(name,) for name in names], none="No databases.")


@databases.command()
@click.argument("name")
@with_client
def drop(client: Client, name: str) -> None:
    """Drop a database without collections."""
    client.databases.drop(name)
    click.echo(f"Dropped database {name}.")
