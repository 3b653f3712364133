"""``penstock indexes``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import json_option, with_client
from penstock.cli.errors import UNFINISHED, Failure
from penstock.cli.groups import Group
from penstock.cli.server_names import complete_collections

if TYPE_CHECKING:
    from penstock.sdk.client import Client
    from penstock.sdk.indexes import IndexDescription
    from penstock.sdk.schema import CollectionInfo

_wait_option = click.option("--wait", is_flag=True, help="Wait until no work is due, with a progress bar.")
_timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Maximum time to wait."
)


@click.group(cls=Group)
def indexes() -> None:
    """Create, list, describe and drop indexes."""


@indexes.command()
@click.argument("collection", shell_complete=complete_collections)
@click.argument("field")
@click.option("--name", metavar="NAME", help="Name of the index. [default: the field's name]")
@click.option("--type", "index_type", metavar="TYPE", help="Such as HNSW or IVF_FLAT. [default: AUTOINDEX]")
@click.option("--metric", metavar="METRIC", help="Such as COSINE, L2 or IP; a type other than AUTOINDEX needs it.")
@click.option(
    "--param", "params", multiple=True, metavar="KEY=VALUE", help="Parameter of the type, such as M=16; repeatable."
)
@_wait_option
@_timeout_option
@with_client
def create(
    client: Client,
    collection: str,
    field: str,
    name: str | None,
    index_type: str | None,
    metric: str | None,
    params: tuple[str, ...],
    wait: bool,
    timeout: float | None,
) -> None:
    """Create an index on FIELD of COLLECTION; it is built in the background.

    Creating an identical index again succeeds. With --wait, the exit code is 3 if it is not built within --timeout.
    """
    client.indexes.create(
        collection,
        field,
        name=name,
        type=index_type.upper() if index_type else None,
        metric=metric.upper() if metric else None,
        params=_params(params),
    )
    click.echo(f"Created index {name or field} on {field} of collection {collection}.")
    if wait:
        _wait(client, collection, name or field, timeout)
    else:
        click.echo(f"It is built in the background; to follow it: penstock indexes describe {collection} --wait")


@indexes.command("list")
@click.argument("collection", shell_complete=complete_collections)
@json_option
@with_client
def list_indexes(client: Client, collection: str, as_json: bool) -> None:
    """List the indexes of COLLECTION, and how many rows each has."""
    from penstock.cli.output import print_json, print_table
    from penstock.sdk.progress import index_text

    found = [client.indexes.describe(collection, name) for name in client.indexes.list(collection)]
    if as_json:
        print_json([index.raw for index in found])
        return
    rows = [(index.name, index.field, index.type, index.metric, index.state, index_text(index)) for index in found]
    print_table(["Index", "Field", "Type", "Metric", "State", "Rows"], rows, none=_no_indexes(collection))


@indexes.command()
@click.argument("collection", shell_complete=complete_collections)
@click.argument("name", required=False)
@_wait_option
@_timeout_option
@json_option
@with_client
def describe(
    client: Client, collection: str, name: str | None, wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Show an index of COLLECTION in full, or all of its indexes if there is no NAME.

    With --wait, the exit code is 3 if work is still due after --timeout.
    """
    from penstock.cli.output import print_json

    names = (name,) if name else client.indexes.list(collection)
    if wait:
        for each in names:
            _wait(client, collection, each, timeout)
    found = [client.indexes.describe(collection, each) for each in names]
    if as_json:
        print_json([index.raw for index in found])
        return
    for position, index in enumerate(found):
        if position:
            click.echo()
        _print_index(index)
    if not found:
        click.echo(
            f"Collection {collection} has no indexes. Create one: penstock indexes create {collection} FIELD",
            err=True,
        )


@indexes.command()
@click.argument("collection", shell_complete=complete_collections)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_client
def drop(client: Client, collection: str, name: str, yes: bool) -> None:
    """Drop the index NAME of COLLECTION. The rows stay, and are searched exactly."""
    from penstock.sdk.errors import ApiError

    names = client.indexes.list(collection)
    if name not in names:
        known = f" It has {', '.join(names)}." if names else ""
        click.echo(f"Collection {collection} has no index {name}.{known}", err=True)
        return
    if not yes:
        click.confirm(f"Drop index {name} of collection {collection}?", abort=True, err=True)
    try:
        client.indexes.drop(collection, name)
    except ApiError as error:
        if "loaded collection" not in error.message:
            raise
        raise Failure(f"{error}\nRelease it first: penstock collections release {collection}") from None
    click.echo(f"Dropped index {name} of collection {collection}.")


def hint_at_indexes(info: CollectionInfo) -> None:
    """Say on the standard error which vector fields of a new collection have no index, and what creates one."""
    indexed = {index.field for index in info.indexes}
    bare = [field.name for field in info.fields if field.type.endswith("Vector") and field.name not in indexed]
    if bare:
        click.echo(
            f"There is no index on {' and '.join(bare)}: every search compares all rows. To create one: "
            f"penstock indexes create {info.name} {bare[0]}",
            err=True,
        )


def _no_indexes(collection: str) -> str:
    return f"Collection {collection} has no indexes. Create one: penstock indexes create {collection} FIELD"


def _params(pairs: tuple[str, ...]) -> dict[str, str] | None:
    params = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE, such as M=16", param_hint="--param")
        params[key] = value
    return params or None


def _wait(client: Client, collection: str, name: str, timeout: float | None) -> None:
    from penstock.sdk.errors import IndexUnfinished
    from penstock.sdk.progress import index_bar

    try:
        with index_bar(sys.stderr) as show:
            client.indexes.wait(collection, name, timeout=timeout, progress=show)
    except IndexUnfinished as error:
        click.echo(f"{error}. To follow it: penstock indexes describe {collection} {name} --wait", err=True)
        sys.exit(UNFINISHED)


def _print_index(index: IndexDescription) -> None:
    from penstock.cli.output import print_facts
    from penstock.sdk.progress import index_text

    print_facts(
        {
            "Index": index.name,
            "Field": index.field,
            "Type": index.type,
            "Metric": index.metric or None,
            "Parameters": ", ".join(f"{key} {value}" for key, value in index.params.items()) or None,
            "State": index.state,
            "Rows": index_text(index),
            "Waiting": f"{index.pending_rows:,} rows" if index.pending_rows else None,
            "Reason": index.reason,
        }
    )
