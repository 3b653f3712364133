"""Shared options of the commands that call a server: its address, the API key and the database."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

DEFAULT_URL = "http://127.0.0.1:19530"


def with_client(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection and, as its first argument, a :class:`penstock.Client`."""

    @wraps(command)
    def run(*args: Any, url: str, api_key: str, database: str, cluster_id: str = "", **values: Any) -> None:
        from penstock.sdk.client import Client  # with all of requests, too slow for --help

        try:
            client = Client(url, api_key, database=database, cluster_id=cluster_id)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--url") from None
        with client:
            command(client, *args, **values)

    return connection_options(run)


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--url``, ``--api-key`` and ``--database``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--url",
        envvar="PENSTOCK_URL",
        default=DEFAULT_URL,
        metavar="URL",
        show_default=True,
        help="Address of the server.",
    ),
    click.option(
        "--api-key",
        envvar="PENSTOCK_API_KEY",
        default="",
        metavar="KEY",
        help="API key, or user:password. Prefer the variable: other users can read arguments.",
    ),
    click.option(
        "--database",
        envvar="PENSTOCK_DATABASE",
        default="default",
        metavar="NAME",
        show_default=True,
        help="Database to work in.",
    ),
)

cluster_option = click.option(
    "--cluster-id",
    envvar="PENSTOCK_CLUSTER",
    default="",
    metavar="ID",
    help="Id of the cluster; with it, a list includes all finished jobs.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
