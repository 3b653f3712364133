"""Check that tenants can't import each other's files."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.catalog.access.accounts import Account, AccountKind, AccountRepository
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.catalog.db.connection import CatalogDatabase
from penstock.domain.access import Role
from penstock.server.doctor.result import CheckResult, ok, warn

_SHOWN = 5


def check_tenants(database: CatalogDatabase) -> Iterator[CheckResult]:
    """Check the import roots of keys and users. The server's own org is the operator's: unrestricted."""
    importers = [
        account
        for kind in AccountKind
        for account in AccountRepository(database).list(kind)
        if account.is_valid and _may_import(account)
    ]
    if len({importer.org_id for importer in importers}) < 2:
        return
    unrestricted = [importer for importer in importers if not importer.roots and importer.org_id != DEFAULT_ORG]
    if unrestricted:
        names = ", ".join(
            f"the {importer.kind} {importer.name} ({importer.id})" for importer in unrestricted[:_SHOWN]
        )
        rest = f" and {len(unrestricted) - _SHOWN:,} more" if len(unrestricted) > _SHOWN else ""
        yield warn(
            "tenants",
            f"{names}{rest} can import every file of the import roots, including those of other orgs",
            "Create them again with --root, which restricts their imports, and revoke or drop the old ones",
        )
    else:
        yield ok("tenants", "keys and users of each org import from their own roots")


def _may_import(account: Account) -> bool:
    return any(grant.role.includes(Role.WRITER) for grant in account.grants)
