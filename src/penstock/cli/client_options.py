"""Shared options of the commands that call a server: its address, the API key and the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource

from penstock.cli.errors import Failure

DEFAULT_URL = "http://127.0.0.1:19530"


def with_client(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection and, as its first argument, a :class:`penstock.Client`."""

    @wraps(command)
    def run(*args: Any, url: str, api_key: str, database: str, cluster_id: str = "", **values: Any) -> None:
        from penstock.cli.missing import explain_with_nearest
        from penstock.sdk.client import Client  # with all of requests, too slow for --help
        from penstock.sdk.errors import ApiError

        try:
            client = Client(url, api_key, database=database, cluster_id=cluster_id)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        with client:
            try:
                command(client, *args, **values)
            except ApiError as error:
                raise Failure(explain_with_nearest(error, client, values)) from None

    return connection_options(run)


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--url``, ``--api-key``, ``--database`` and ``--profile``, from which the others are taken."""

    @wraps(command)
    def run(*args: Any, profile: str, **values: Any) -> None:
        command(*args, **(with_profile(profile, values) if profile else values))

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def with_profile(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options of a connection from a profile, unless they are on the command line.

    A profile's key is sent to its own address only, and no other key is sent there unless it is on the command line.
    """
    from penstock.cli.profile_files import get_profile

    profile = get_profile(name)
    context = click.get_current_context()
    on_line = {option for option in values if context.get_parameter_source(option) is ParameterSource.COMMANDLINE}
    taken = {"database": profile.database, "cluster_id": profile.cluster_id}
    changed = {option: value for option, value in taken.items() if value and option in values}
    if "url" not in on_line:
        changed["url"] = profile.url
        if "api_key" not in on_line:
            changed["api_key"] = profile.api_key()
    return {**values, **{option: value for option, value in changed.items() if option not in on_line}}


def complete_profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The profiles that begin with ``incomplete``, for a shell."""
    from penstock.cli.profile_files import profiles

    try:
        return [name for name in profiles() if name.startswith(incomplete)]
    except Failure:
        return []  # of a file that can't be read: the command says why


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
    click.option(
        "--profile",
        envvar="PENSTOCK_PROFILE",
        default="",
        metavar="NAME",
        shell_complete=complete_profiles,
        help="Take address, key and database from this profile: penstock profile add.",
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
