"""``/v2/vectordb/users/…`` and ``…/roles/…``: the users of a cluster's org, and their roles in the cluster.

Roles are built in. ``admin`` is Milvus's; ``public``, which all users have, has no privileges here. Custom roles and
single privileges are answered by :mod:`penstock.wire.milvus_v2.unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.access.accounts import AccountService
from penstock.access.cluster_users import PUBLIC, ClusterUsers
from penstock.domain.access import Role
from penstock.errors import Unauthenticated
from penstock.wire.http import Operation, Route
from penstock.wire.milvus.errors import wrong_password
from penstock.wire.milvus_v2.dialect import Answer, MilvusV2, Request

_USER = {"userName": {"type": "string"}}
_PASSWORD = _USER | {"password": {"type": "string"}}
_NEW_PASSWORD = _PASSWORD | {"newPassword": {"type": "string"}}
_DESCRIPTION = {"description": {"type": "string"}}
_ROLE = {"roleName": {"type": "string", "enum": [*(role.value for role in Role), PUBLIC]}}
_NAMES = {"type": "array", "items": {"type": "string"}}
_OBJECTS = {"type": "array", "items": {"type": "object"}}


def routes(accounts: AccountService, v2: MilvusV2) -> tuple[Route, ...]:
    users = ClusterUsers(accounts)

    def list_users(request: Request) -> object:
        return [user.name for user in users.list(request.caller, request.cluster)]

    def describe_user(request: Request) -> object:
        name = request.fields.required_string("userName")
        user = users.get(request.caller, request.cluster, name)
        return Answer(user.roles, {"description": user.description})

    def create_user(request: Request) -> object:
        name, password = _required(request, "userName", "password")
        description = request.fields.string("description") or ""
        users.create(request.caller, request.cluster, name, password, description)
        return None

    def update_password(request: Request) -> object:
        name, old, new = _required(request, "userName", "password", "newPassword")
        description = request.fields.string("description")
        try:
            users.change_password(request.caller, request.cluster, name, old=old, new=new, description=description)
        except Unauthenticated as error:
            raise wrong_password(name) from error
        return None

    def drop_user(request: Request) -> object:
        (name,) = _required(request, "userName")
        users.drop(request.caller, request.cluster, name)
        return None

    def grant_role(request: Request) -> object:
        name, role = _required(request, "userName", "roleName")
        users.grant_role(request.caller, request.cluster, name, role)
        return None

    def revoke_role(request: Request) -> object:
        name, role = _required(request, "userName", "roleName")
        users.revoke_role(request.caller, request.cluster, name, role)
        return None

    def list_roles(request: Request) -> object:
        return users.roles(request.caller, request.cluster)

    def describe_role(request: Request) -> object:
        (name,) = _required(request, "roleName")
        return [
            {
                "dbName": "*",
                "grantor": "",
                "objectName": "*",
                "objectType": privilege.object_type,
                "privilege": privilege.name,
            }
            for privilege in users.privileges(request.caller, request.cluster, name)
        ]

    def route(
        action: str,
        handler: Callable[[Request], object],
        summary: str,
        struct: str,
        body: Mapping[str, Mapping[str, object]],
        data: Mapping[str, object] | None = None,
    ) -> Route:
        required = [key for key in body if key not in _DESCRIPTION]
        operation = Operation(
            summary=summary, tag="users", body=body, required=required, data=data or {"type": "object"}
        )
        return v2.post(action, handler, struct=struct, role=None, whole_cluster=True, operation=operation)

    user_and_role = _USER | _ROLE
    return (
        route("/users/list", list_users, "List the users of the org", "EmptyReq", {}, _NAMES),
        route("/users/describe", describe_user, "List a user's roles in the cluster", "UserReq", _USER, _NAMES),
        route(
            "/users/create",
            create_user,
            "Create a user without roles",
            "PasswordReq",
            _PASSWORD | _DESCRIPTION,
        ),
        route(
            "/users/update_password",
            update_password,
            "Change a user's password, and optionally the description",
            "NewPasswordReq",
            _NEW_PASSWORD | _DESCRIPTION,
        ),
        route("/users/drop", drop_user, "Drop a user", "UserReq", _USER),
        route("/users/grant_role", grant_role, "Grant a user a role in the cluster", "UserRoleReq", user_and_role),
        route("/users/revoke_role", revoke_role, "Revoke a role of a user", "UserRoleReq", user_and_role),
        route("/roles/list", list_roles, "List the built-in roles", "EmptyReq", {}, _NAMES),
        route("/roles/describe", describe_role, "List the privileges of a role", "RoleReq", _ROLE, _OBJECTS),
    )


def _required(request: Request, *keys: str) -> list[str]:
    request.fields.require(*keys)
    return [request.fields.string(key) or "" for key in keys]
