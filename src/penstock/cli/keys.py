"""``penstock keys``."""

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
from penstock.cli.groups import Group
from penstock.domain.durations import parse_duration

if TYPE_CHECKING:
    from penstock.catalog import Catalog
    from penstock.catalog.access.accounts import Account


@click.group(cls=Group)
def keys() -> None:
    """Create, list and revoke API keys.

    These commands work on the data dir (or the catalog) directly; a running server applies changes within a
    second.
    """


@keys.command()
@click.argument("name")
@role_options
@org_option
@click.option("--expires", metavar="TIME", help="Validity of the key, such as 720h; default: unlimited.")
@roots_option
@json_option
@with_catalog
def create(
    catalog: Catalog,
    name: str,
    role: str,
    cluster: str | None,
    database: str | None,
    org: str,
    expires: str | None,
    roots: tuple[str, ...],
    as_json: bool,
) -> None:
    """Create the key NAME and print it. It is shown once: only its hash is stored."""
    from penstock.access.accounts import AccountService
    from penstock.cli.output import print_json

    new_key = AccountService(catalog).create_key(
        catalog.orgs.get(org).id,
        name,
        grants_of(role, cluster, database),
        roots=roots,
        lifetime=None if expires is None else parse_duration(expires),
    )
    record(catalog, "key.create", new_key.account.org_id, f"{name} ({new_key.account.id})", cluster)
    if as_json:
        print_json(
            {"id": new_key.account.id, "name": name, "key": new_key.secret, "expires": new_key.account.expires_at}
        )
        return
    click.echo(new_key.secret)
    click.echo(f"This is the key {name} ({new_key.account.grants[0]}); it is not shown again.", err=True)


@keys.command("list")
@json_option
@with_catalog
def list_keys(catalog: Catalog, as_json: bool) -> None:
    """List the keys of all orgs, with their prefixes."""
    from penstock.access.accounts import AccountService
    from penstock.cli.output import moment, print_json, print_table

    accounts = AccountService(catalog).keys()
    if as_json:
        print_json([_facts(account) for account in accounts])
        return
    orgs = org_names(catalog)
    rows = [
        (
            account.name,
            account.id,
            f"{account.hint}…",
            orgs[account.org_id],
            "; ".join(map(str, account.grants)),
            ", ".join(account.roots) or "all roots",
            "never" if account.expires_at is None else moment(account.expires_at),
            "revoked" if account.revoked_at else "",
        )
        for account in accounts
    ]
    print_table(["Name", "Id", "Key", "Org", "May", "Imports from", "Expires", ""], rows, none="No keys.")


@keys.command()
@click.argument("key")
@with_catalog
def revoke(catalog: Catalog, key: str) -> None:
    """Revoke a key by its name or id."""
    from penstock.access.accounts import AccountService

    account = AccountService(catalog).revoke_key(key)
    record(catalog, "key.revoke", account.org_id, f"{account.name} ({account.id})")
    click.echo(f"Revoked key {account.name} ({account.id}).")


def _facts(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "hint": account.hint,
        "org": account.org_id,
        "grants": [str(grant) for grant in account.grants],
        "roots": list(account.roots),
        "created": account.created_at,
        "expires": account.expires_at,
        "revoked": account.revoked_at,
    }
