"""``penstock export`` and ``penstock exports``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from penstock.cli.client_options import cluster_option, json_option, with_client
from penstock.cli.errors import INTERRUPTED, UNFINISHED, Failure
from penstock.cli.groups import Group
from penstock.cli.server_names import complete_collections
from penstock.domain.control_characters import escape_controls
from penstock.domain.sizes import size_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.sdk.client import Client
    from penstock.sdk.exports import Export

_KEY_OPTIONS = (
    click.option(
        "--access-key",
        default="",
        metavar="KEY",
        help="Own credentials for the target's bucket. Prefer the variables: other users can read arguments.",
    ),
    click.option("--secret-key", default="", metavar="KEY", help="Its secret key."),
    click.option("--token", default="", metavar="TOKEN", help="Its session token."),
)


def _key_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_KEY_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("collection", shell_complete=complete_collections, metavar="COLLECTION")
@click.option(
    "--out",
    required=True,
    metavar="PLACE",
    help="A new or empty folder below an export root of the server, or s3://bucket/prefix.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "jsonl", "csv"]),
    default="parquet",
    show_default=True,
    help="Format of the files.",
)
@click.option("--filter", "filter_", default="", metavar="EXPR", help="Only the rows that it selects: 'year > 2000'.")
@click.option("--partition", "partitions", multiple=True, metavar="NAME", help="Only this partition; repeatable.")
@click.option("--with-auto-ids", is_flag=True, help="Export generated ids, too.")
@click.option("--server-paths", is_flag=True, help="Send the folder unchanged, for one on the server's machine.")
@click.option("--no-wait", is_flag=True, help="Print the export's id without waiting for it.")
@_key_options
@cluster_option
@json_option
@with_client
def export(
    client: Client,
    collection: str,
    out: str,
    form: str,
    filter_: str,
    partitions: tuple[str, ...],
    with_auto_ids: bool,
    server_paths: bool,
    no_wait: bool,
    access_key: str,
    secret_key: str,
    token: str,
    as_json: bool,
) -> None:
    """Export the rows of COLLECTION as files that import back equal, show the progress and the result.

    The files have the rows that are visible when the export begins, whatever is imported meanwhile. Next to them are
    _schema.json, which `penstock collections create NAME --schema` takes, and _manifest.json with rows and checksums.
    Several partitions get a folder each.

    The server writes the files: PLACE is a folder of its machine, below one of its export roots.

    The exit code is 0 when the export is completed, 1 when it failed or was aborted, and 130 after Ctrl-C, which
    leaves it running.
    """
    place = out if server_paths or "://" in out else os.path.abspath(os.path.expanduser(out))
    created = client.exports.create(
        collection,
        place,
        format=form,
        filter=filter_,
        partitions=partitions,
        with_auto_ids=with_auto_ids,
        access_key=access_key,
        secret_key=secret_key,
        token=token,
    )
    if no_wait:
        from penstock.cli.output import print_json

        if as_json:
            print_json({"jobId": created.id})
        else:
            click.echo(created.id)
        return
    click.echo(f"Export {created.id}: {collection} into {place}", err=True)
    _follow(client, created.id, None, as_json=as_json)


@click.group(cls=Group)
def exports() -> None:
    """List, describe, wait for, abort and retry exports."""


@exports.command("list")
@click.option(
    "--collection", shell_complete=complete_collections, metavar="NAME", help="Only exports of this collection."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Maximum number.")
@cluster_option
@json_option
@with_client
def list_exports(client: Client, collection: str | None, limit: int, as_json: bool) -> None:
    """List the exports of the database, newest first."""
    from penstock.cli.output import moment, print_json, print_table

    records = client.exports.list(collection, limit=limit)
    if as_json:
        print_json([record.raw for record in records])
        return
    print_table(
        ("ID", "COLLECTION", "STATE", "PROGRESS", "ROWS", "TARGET", "CREATED"),
        [
            (
                record.id,
                record.collection,
                record.state,
                f"{record.progress} %",
                record.rows,
                record.target,
                moment(record.created_at),
            )
            for record in records
        ],
        none="No exports. Create one: penstock export COLLECTION --out FOLDER",
    )


@exports.command()
@click.argument("export_id", metavar="ID")
@cluster_option
@json_option
@with_client
def describe(client: Client, export_id: str, as_json: bool) -> None:
    """Show an export in full: progress, files, and the reason of a failure."""
    from penstock.cli.output import print_json, print_table

    found = client.exports.get(export_id)
    if as_json:
        print_json(found.raw)
        return
    _print_result(found)
    if found.files:
        click.echo()
        rows = [(file.name, file.rows, size_text(file.size), file.sha256[:12]) for file in found.files]
        print_table(("FILE", "ROWS", "SIZE", "SHA-256"), rows, none="")
    if found.state == "Failed":
        click.echo(f"\nAfter fixing the cause, resume it: penstock exports retry {found.id}")


@exports.command()
@click.argument("export_id", metavar="ID")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Maximum time to wait.")
@cluster_option
@json_option
@with_client
def wait(client: Client, export_id: str, timeout: float | None, as_json: bool) -> None:
    """Show the progress of an export until it is finished.

    The exit code is 0 when it is completed, 1 when it failed or was aborted, 3 on timeout, and 130 after Ctrl-C,
    which leaves it running.
    """
    _follow(client, export_id, timeout, as_json=as_json)


@exports.command()
@click.argument("export_ids", nargs=-1, required=True, metavar="ID...")
@cluster_option
@with_client
def abort(client: Client, export_ids: tuple[str, ...]) -> None:
    """Abort unfinished or failed exports, and delete the files that they have written."""
    for export_id in export_ids:
        client.exports.abort(export_id)
        click.echo(f"Export {export_id} is aborted.")


@exports.command()
@click.argument("export_id", metavar="ID")
@click.option("--no-wait", is_flag=True, help="Don't wait for it.")
@_key_options
@cluster_option
@json_option
@with_client
def retry(
    client: Client, export_id: str, no_wait: bool, access_key: str, secret_key: str, token: str, as_json: bool
) -> None:
    """Resume a failed export, with the parts that are missing."""
    client.exports.retry(export_id, access_key=access_key, secret_key=secret_key, token=token)
    if not no_wait:
        _follow(client, export_id, None, as_json=as_json)


def _follow(client: Client, export_id: str, timeout: float | None, *, as_json: bool) -> None:
    from penstock.cli.output import print_json
    from penstock.sdk.errors import ExportFailed, ExportUnfinished
    from penstock.sdk.progress import export_bar

    try:
        with export_bar(sys.stderr) as show:
            last = client.exports.wait(export_id, timeout=timeout, progress=show)
    except ExportFailed as error:
        if as_json:
            print_json(error.export.raw)
        hint = (
            f"\nAfter fixing the cause: penstock exports retry {export_id}" if error.export.state == "Failed" else ""
        )
        raise Failure(f"{error}{hint}") from None
    except ExportUnfinished as error:
        if as_json:
            print_json(error.export.raw)
        click.echo(f"{error}\nTo follow it: penstock exports wait {export_id}", err=True)
        sys.exit(UNFINISHED)
    except KeyboardInterrupt:
        click.echo(
            "\nStopped watching. The export continues on the server.\n"
            f"To follow it again: penstock exports wait {export_id}\nTo abort it: penstock exports abort {export_id}",
            err=True,
        )
        sys.exit(INTERRUPTED)
    if as_json:
        print_json(last.raw)
    else:
        _print_result(last)


def _print_result(found: Export) -> None:
    click.echo(
        f"Export {found.id} of {found.collection} into {found.target}: {found.state}, {found.rows:,} rows, "
        f"{size_text(found.size)}"
    )
    if found.reason:
        click.echo(f"Reason: {escape_controls(found.reason)}")
