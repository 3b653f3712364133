"""``penstock users``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.admin import (
    grants_of,
    org_names,
    org_option,
    record,
    role_options,
    roots_option,
    with_catalog,
)
from penstock.cli.client_options import json_option
from penstock.cli.renamed import Group

if TYPE_CHECKING:
    from penstock.catalog import Catalog

__all__ = ["users"]

_password = click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    envvar="PENSTOCK_USER_PASSWORD",
    help="Asked for when not given; an argument can be read by anybody on the machine.",
)


@click.group(cls=Group)
def users() -> None:
    """Make, list and drop users, and give them roles.

    A user signs in with USER:PASSWORD in place of a key. These commands work on the data folder (or the catalog)
    itself; a running server knows of the change within a second.
    """


@users.command()
@click.argument("name")
@_password
@role_options
@org_option
@roots_option
@with_catalog
def create(
    catalog: Catalog,
    name: str,
    password: str,
    role: str,
    cluster: str | None,
    database: str | None,
    org: str,
    roots: tuple[str, ...],
) -> None:
    """Make the user NAME."""
    from penstock.access.accounts import AccountService

    grants = grants_of(role, cluster, database)
    account = AccountService(catalog).create_user(catalog.orgs.get(org).id, name, password, grants, roots=roots)
    record(catalog, "user.create", account.org_id, f"{name}: {grants[0]}")
    click.echo(f"Made user {name} ({grants[0]}).")


@users.command("list")
@json_option
@with_catalog
def list_users(catalog: Catalog, as_json: bool) -> None:
    """List the users of all orgs and what they may."""
    from penstock.access.accounts import AccountService
    from penstock.cli.output import print_json, print_table

    accounts = AccountService(catalog).users()
    if as_json:
        print_json(
            [
                {
                    "name": account.name,
                    "org": account.org_id,
                    "grants": [str(role_grant) for role_grant in account.grants],
                    "roots": list(account.roots),
                }
                for account in accounts
            ]
        )
        return
    orgs = org_names(catalog)
    rows = [
        (
            account.name,
            orgs[account.org_id],
            "; ".join(map(str, account.grants)),
            ", ".join(account.roots) or "all roots",
        )
        for account in accounts
    ]
    print_table(["Name", "Org", "May", "Imports from"], rows, none="No users.")


@users.command()
@click.argument("name")
@with_catalog
def drop(catalog: Catalog, name: str) -> None:
    """Drop a user."""
    from penstock.access.accounts import AccountService

    accounts = AccountService(catalog)
    org_id = accounts.user(name).org_id
    accounts.drop_user(name)
    record(catalog, "user.drop", org_id, name)
    click.echo(f"Dropped user {name}.")


@users.command("set-password")
@click.argument("name")
@_password
@with_catalog
def set_password(catalog: Catalog, name: str, password: str) -> None:
    """Give a user a new password."""
    from penstock.access.accounts import AccountService

    accounts = AccountService(catalog)
    accounts.set_password(name, password)
    record(catalog, "user.password", accounts.user(name).org_id, name)
    click.echo(f"Changed the password of {name}.")


@users.command()
@click.argument("name")
@role_options
@with_catalog
def grant(catalog: Catalog, name: str, role: str, cluster: str | None, database: str | None) -> None:
    """Give a user one more role."""
    from penstock.access.accounts import AccountService

    new_grant = grants_of(role, cluster, database)[0]
    accounts = AccountService(catalog)
    accounts.grant(name, new_grant)
    record(catalog, "user.grant", accounts.user(name).org_id, f"{name}: {new_grant}")
    click.echo(f"{name} is now {new_grant}.")


@users.command("revoke-role")
@click.argument("name")
@role_options
@with_catalog
def revoke_role(catalog: Catalog, name: str, role: str, cluster: str | None, database: str | None) -> None:
    """Take a role from a user."""
    from penstock.access.accounts import AccountService

    old_grant = grants_of(role, cluster, database)[0]
    accounts = AccountService(catalog)
    accounts.withdraw(name, old_grant)
    record(catalog, "user.withdraw", accounts.user(name).org_id, f"{name}: {old_grant}")
    click.echo(f"{name} is no longer {old_grant}.")
