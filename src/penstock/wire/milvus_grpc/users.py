"""Users and roles. Passwords come as base64 of their UTF-8.

Roles are built in: methods that create, drop or change them are among those that are not served.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from penstock.access.accounts import AccountService
from penstock.access.cluster_users import ClusterUser, ClusterUsers
from penstock.domain.access import Role
from penstock.errors import AccountNotFound, InvalidParameter, Unauthenticated, shorten
from penstock.wire.milvus.errors import wrong_password
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import Handler, MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import milvus_pb2

_EVERY = "*"
"""All privileges are of every object in every database. As in Milvus, one asks for these by this name."""


def methods(accounts: AccountService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    users = ClusterUsers(accounts)

    def create(request: Request) -> object:
        message = request.message
        password = _password(message.password, message.username)
        users.create(request.caller, request.cluster, message.username, password, message.description)
        return None

    def update(request: Request) -> object:
        message = request.message
        name = message.username
        description = message.description if message.HasField("description") else None
        if _is_description_alone(message):
            users.set_description(request.caller, request.cluster, name, message.description)
            return None
        try:
            users.change_password(
                request.caller,
                request.cluster,
                name,
                old=_password(message.oldPassword, name),
                new=_password(message.newPassword, name),
                description=description,
            )
        except Unauthenticated as error:
            raise wrong_password(name) from error
        return None

    def drop(request: Request) -> object:
        users.drop(request.caller, request.cluster, request.message.username)
        return None

    def list_names(request: Request) -> object:
        names = [user.name for user in users.list(request.caller, request.cluster)]
        return milvus_pb2.ListCredUsersResponse(usernames=names)

    def select_users(request: Request) -> object:
        message = request.message
        try:
            if message.user.name:
                selected = [users.get(request.caller, request.cluster, message.user.name)]
            else:
                selected = list(users.list(request.caller, request.cluster))
        except AccountNotFound:
            # An empty result in Milvus: clients ask so whether there is the user.
            selected = []
        results = [_user_result(user, with_roles=message.include_role_info) for user in selected]
        return milvus_pb2.SelectUserResponse(results=results)

    def select_roles(request: Request) -> object:
        message = request.message
        names = users.roles(request.caller, request.cluster)
        if message.role.name:
            # None in Milvus, too, if there is no such role: Role.is_exist() of pymilvus asks so.
            names = [name for name in names if name == message.role.name]
        members = users.list(request.caller, request.cluster) if message.include_user_info else ()
        results = [
            milvus_pb2.RoleResult(
                role={"name": role}, users=[{"name": user.name} for user in members if role in user.roles]
            )
            for role in names
        ]
        return milvus_pb2.SelectRoleResponse(results=results)

    def operate_role(request: Request) -> object:
        message = request.message
        operate = users.grant_role if _is_grant(message) else users.revoke_role
        operate(request.caller, request.cluster, message.username, message.role_name)
        return None

    def select_grants(request: Request) -> object:
        entity = request.message.entity
        role = entity.role.name
        entities = [
            milvus_pb2.GrantEntity(
                role={"name": role},
                object={"name": privilege.object_type},
                object_name=_EVERY,
                grantor={"privilege": {"name": privilege.name}},
                db_name=_EVERY,
            )
            for privilege in users.privileges(request.caller, request.cluster, role)
            if entity.object.name in ("", privilege.object_type) and entity.object_name in ("", _EVERY)
        ]
        return milvus_pb2.SelectGrantResponse(entities=entities)

    def method(name: str, handler: Handler, action: str, *, role: Role | None = Role.ADMIN) -> GrpcMethod:
        return grpc.method(name, handler, action=action, role=role, whole_cluster=True)

    return (
        method("CreateCredential", create, "user.create"),
        # Every user may change and see their own.
        grpc.method(
            "UpdateCredential",
            update,
            action="user.update_password",
            action_of=_update_action,
            role=None,
            whole_cluster=True,
        ),
        method("SelectUser", select_users, "user.describe", role=None),
        method("DeleteCredential", drop, "user.drop"),
        method("ListCredUsers", list_names, "user.list"),
        method("SelectRole", select_roles, "role.list"),
        grpc.method(
            "OperateUserRole",
            operate_role,
            action="user.grant_role",
            action_of=_role_action,
            role=Role.ADMIN,
            whole_cluster=True,
        ),
        method("SelectGrant", select_grants, "role.describe"),
    )


def _is_grant(message: Any) -> bool:
    return bool(message.type == milvus_pb2.OperateUserRoleType.Value("AddUserToRole"))


def _is_description_alone(message: Any) -> bool:
    """Whether a change has no passwords, as ``update_user`` of pymilvus 3 sends it."""
    return message.HasField("description") and not (message.oldPassword or message.newPassword)


def _update_action(message: Any) -> str:
    return "user.update" if _is_description_alone(message) else "user.update_password"


def _role_action(message: Any) -> str:
    return "user.grant_role" if _is_grant(message) else "user.revoke_role"


def _user_result(user: ClusterUser, *, with_roles: bool) -> Any:
    return milvus_pb2.UserResult(
        user={"name": user.name},
        roles=[{"name": role} for role in user.roles] if with_roles else [],
        description=user.description,
    )


def _password(encoded: str, name: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        # From None: the cause has the password.
        raise InvalidParameter(f"the password of {shorten(name)} is not base64 of UTF-8 text", user=name) from None
