"""Managing the users of a cluster, whatever the wire."""

from __future__ import annotations

import pytest

from penstock.access.accounts import AccountService
from penstock.access.cluster_users import ClusterUser, ClusterUsers, Privilege
from penstock.catalog import Catalog
from penstock.domain.access import Caller, Grant, Role
from penstock.domain.collections import Cluster
from penstock.errors import AccountNotFound, InvalidParameter, PermissionDenied, Unauthenticated
from tests.support.catalogs import CLUSTER

ORG = "org-default"
ADMIN = Caller(name="ops", org_id=ORG, grants=[Grant(role=Role.ADMIN)])
BOB = Caller(name="bob", org_id=ORG, is_user=True)


@pytest.fixture
def users(catalog: Catalog) -> ClusterUsers:
    return ClusterUsers(AccountService(catalog))


@pytest.fixture
def cluster(catalog: Catalog) -> Cluster:
    return catalog.clusters.get(CLUSTER)


def test_a_user_has_roles_in_the_cluster(users: ClusterUsers, cluster: Cluster) -> None:
    users.create(ADMIN, cluster, "bob", "correct horse", "a tester")
    users.grant_role(ADMIN, cluster, "bob", "reader")
    users.grant_role(ADMIN, cluster, "bob", "public")
    assert users.list(ADMIN, cluster) == [ClusterUser(name="bob", roles=["reader"], description="a tester")]
    users.revoke_role(ADMIN, cluster, "bob", "reader")
    assert users.get(BOB, cluster, "bob").roles == []
    with pytest.raises(InvalidParameter, match="role not found: king; the roles are reader, writer, admin, public"):
        users.grant_role(ADMIN, cluster, "bob", "king")
    users.drop(ADMIN, cluster, "bob")
    users.drop(ADMIN, cluster, "bob")
    with pytest.raises(AccountNotFound):
        users.get(ADMIN, cluster, "bob")


def test_only_admins_change_a_password_without_the_old_one(users: ClusterUsers, cluster: Cluster) -> None:
    users.create(ADMIN, cluster, "bob", "correct horse")
    with pytest.raises(Unauthenticated):
        users.change_password(BOB, cluster, "bob", old="?", new="battery staple")
    users.change_password(BOB, cluster, "bob", old="correct horse", new="battery staple")
    users.change_password(ADMIN, cluster, "bob", old="?", new="correct horse")
    other = Caller(name="eve", org_id=ORG, is_user=True)
    with pytest.raises(PermissionDenied):
        users.change_password(other, cluster, "bob", old="correct horse", new="battery staple")


def test_users_describe_themselves_and_admins_describe_others(users: ClusterUsers, cluster: Cluster) -> None:
    users.create(ADMIN, cluster, "bob", "correct horse")
    for caller, description in ((BOB, "a tester"), (ADMIN, "")):
        users.set_description(caller, cluster, "bob", description)
        assert users.get(BOB, cluster, "bob").description == description
    with pytest.raises(InvalidParameter, match="a description has at most"):
        users.set_description(BOB, cluster, "bob", "x" * 5000)
    with pytest.raises(PermissionDenied):
        users.set_description(Caller(name="eve", org_id=ORG, is_user=True), cluster, "bob", "mine")


def test_a_role_includes_the_privileges_of_lower_ones(users: ClusterUsers, cluster: Cluster) -> None:
    assert users.roles(ADMIN, cluster) == ["admin", "public", "reader", "writer"]
    privileges = {role: set(users.privileges(ADMIN, cluster, role)) for role in ("reader", "writer", "admin")}
    assert privileges["reader"] < privileges["writer"] < privileges["admin"]
    assert Privilege("Collection", "Import") in privileges["writer"] - privileges["reader"]
    assert users.privileges(ADMIN, cluster, "public") == []


@pytest.mark.parametrize(
    "caller",
    [
        Caller(name="", org_id=None),
        BOB,
        Caller(name="ops", org_id=ORG, grants=[Grant(role=Role.WRITER)]),
        Caller(name="ops", org_id=ORG, grants=[Grant(role=Role.ADMIN)], roots=["s3://drop/"]),
    ],
    ids=["authentication is off", "a user", "a writer", "an admin with import roots"],
)
def test_callers_that_may_not_create_users(users: ClusterUsers, cluster: Cluster, caller: Caller) -> None:
    with pytest.raises(PermissionDenied):
        users.create(caller, cluster, "mallory", "correct horse")
