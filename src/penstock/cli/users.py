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
from penstock.cli.errors import Failure
from penstock.cli.groups import Group

if TYPE_CHECKING:
    from penstock.catalog import Catalog

_password = click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    envvar="PENSTOCK_USER_PASSWORD",
    help="Prompted for by default; other users of the machine can read arguments.",
)


@click.group(cls=Group)
def users() -> None:
    """Create, list and drop users, and grant them roles.

    A user authenticates with USER:PASSWORD instead of a key. These commands work on the data dir (or the catalog)
    directly; a running server applies changes within a second.
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
    """Create the user NAME."""
    from penstock.access.accounts import AccountService

    grants = grants_of(role, cluster, database)
    account = AccountService(catalog).create_user(catalog.orgs.get(org).id, name, password, grants, roots=roots)
    record(catalog, "user.create", account.org_id, f"{name}: {grants[0]}")
    click.echo(f"Created user {name} ({grants[0]}).")


@users.command("list")
@json_option
@with_catalog
def list_users(catalog: Catalog, as_json: bool) -> None:
    """List the users of all orgs and their roles."""
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
    """Set the password of a user."""
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
    """Grant a user another role."""
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
    """Revoke a role of a user, in the place for which it was granted."""
    from penstock.access.accounts import AccountService

    old_grant = grants_of(role, cluster, database)[0]
    accounts = AccountService(catalog)
    if not accounts.withdraw(name, old_grant):
        grants = "; ".join(map(str, accounts.user(name).grants)) or "none"
        raise Failure(
            f"{name} has no role {old_grant}, so nothing was revoked. The roles of {name}: {grants}. Name one of "
            "them with its --cluster and --database"
        )
    record(catalog, "user.withdraw", accounts.user(name).org_id, f"{name}: {old_grant}")
    click.echo(f"{name} is no longer {old_grant}.")
