"""``users/*`` and ``roles/*`` over HTTP, as Milvus has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.access.accounts import AccountService
from penstock.domain.access import Grant, Role
from tests.support.http import http_server, make_services
from tests.support.tenants import ABROAD, ACME, Callers, two_tenants

OK: tuple[int, int, Any] = (200, 0, {})
DENIED = (403, 65535)


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("users")) as callers:
        yield callers


def users(callers: Callers, who: str, action: str, **body: Any) -> tuple[int, int, Any]:
    return callers.post(who, f"/v2/vectordb/users/{action}", **({"clusterId": ACME} if who == "owner" else {}) | body)


def roles(callers: Callers, who: str, action: str, **body: Any) -> tuple[int, int, Any]:
    return callers.post(who, f"/v2/vectordb/roles/{action}", **body)


def test_a_user_from_its_making_to_its_end(callers: Callers) -> None:
    bob = {"userName": "bob"}
    assert users(callers, "owner", "create", **bob, password="correct horse") == OK
    assert users(callers, "owner", "list") == (200, 0, ["clerk", "bob"])
    assert users(callers, "owner", "describe", **bob) == (200, 0, [])
    assert callers.post("bob:correct horse", "/v2/vectordb/collections/list", clusterId=ACME)[:2] == DENIED

    assert users(callers, "owner", "grant_role", **bob, roleName="reader") == OK
    assert users(callers, "owner", "grant_role", **bob, roleName="public") == OK
    assert users(callers, "owner", "describe", **bob) == (200, 0, ["reader"])
    assert callers.catalog.accounts.user("bob").grants == (Grant(role=Role.READER, cluster_id=ACME),)  # type: ignore[union-attr]

    assert users(callers, "owner", "update_password", **bob, password="", newPassword="x")[1] == 1802
    assert users(callers, "owner", "update_password", **bob, password="?", newPassword="staple") == OK
    assert users(callers, "owner", "revoke_role", **bob, roleName="reader") == OK
    assert users(callers, "owner", "describe", **bob) == (200, 0, [])
    assert users(callers, "owner", "drop", **bob) == OK
    assert users(callers, "owner", "drop", **bob) == OK, "again is fine, as in Milvus"
    assert users(callers, "owner", "list") == (200, 0, ["clerk"])


def test_users_change_their_own_password_with_the_old_one(callers: Callers) -> None:
    AccountService(callers.catalog).create_user("org-acme", "eve", "correct horse")
    change = {"userName": "eve", "password": "wrong horse", "newPassword": "battery staple", "clusterId": ACME}
    who = "eve:correct horse"
    told = "old password not correct for eve: not authenticated"
    assert users(callers, who, "update_password", **change) == (200, 1400, told)
    assert users(callers, who, "update_password", **change | {"password": "correct horse"}) == OK
    assert users(callers, "eve:battery staple", "describe", userName="eve", clusterId=ACME) == (200, 0, [])
    AccountService(callers.catalog).drop_user("eve")


def test_users_have_a_description(callers: Callers) -> None:
    name = {"userName": "kim", "clusterId": ACME}

    def description() -> object:
        reply = callers.client.post(
            "/v2/vectordb/users/describe", content=json.dumps(name), headers=callers.headers("owner")
        ).json()
        assert reply["code"] == 0
        return reply["description"]

    assert users(callers, "owner", "create", **name, password="correct horse", description="a tester") == OK
    assert description() == "a tester"
    change = {**name, "password": "correct horse", "newPassword": "battery staple"}
    assert users(callers, "owner", "update_password", **change) == OK
    assert description() == "a tester", "it stays where none is given"
    change |= {"password": "battery staple", "description": "a developer"}
    assert users(callers, "kim:battery staple", "update_password", **change) == OK
    assert description() == "a developer"
    status, code, text = users(callers, "owner", "create", **name, password="x", description="x" * 1025)
    assert (status, code, "a description has at most 1024 characters" in text) == (200, 1100, True)
    assert users(callers, "owner", "drop", **name) == OK


def test_an_admin_with_roots_makes_nobody_who_has_all_of_them(callers: Callers) -> None:
    made = AccountService(callers.catalog).create_key(
        "org-acme", "drop", [Grant(role=Role.ADMIN, cluster_id=ACME)], roots=["s3://drop/"]
    )
    name = {"userName": "clerk", "clusterId": ACME}
    for action, more in (
        ("create", {"userName": "mallory", "password": "correct horse"}),
        ("grant_role", {"roleName": "writer"}),
        ("update_password", {"password": "?", "newPassword": "battery staple"}),
    ):
        status, code, message = users(callers, made.secret, action, **name | more)
        assert (status, code) == DENIED
        assert "drop may import from some roots only, but users from all of them" in message
    assert users(callers, made.secret, "list", clusterId=ACME)[:2] == (200, 0)


def test_users_may_ask_for_their_own_roles_only(callers: Callers) -> None:
    assert users(callers, "clerk", "describe", userName="clerk", clusterId=ACME) == (200, 0, [])
    assert users(callers, "clerk", "describe", userName="ann", clusterId=ACME)[:2] == DENIED


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("list", {}),
        ("create", {"userName": "mallory", "password": "correct horse"}),
        ("update_password", {"userName": "clerk", "password": "correct horse", "newPassword": "mine now"}),
        ("drop", {"userName": "clerk"}),
        ("grant_role", {"userName": "clerk", "roleName": "admin"}),
        ("revoke_role", {"userName": "clerk", "roleName": "reader"}),
    ],
)
def test_only_admins_of_the_cluster_manage_users(callers: Callers, action: str, body: dict[str, str]) -> None:
    assert users(callers, "acme", action, **body)[:2] == DENIED
    assert users(callers, "", action, **body)[:2] == (401, 1800)
    if action != "update_password":
        assert users(callers, "clerk", action, clusterId=ACME, **body)[:2] == DENIED


def test_a_key_is_not_the_user_of_its_name(callers: Callers) -> None:
    made = AccountService(callers.catalog).create_key("org-acme", "clerk", [Grant(role=Role.READER, cluster_id=ACME)])
    change = {"userName": "clerk", "password": "correct horse", "newPassword": "mine now"}
    assert users(callers, made.secret, "update_password", **change)[:2] == DENIED
    assert users(callers, made.secret, "describe", userName="clerk")[:2] == DENIED


def test_an_admin_of_one_cluster_does_not_come_into_another_by_its_users(callers: Callers) -> None:
    """Who sets the password of a user can be that user."""
    accounts = AccountService(callers.catalog)
    local_admin = accounts.create_key("org-acme", "only here", [Grant(role=Role.ADMIN, cluster_id=ACME)]).secret
    everywhere = [Grant(role=Role.READER, cluster_id=ACME), Grant(role=Role.READER, cluster_id=ABROAD)]
    accounts.create_user("org-acme", "walter", "correct horse", everywhere)
    change = {"userName": "walter", "password": "?", "newPassword": "mine now"}
    status, code, message = users(callers, local_admin, "update_password", **change)
    assert (status, code) == DENIED
    assert "not an admin of all clusters and databases of walter (reader in in01-abroad)" in message
    assert users(callers, local_admin, "drop", userName="walter")[:2] == DENIED
    assert users(callers, local_admin, "revoke_role", userName="walter", roleName="reader") == OK
    assert users(callers, "owner", "drop", userName="walter") == OK


def test_a_role_in_every_cluster_is_not_taken_in_one(callers: Callers) -> None:
    accounts = AccountService(callers.catalog)
    accounts.create_user("org-acme", "rita", "correct horse", [Grant(role=Role.WRITER)])
    code, message = users(callers, "owner", "revoke_role", userName="rita", roleName="writer")[1:]
    assert code == 1100
    assert "penstock users revoke-role rita --role writer" in message
    accounts.drop_user("rita")


def test_users_of_another_org_are_not_there(callers: Callers) -> None:
    clerk = {"userName": "clerk"}
    assert users(callers, "ops", "list") == (200, 0, [])
    unknown = users(callers, "ops", "describe", userName="cherk")
    assert unknown == (200, 1100, "user not found: cherk: invalid parameter")
    assert users(callers, "ops", "describe", **clerk)[2] == unknown[2].replace("cherk", "clerk")
    assert users(callers, "ops", "grant_role", **clerk, roleName="admin")[1] == 1100
    assert users(callers, "ops", "update_password", **clerk, password="?", newPassword="mine now")[1] == 1100
    assert users(callers, "ops", "drop", **clerk) == OK
    assert callers.post("clerk", "/v2/vectordb/databases/list", clusterId=ACME)[1] == 0, "still there"


@pytest.mark.parametrize(
    ("action", "body", "code", "told"),
    [
        ("create", {"userName": "clerk", "password": "correct horse"}, 1100, "user already exists: clerk"),
        ("create", {"userName": "bob", "password": "short"}, 1100, "a password has 6 to 256 characters"),
        ("create", {"userName": "1bob", "password": "correct horse"}, 1100, "Invalid user name: 1bob"),
        ("create", {"userName": "bob"}, 1802, "PasswordReq.Password"),
        ("create", {"userName": 1, "password": "correct horse"}, 1801, "PasswordReq.userName of type string"),
        (
            "grant_role",
            {"userName": "clerk", "roleName": "root"},
            1100,
            "the roles are reader, writer, admin, public",
        ),
        ("grant_role", {"userName": "ghost", "roleName": "reader"}, 1100, "user not found: ghost"),
        ("describe", {"userName": "ghost"}, 1100, "user not found: ghost"),
        ("list", {"clusterId": "in01-nowhere"}, 96018, "Cluster not found"),
    ],
)
def test_what_wont_do_is_told(callers: Callers, action: str, body: dict[str, Any], code: int, told: str) -> None:
    status, found, message = users(callers, "owner", action, **body)
    assert (status, found) == (200, code)
    assert told in message


def test_roles_are_built_in(callers: Callers) -> None:
    assert roles(callers, "ops", "list") == (200, 0, ["admin", "public", "reader", "writer"])
    assert roles(callers, "ops", "describe", roleName="public") == (200, 0, [])
    reader, writer, admin = (
        {each["privilege"] for each in roles(callers, "ops", "describe", roleName=name)[2]}
        for name in ("reader", "writer", "admin")
    )
    assert {"Search", "Query"} <= reader < writer < admin
    assert {"Import", "CreateCollection"} <= writer - reader
    assert {"CreateDatabase", "UpdateUser"} <= admin - writer
    assert roles(callers, "ops", "describe", roleName="root")[1] == 1100
    assert roles(callers, "acme", "list")[:2] == DENIED
    code, message = roles(callers, "ops", "create", roleName="mine")[1:]
    assert code == 10
    assert "grant a user admin, writer or reader" in message


def test_nobody_makes_users_while_nobody_is_asked_who_he_is(tmp_path: Path) -> None:
    """The first one would lock everybody out, whoever called."""
    with make_services(tmp_path) as services, http_server(services) as url:
        body = json.dumps({"userName": "mallory", "password": "correct horse"})
        reply = httpx.post(f"{url}/v2/vectordb/users/create", content=body)
        assert reply.status_code == 403
        assert "penstock users" in reply.json()["message"]
        assert httpx.post(f"{url}/v2/vectordb/users/list", content="{}").json() == {"code": 0, "data": []}
