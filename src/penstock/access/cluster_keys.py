"""The API keys of a cluster's org, as admins of the cluster manage them on the page.

An admin of a cluster gives roles in that cluster only, and revokes keys only where it is admin of all they cover:
so no key gets more than the one that made it.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.access.accounts import AccountService, CreatedApiKey
from penstock.catalog.access.accounts import Account
from penstock.domain.access import Caller, Grant, Role
from penstock.domain.collections import Cluster
from penstock.errors import AccountNotFound, InvalidParameter, PermissionDenied


class ClusterKeys:
    """Use cases of a caller in a cluster. All raise PermissionDenied where the caller is not an admin of it."""

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

    def list(self, caller: Caller, cluster: Cluster) -> Sequence[Account]:
        """The keys with a role in the cluster, oldest first, revoked and expired ones too."""
        caller.require(Role.ADMIN, cluster)
        return [key for key in self._accounts.keys(cluster.org_id) if _has_role_in(cluster, key)]

    def create(
        self,
        caller: Caller,
        cluster: Cluster,
        name: str,
        role: str,
        *,
        database: str | None = None,
        lifetime: float | None = None,
    ) -> CreatedApiKey:
        """Create a key with a role in the cluster or in one database of it; ``lifetime`` in seconds.

        Raises:
            InvalidParameter: the name or the role is invalid.
        """
        _require_manager(caller, cluster)
        if role not in set(Role):
            raise InvalidParameter(f"role not found: {role[:80]}; the roles are {', '.join(Role)}", role=role)
        grant = Grant(role=Role(role), cluster_id=cluster.id, database=database)
        return self._accounts.create_key(cluster.org_id, name, [grant], lifetime=lifetime)

    def revoke(self, caller: Caller, cluster: Cluster, key_id: str) -> Account:
        """Revoke a key. Raises AccountNotFound: no key of the cluster has the id."""
        _require_manager(caller, cluster)
        key = next((key for key in self.list(caller, cluster) if key.id == key_id), None)
        if key is None:
            raise AccountNotFound(f"there is no key {key_id}", id=key_id)
        beyond = [grant for grant in key.grants if not caller.is_admin_of(grant)]
        if beyond:
            raise PermissionDenied(
                f"{caller.name} is not an admin of all clusters and databases of {key.name} ({beyond[0]}). Ask an "
                "admin of these",
                caller=caller.name,
                role=Role.ADMIN.value,
            )
        return self._accounts.revoke_key(key.id, cluster.org_id)


def _has_role_in(cluster: Cluster, key: Account) -> bool:
    return any(grant.cluster_id in (None, cluster.id) for grant in key.grants)


def _require_manager(caller: Caller, cluster: Cluster) -> None:
    """Require an accountable admin; keys made here have no roots, so a caller with roots may not make any.

    Raises:
        PermissionDenied: the caller lacks one of these.
    """
    caller.require(Role.ADMIN, cluster)
    if caller.is_anybody:
        raise PermissionDenied(
            "while authentication is off, keys can only be managed on the server's machine: 'penstock keys'"
        )
    if caller.roots:
        raise PermissionDenied(
            f"{caller.name} may import from some roots only, but keys made here from all of them: creating or "
            "revoking keys requires a key without --root"
        )
