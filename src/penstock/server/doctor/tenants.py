"""Whether tenants are kept apart in the files that they may import."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.catalog.access.accounts import Account, AccountKind, AccountRepository
from penstock.catalog.access.clusters import DEFAULT_ORG
from penstock.catalog.db.connection import CatalogDatabase
from penstock.domain.access import Role
from penstock.server.doctor.result import CheckResult, ok, warn

__all__ = ["check_tenants"]

_SHOWN = 5


def check_tenants(database: CatalogDatabase) -> Iterator[CheckResult]:
    """Keys and users of the server's own org are taken for the operator's, who may read everything."""
    importers = [
        each
        for kind in AccountKind
        for each in AccountRepository(database).list(kind)
        if each.is_valid and _imports(each)
    ]
    if len({importer.org_id for importer in importers}) < 2:
        return
    free = [importer for importer in importers if not importer.roots and importer.org_id != DEFAULT_ORG]
    if free:
        shown = ", ".join(f"the {each.kind} {each.name} ({each.id})" for each in free[:_SHOWN])
        rest = f" and {len(free) - _SHOWN:,} more" if len(free) > _SHOWN else ""
        yield warn(
            "tenants",
            f"{shown}{rest} may import every file of the import roots, also those of other orgs",
            "Make these anew with --root, which says what they may import, and revoke or drop the old ones",
        )
    else:
        yield ok("tenants", "keys and users of each org import from roots of their own")


def _imports(account: Account) -> bool:
    return any(grant.role.includes(Role.WRITER) for grant in account.grants)
