"""``penstock collections load`` and ``release``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import with_client
from penstock.cli.server_names import complete_collections

if TYPE_CHECKING:
    from penstock.sdk.client import Client


@click.command()
@click.argument("name", shell_complete=complete_collections)
@with_client
def load(client: Client, name: str) -> None:
    """Load a collection, so that it can be queried."""
    client.collections.load(name)
    click.echo(f"Loaded collection {name}.")


@click.command()
@click.argument("name", shell_complete=complete_collections)
@with_client
def release(client: Client, name: str) -> None:
    """Release a collection: it rejects queries until it is loaded, and its vector indexes can be dropped."""
    client.collections.release(name)
    click.echo(f"Released collection {name}. To query it again: penstock collections load {name}")
