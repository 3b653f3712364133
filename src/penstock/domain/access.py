"""Authorization: roles, grants, and the caller that has them.

An org owns clusters and keys. A caller acts for one org and holds grants: a role in all clusters of the org, in one
cluster, or in one database of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.collections import Cluster
from penstock.domain.names import MAX_NAME_BYTES
from penstock.errors import PermissionDenied, shorten


class Role(StrEnum):
    """A set of permissions; each role includes those before it.

    A reader lists, describes, queries and searches; a writer imports, and creates, indexes and drops collections and
    partitions; an admin creates and drops databases, and manages users and their roles.
    """

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role in one database of a cluster; ``database`` None is the whole cluster, ``cluster_id`` None all."""

    role: Role
    cluster_id: str | None = None
    database: str | None = None

    def covers(self, cluster_id: str, database: str | None) -> bool:
        """Whether the grant covers a database, or with None the cluster itself."""
        return self.cluster_id in (None, cluster_id) and (self.database is None or self.database == database)

    def __str__(self) -> str:
        where = self.cluster_id or "every cluster"
        return f"{self.role} in {where}" + (f", database {self.database}" if self.database else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The principal of a call. ``name`` appears in messages and logs; a key and a user may have the same.

    ``org_id`` None is any caller, where authentication is off. ``roots`` are the only places, prefixes of paths and
    URLs, that the caller's imports may read; empty means every import root of the server. ``id`` is the key's or the
    user's, ``address`` the network address of the caller.
    """

    name: str
    org_id: str | None
    grants: Sequence[Grant] = ()
    roots: Sequence[str] = ()
    is_user: bool = False
    id: str | None = None
    address: str = ""

    @property
    def is_anybody(self) -> bool:
        return self.org_id is None

    def is_user_named(self, name: str) -> bool:
        return self.is_user and self.name == name

    def is_admin_of(self, grant: Grant) -> bool:
        """Whether the caller is admin of all that the grant covers."""
        return any(
            own_grant.role is Role.ADMIN
            and own_grant.cluster_id in (None, grant.cluster_id)
            and own_grant.database in (None, grant.database)
            for own_grant in self.grants
        )

    def same_org(self, cluster: Cluster) -> bool:
        """Whether the cluster belongs to the caller's org; all others are hidden from it."""
        return self.org_id in (None, cluster.org_id)

    def may(self, role: Role, cluster: Cluster, database: str | None = None) -> bool:
        """Whether the caller has the role; ``database`` None means in the whole cluster."""
        return self.same_org(cluster) and any(
            grant.role.includes(role) and grant.covers(cluster.id, database) for grant in self.grants
        )

    def require(self, role: Role, cluster: Cluster, database: str | None = None) -> None:
        """Raise PermissionDenied, with the missing role and its scope, unless the caller has the role."""
        if not self.may(role, cluster, database):
            where = f"the cluster {cluster.id}"
            if database is not None:
                where = f"the database {shorten(database, MAX_NAME_BYTES)} of {where}"
            raise PermissionDenied(
                f"{self.name} needs the role {role} in {where}. Ask an admin of the cluster",
                caller=self.name,
                role=role.value,
                cluster_id=cluster.id,
                database=database,
            )

    def databases(self, role: Role, cluster: Cluster) -> frozenset[str] | None:
        """Return the names of the databases in which the caller has the role; None is all of the cluster."""
        if self.may(role, cluster):
            return None
        return frozenset(
            grant.database
            for grant in self.grants
            if grant.database is not None
            and self.same_org(cluster)
            and grant.role.includes(role)
            and grant.covers(cluster.id, grant.database)
        )

    def home(self, default: str) -> str:
        """Return the cluster of calls that name none: the only one of the caller's grants, else ``default``."""
        cluster_ids = {grant.cluster_id for grant in self.grants}
        only = next(iter(cluster_ids)) if len(cluster_ids) == 1 else None
        return only or default


ANONYMOUS = Caller(name="anybody", org_id=None, grants=(Grant(role=Role.ADMIN),))
"""The caller of every call while authentication is off."""
