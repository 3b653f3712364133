"""``penstock webhooks``."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import cluster_option, json_option, with_client
from penstock.cli.errors import Failure
from penstock.cli.groups import Group
from penstock.cli.output import moment
from penstock.cli.server_names import complete_collections

if TYPE_CHECKING:
    from penstock.sdk.client import Client


@click.group(cls=Group)
def webhooks() -> None:
    """Send state changes of import jobs to web addresses."""


@webhooks.command()
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="STATE",
    help="State of jobs to send; repeatable. [default: uncommitted, completed, failed, aborted]",
)
@click.option("--all-databases", is_flag=True, help="Jobs of all databases of the cluster, not only of --database.")
@click.option(
    "--collection", shell_complete=complete_collections, metavar="NAME", help="Only jobs into this collection."
)
@cluster_option
@json_option
@with_client
def add(
    client: Client, address: str, events: tuple[str, ...], all_databases: bool, collection: str | None, as_json: bool
) -> None:
    """Create a webhook for ADDRESS and print the secret that signs its messages, once.

    To choose the secret, put it into PENSTOCK_WEBHOOK_SECRET: whsec_ and 24 to 64 bytes in Base64.
    """
    from penstock.cli.output import print_json

    if all_databases and collection:
        raise click.UsageError("--collection is of one database: leave out --all-databases")
    new = client.webhooks.create(
        address,
        events=events,
        database=None if all_databases else client.database,
        collection=collection,
        secret=os.environ.get("PENSTOCK_WEBHOOK_SECRET", ""),
    )
    if as_json:
        print_json(asdict(new))
        return
    click.echo(f"Created webhook {new.id}. Its secret, which is not shown again:\n{new.secret}")
    click.echo(f"To try it: penstock webhooks test {new.id}")


@webhooks.command("list")
@cluster_option
@json_option
@with_client
def list_webhooks(client: Client, as_json: bool) -> None:
    """List webhooks."""
    from penstock.cli.output import print_json, print_table

    items = client.webhooks.list()
    if as_json:
        print_json([asdict(item) for item in items])
        return
    rows = [
        (
            item.id,
            item.url,
            " ".join(item.events),
            item.database or "all",
            item.collection or "all",
            moment(item.created_at),
        )
        for item in items
    ]
    print_table(["Webhook", "Address", "Events", "Database", "Collection", "Created"], rows, none="No webhooks.")


@webhooks.command()
@click.argument("webhook_id", metavar="ID")
@cluster_option
@with_client
def remove(client: Client, webhook_id: str) -> None:
    """Delete a webhook and the log of its deliveries."""
    client.webhooks.delete(webhook_id)
    click.echo(f"Removed webhook {webhook_id}.")


@webhooks.command()
@click.argument("webhook_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Number of deliveries.")
@cluster_option
@json_option
@with_client
def deliveries(client: Client, webhook_id: str, limit: int, as_json: bool) -> None:
    """List the newest deliveries of a webhook, and why attempts failed."""
    from penstock.cli.output import print_json, print_table

    items = client.webhooks.deliveries(webhook_id, limit=limit)
    if as_json:
        print_json([asdict(item) for item in items])
        return
    rows = [
        (
            item.job_id,
            item.event,
            item.state,
            item.attempts,
            item.status or "",
            moment(item.created_at),
            moment(item.next_attempt_at) or "",
            item.error or "",
        )
        for item in items
    ]
    titles = ["Job", "Event", "State", "Attempts", "Status", "Created", "Next attempt", "Error"]
    print_table(titles, rows, none="No deliveries.")


@webhooks.command()
@click.argument("webhook_id", metavar="ID")
@cluster_option
@with_client
def test(client: Client, webhook_id: str) -> None:
    """Send a test message to a webhook now; the exit code is 1 unless the receiver answers 2xx."""
    result = client.webhooks.test(webhook_id)
    if not result.has_succeeded:
        raise Failure(f"the test message was not accepted: {result.error}")
    click.echo(f"Accepted with HTTP {result.status} after {result.milliseconds} ms.")
