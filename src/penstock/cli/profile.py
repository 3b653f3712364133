"""``penstock profile``."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import click

from penstock.cli.client_options import complete_profiles, json_option
from penstock.cli.groups import Group
from penstock.cli.profile_files import Profile, check_name, profiles, remove_profile, save_profile


@click.group(cls=Group)
def profile() -> None:
    """Add, list and remove profiles: servers by name, for --profile and PENSTOCK_PROFILE."""


@profile.command()
@click.argument("name")
@click.option("--url", required=True, metavar="URL", help="Address of the server.")
@click.option("--database", default="", metavar="NAME", help="Database to work in.")
@click.option("--cluster-id", default="", metavar="ID", help="Id of the cluster.")
@click.option(
    "--api-key-file", default="", metavar="FILE", help="Read the API key from this file whenever it is used."
)
@click.option("--api-key-env", default="", metavar="VARIABLE", help="Read it from this environment variable.")
@click.option("--save-api-key", is_flag=True, help="Ask for it, and save it in a file that only you can read.")
@click.option("--replace", is_flag=True, help="Replace a profile of this name.")
def add(
    name: str,
    url: str,
    database: str,
    cluster_id: str,
    api_key_file: str,
    api_key_env: str,
    save_api_key: bool,
    replace: bool,
) -> None:
    """Add the profile NAME.

    An API key stays in a file or a variable of your own, or is saved: --save-api-key asks for it, or reads a line of
    standard input. It is never printed, and sent to this address only.
    """
    check_name(name)
    _check_url(url)
    sources = [bool(api_key_file), bool(api_key_env), save_api_key]
    if sum(sources) > 1:
        raise click.UsageError("Give one of --api-key-file, --api-key-env and --save-api-key.")
    if name in profiles() and not replace:
        raise click.UsageError(f"There is a profile {name} already. To change it, add --replace.")
    if api_key_file and not os.path.isfile(api_key_file):
        raise click.BadParameter(f"there is no file {api_key_file}", param_hint="--api-key-file")
    key = _ask_for_key() if save_api_key else None
    added = Profile(
        name=name,
        url=url,
        database=database,
        cluster_id=cluster_id,
        api_key_file=os.path.abspath(api_key_file) if api_key_file else "",
        api_key_env=api_key_env,
    )
    save_profile(added, key)
    click.echo(
        f"Added profile {name}. To use it: penstock jobs list --profile {name}, or export PENSTOCK_PROFILE={name}"
    )


@profile.command("list")
@json_option
def list_profiles(as_json: bool) -> None:
    """List the profiles, and where their API keys come from."""
    from penstock.cli.output import print_json, print_table

    rows = [
        (profile.name, profile.url, profile.database, profile.cluster_id, profile.key_source)
        for profile in profiles().values()
    ]
    if as_json:
        keys = ("name", "url", "database", "clusterId", "apiKey")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    none = "No profiles. Add one: penstock profile add NAME --url URL"
    shown = [[value or "-" for value in row] for row in rows]
    print_table(["Profile", "URL", "Database", "Cluster", "API key"], shown, none=none)


@profile.command()
@click.argument("name", shell_complete=complete_profiles)
def remove(name: str) -> None:
    """Remove the profile NAME and its saved API key."""
    remove_profile(name)
    click.echo(f"Removed profile {name}.")


def _ask_for_key() -> str:
    """Ask on a terminal, without an echo; read a line where the standard input is none."""
    from penstock.sdk.http import check_api_key

    if sys.stdin.isatty():
        key = str(click.prompt("API key", hide_input=True, err=True))
    else:
        key = sys.stdin.readline()
        if not key.strip():
            raise click.UsageError("--save-api-key reads the key from standard input, which is empty.")
    try:
        return check_api_key(key)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _check_url(url: str) -> None:
    from penstock.sdk.http import full_url

    try:
        parts = urlsplit(full_url(url, ""))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None
    if parts.username or parts.password:
        raise click.BadParameter(
            "leave user and password out of the address; --save-api-key takes user:password", param_hint="--url"
        )
