"""The users of a cluster's org and their roles in the cluster, as callers of the cluster manage them.

Roles are built in. ``admin`` is Milvus's; ``public``, which all users have, has no privileges here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.access.accounts import AccountService
from penstock.catalog.access.accounts import Account
from penstock.domain.access import Caller, Grant, Role
from penstock.domain.collections import Cluster
from penstock.errors import InvalidParameter, PermissionDenied, shorten

PUBLIC = "public"
_ROLE_NAMES = (*(role.value for role in Role), PUBLIC)

# Privileges of a role by object type, with Milvus's names.
_PRIVILEGES: Mapping[Role, Mapping[str, Sequence[str]]] = {
    Role.READER: {
        "Global": ("ListDatabases", "DescribeDatabase", "ShowCollections", "DescribeCollection"),
        "Collection": (
            *("Query", "Search", "GetStatistics", "GetLoadState"),
            *("IndexDetail", "ShowPartitions", "HasPartition", "ListImport", "GetImportProgress"),
        ),
    },
    Role.WRITER: {
        "Global": ("CreateCollection", "DropCollection"),
        "Collection": (
            *("Import", "CreateIndex", "DropIndex", "CreatePartition", "DropPartition"),
            *("Load", "Release", "Flush"),
        ),
    },
    Role.ADMIN: {
        "Global": (
            *("CreateDatabase", "DropDatabase"),
            *("CreateOwnership", "DropOwnership", "SelectOwnership", "ManageOwnership"),
        ),
        "User": ("UpdateUser", "SelectUser"),
    },
}


@dataclass(frozen=True, slots=True)
class Privilege:
    """A privilege, with Milvus's names of it and of its type of object."""

    object_type: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterUser:
    """A user, and the names of the roles that hold in the whole cluster."""

    name: str
    roles: Sequence[str]
    description: str


class ClusterUsers:
    """Use cases of a caller in a cluster. All raise PermissionDenied where the caller is not an admin of it."""

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

    def list(self, caller: Caller, cluster: Cluster) -> Sequence[ClusterUser]:
        _require_admin(caller, cluster)
        return [_user_in(cluster, account) for account in self._accounts.users(cluster.org_id)]

    def get(self, caller: Caller, cluster: Cluster, name: str) -> ClusterUser:
        """Look up a user; every user may look up themselves. Raises AccountNotFound."""
        if not caller.is_user_named(name):
            _require_admin(caller, cluster)
        return _user_in(cluster, self._accounts.user(name, cluster.org_id))

    def create(self, caller: Caller, cluster: Cluster, name: str, password: str, description: str = "") -> None:
        """Create a user without roles. Raises InvalidName, InvalidParameter, AccountExists."""
        _require_admin(caller, cluster, changes=True)
        self._accounts.create_user(cluster.org_id, name, password, description=description)

    def change_password(
        self, caller: Caller, cluster: Cluster, name: str, *, old: str, new: str, description: str | None = None
    ) -> None:
        """Change a password and, unless None, the description; an admin changes that of others without the old one.

        Raises:
            AccountNotFound, InvalidParameter.
            Unauthenticated: the old password is wrong.
        """
        if caller.is_user_named(name):
            self._accounts.change_password(name, old, new, description)
            return
        _require_admin(caller, cluster, changes=True)
        self._accounts.set_password(name, new, cluster.org_id, by=caller, description=description)

    def set_description(self, caller: Caller, cluster: Cluster, name: str, description: str) -> None:
        """Set the description alone; users set their own, an admin that of others.

        Raises:
            AccountNotFound, InvalidParameter.
        """
        if caller.is_user_named(name):
            self._accounts.set_description(name, description)
            return
        _require_admin(caller, cluster, changes=True)
        self._accounts.set_description(name, description, cluster.org_id, by=caller)

    def drop(self, caller: Caller, cluster: Cluster, name: str) -> None:
        """Drop a user; a missing one is no error."""
        _require_admin(caller, cluster, changes=True)
        self._accounts.drop_user(name, cluster.org_id, by=caller, missing_ok=True)

    def grant_role(self, caller: Caller, cluster: Cluster, name: str, role: str) -> None:
        """Grant a role in the cluster. Raises AccountNotFound, InvalidParameter."""
        checked = self._checked_role(caller, cluster, name, role)
        if checked is not None:
            self._accounts.grant(name, Grant(role=checked, cluster_id=cluster.id), cluster.org_id)

    def revoke_role(self, caller: Caller, cluster: Cluster, name: str, role: str) -> None:
        """Revoke a role in the cluster.

        Raises:
            AccountNotFound.
            InvalidParameter: there is no such role, or the user has it in every cluster of the org.
        """
        checked = self._checked_role(caller, cluster, name, role)
        if checked is None:
            return
        self._accounts.withdraw(name, Grant(role=checked, cluster_id=cluster.id), cluster.org_id)
        if Grant(role=checked) in self._accounts.user(name, cluster.org_id).grants:
            raise InvalidParameter(
                f"{name} has the role {checked} in every cluster of the org; revoke it with "
                f"'penstock users revoke-role {name} --role {checked}'"
            )

    def roles(self, caller: Caller, cluster: Cluster) -> Sequence[str]:
        """The names of the roles, sorted."""
        _require_admin(caller, cluster)
        return sorted(_ROLE_NAMES)

    def privileges(self, caller: Caller, cluster: Cluster, role: str) -> Sequence[Privilege]:
        """The privileges of a role, with those of the roles that it includes. Raises InvalidParameter."""
        _require_admin(caller, cluster)
        if role == PUBLIC:
            return []
        checked = _role(role)
        return [
            Privilege(object_type, privilege)
            for included in Role
            if checked.includes(included)
            for object_type, privileges in _PRIVILEGES[included].items()
            for privilege in privileges
        ]

    def _checked_role(self, caller: Caller, cluster: Cluster, name: str, role: str) -> Role | None:
        """The role to grant or revoke; None for the one that all users have."""
        _require_admin(caller, cluster, changes=True)
        self._accounts.user(name, cluster.org_id)
        return None if role == PUBLIC else _role(role)


def _user_in(cluster: Cluster, account: Account) -> ClusterUser:
    roles = [
        role.value
        for role in Role
        if any(grant.role is role and grant.covers(cluster.id, None) for grant in account.grants)
    ]
    return ClusterUser(name=account.name, roles=roles, description=account.description)


def _require_admin(caller: Caller, cluster: Cluster, *, changes: bool = False) -> None:
    """Require the role admin in the cluster, and for ``changes`` a caller who may manage users.

    Without authentication a change has no accountable caller; and users created over a wire have no import roots, so
    a caller with roots could import anything through a new user.

    Raises:
        PermissionDenied: the caller lacks one of these.
    """
    caller.require(Role.ADMIN, cluster)
    if changes and caller.is_anybody:
        raise PermissionDenied(
            "while authentication is off, users can only be managed on the server's machine: 'penstock users'"
        )
    if changes and caller.roots:
        raise PermissionDenied(
            f"{caller.name} may import from some roots only, but users from all of them: creating or "
            "changing users requires a key without --root"
        )


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as error:
        raise InvalidParameter(
            f"role not found: {shorten(name)}; the roles are {', '.join(_ROLE_NAMES)}", role=name
        ) from error
