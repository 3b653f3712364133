"""Users and roles over gRPC."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from penstock.catalog import Catalog, open_catalog
from penstock.catalog.db.encryption import load_key
from penstock.domain.access import Grant, Role
from penstock.server.assembly import build_services
from penstock.server.services import Services
from penstock.wire.milvus_grpc.stubs import milvus_pb2
from tests.support.grpc_methods import answer
from tests.support.http import make_settings

ADD = milvus_pb2.OperateUserRoleType.Value("AddUserToRole")
REMOVE = milvus_pb2.OperateUserRoleType.Value("RemoveUserFromRole")


@dataclass(frozen=True)
class Server:
    """Services that ask for keys, their catalog, and the key of an admin."""

    services: Services
    catalog: Catalog
    admin: str

    def ask(self, method: str, *, secret: str | None = None, **fields: Any) -> Any:
        return answer(self.services, method, secret=self.admin if secret is None else secret, **fields)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("users")
    services = build_services(make_settings(data_dir))
    catalog = open_catalog(f"sqlite:///{data_dir}/catalog.db", load_key(data_dir / "secret.key"))
    key = services.accounts.create_key("org-default", "ops", [Grant(role=Role.ADMIN)])
    try:
        yield Server(services, catalog, key.secret)
    finally:
        catalog.close()
        services.stop()


def encoded(password: str) -> str:
    return base64.b64encode(password.encode()).decode()


def roles_of(server: Server, name: str) -> list[str]:
    (result,) = server.ask("SelectUser", user={"name": name}, include_role_info=True).results
    return [role.name for role in result.roles]


def test_a_user_from_its_creation_to_its_drop(server: Server) -> None:
    ask = partial(server.ask, username="bob")
    assert ask("CreateCredential", password=encoded("correct horse"), description="a tester").code == 0
    assert list(server.ask("ListCredUsers").usernames) == ["bob"]
    (result,) = server.ask("SelectUser").results
    assert (result.user.name, result.description, list(result.roles)) == ("bob", "a tester", [])

    assert ask("OperateUserRole", role_name="reader", type=ADD).code == 0
    assert ask("OperateUserRole", role_name="public", type=ADD).code == 0
    assert roles_of(server, "bob") == ["reader"]
    members = server.ask("SelectRole", role={"name": "reader"}, include_user_info=True).results
    assert [user.name for user in members[0].users] == ["bob"]
    assert ask("OperateUserRole", role_name="reader", type=REMOVE).code == 0
    assert roles_of(server, "bob") == []

    assert ask("DeleteCredential").code == 0
    assert ask("DeleteCredential").code == 0, "again is fine, as in Milvus"
    assert list(server.ask("ListCredUsers").usernames) == []


def test_users_change_their_own_password_with_the_old_one(server: Server) -> None:
    server.ask("CreateCredential", username="eve", password=encoded("correct horse"))
    change = partial(
        server.ask,
        "UpdateCredential",
        username="eve",
        newPassword=encoded("battery staple"),
        secret="eve:correct horse",
    )
    refused = change(oldPassword=encoded("wrong horse"))
    assert (refused.code, refused.reason) == (1400, "old password not correct for eve: not authenticated")
    assert change(oldPassword=encoded("correct horse")).code == 0
    (own,) = server.ask("SelectUser", user={"name": "eve"}, secret="eve:battery staple").results
    assert own.user.name == "eve"
    server.ask("DeleteCredential", username="eve")


@pytest.mark.parametrize("password", ["correct horse", encoded("correct") + "\n", base64.b64encode(b"\xff").decode()])
def test_a_password_that_is_no_base64_is_not_shown(server: Server, password: str) -> None:
    refused = server.ask("CreateCredential", username="kim", password=password)
    assert (refused.code, refused.reason) == (
        1100,
        "the password of kim is not base64 of UTF-8 text: invalid parameter",
    )


def test_roles_are_built_in(server: Server) -> None:
    roles = [result.role.name for result in server.ask("SelectRole").results]
    assert roles == ["admin", "public", "reader", "writer"]
    missing = server.ask("SelectRole", role={"name": "king"}, include_user_info=True)
    assert (missing.status.code, list(missing.results)) == (0, []), "as in Milvus: Role.is_exist() asks so"
    for method in ("CreateRole", "DropRole", "OperatePrivilege", "OperatePrivilegeV2"):
        refused = server.ask(method)
        assert refused.code == 10
        assert refused.reason.endswith("roles are built in: grant a user admin, writer or reader with grant_role")


def test_a_role_has_privileges_with_milvuss_names(server: Server) -> None:
    entities = server.ask("SelectGrant", entity={"role": {"name": "writer"}}).entities
    privileges = {(entity.object.name, entity.grantor.privilege.name) for entity in entities}
    assert {("Collection", "Import"), ("Collection", "Query")} <= privileges
    assert ("Global", "CreateDatabase") not in privileges
    assert list(server.ask("SelectGrant", entity={"role": {"name": "public"}}).entities) == []


def test_privileges_are_selected_by_type_and_name_of_their_object(server: Server) -> None:
    def selected(**entity: Any) -> set[str]:
        entities = server.ask("SelectGrant", entity={"role": {"name": "admin"}, **entity}).entities
        return {found.object.name for found in entities}

    assert selected() == {"Global", "Collection", "User"}
    assert selected(object={"name": "User"}, object_name="*") == {"User"}
    assert selected(object={"name": "Collection"}, object_name="docs") == set(), "they are of all collections"
    assert selected(db_name="default") == {"Global", "Collection", "User"}
    assert server.ask("SelectGrant", entity={"role": {"name": "king"}}).status.reason.startswith("role not found")


def test_a_missing_user_is_no_user(server: Server) -> None:
    missing = server.ask("SelectUser", user={"name": "nobody"}, include_role_info=True)
    assert (missing.status.code, list(missing.results)) == (0, [])


def test_a_description_is_changed_without_the_password(server: Server) -> None:
    """As ``update_user`` of pymilvus 3 does: with empty passwords."""
    server.ask("CreateCredential", username="may", password=encoded("correct horse"), description="a tester")
    told = [server.ask("SelectUser", user={"name": "may"}).results[0].description]
    for secret in (server.admin, "may:correct horse"):
        assert server.ask("UpdateCredential", username="may", description=f"by {secret[:3]}", secret=secret).code == 0
        (own,) = server.ask("SelectUser", user={"name": "may"}, secret="may:correct horse").results
        told.append(own.description)
    assert told == ["a tester", "by psk", "by may"]
    assert server.ask("UpdateCredential", username="may", description="").code == 0
    assert server.ask("SelectUser", user={"name": "may"}).results[0].description == ""
    nothing = server.ask("UpdateCredential", username="may")
    assert (nothing.code, nothing.reason) == (1100, "a password has 6 to 256 characters: invalid parameter")
    assert server.ask("UpdateCredential", username="nobody", description="x").code == 1100
    with pytest.raises(AssertionError, match="PERMISSION_DENIED"):
        server.ask("UpdateCredential", username="eve", description="x", secret="may:correct horse")
    actions = [entry.action for entry in server.catalog.audit.read() if entry.subject == "may"]
    assert actions[:2] == ["user.create", "user.update"]


def test_the_audit_log_tells_a_grant_from_a_revocation(server: Server) -> None:
    server.ask("CreateCredential", username="ann", password=encoded("correct horse"))
    server.ask("OperateUserRole", username="ann", role_name="reader", type=ADD)
    server.ask("OperateUserRole", username="ann", role_name="reader", type=REMOVE)
    actions = [entry.action for entry in server.catalog.audit.read() if entry.subject == "ann reader"]
    assert actions == ["user.grant_role", "user.revoke_role"]


def test_only_admins_manage_users(server: Server) -> None:
    server.ask("CreateCredential", username="joe", password=encoded("correct horse"))
    for method, fields in (
        ("ListCredUsers", {}),
        ("SelectUser", {"user": {"name": "eve"}}),
        ("SelectRole", {}),
        ("CreateCredential", {"username": "kim", "password": encoded("correct horse")}),
        ("OperateUserRole", {"username": "joe", "role_name": "admin", "type": ADD}),
    ):
        with pytest.raises(AssertionError, match="PERMISSION_DENIED"):
            server.ask(method, secret="joe:correct horse", **fields)
