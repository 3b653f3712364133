"""``penstock partitions``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import json_option, with_client
from penstock.cli.groups import Group
from penstock.cli.server_names import complete_collections

if TYPE_CHECKING:
    from penstock.sdk.client import Client


@click.group(cls=Group)
def partitions() -> None:
    """Create, list and drop partitions."""


@partitions.command()
@click.argument("collection", shell_complete=complete_collections)
@click.argument("name")
@with_client
def create(client: Client, collection: str, name: str) -> None:
    """Create the partition NAME in COLLECTION."""
    client.partitions.create(collection, name)
    click.echo(f"Created partition {name} of collection {collection}.")


@partitions.command("list")
@click.argument("collection", shell_complete=complete_collections)
@json_option
@with_client
def list_partitions(client: Client, collection: str, as_json: bool) -> None:
    """List the partitions of COLLECTION, with their rows."""
    from penstock.cli.output import print_json, print_table

    names = client.partitions.list(collection)
    rows = [(name, client.partitions.stats(collection, name).rows) for name in names]
    if as_json:
        print_json([{"name": name, "rows": count} for name, count in rows])
    else:
        print_table(["Partition", "Rows"], rows, none="No partitions.")


@partitions.command()
@click.argument("collection", shell_complete=complete_collections)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_client
def drop(client: Client, collection: str, name: str, yes: bool) -> None:
    """Drop the partition NAME of COLLECTION and its rows."""
    if not client.partitions.has(collection, name):
        click.echo(f"Collection {collection} has no partition {name}.", err=True)
        return
    if not yes:
        rows = client.partitions.stats(collection, name).rows
        click.confirm(f"Drop partition {name} with its {rows:,} rows?", abort=True, err=True)
    client.partitions.drop(collection, name)
    click.echo(f"Dropped partition {name} of collection {collection}.")
