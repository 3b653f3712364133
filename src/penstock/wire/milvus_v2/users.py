"""``/v2/vectordb/users/…`` and ``…/roles/…``: the users of a cluster's org, and their roles in the cluster.

Roles are built in. ``admin`` is Milvus's; ``public``, which all users have, has no privileges here. Custom roles and
single privileges are answered by :mod:`penstock.wire.milvus_v2.unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from penstock.access.accounts import AccountService
from penstock.domain.access import Grant, Role
from penstock.errors import InvalidParameter, PermissionDenied, Unauthenticated
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.dialect import Answer, MilvusV2, Request
from penstock.wire.milvus_v2.errors import Refused

__all__ = ["PUBLIC", "routes"]

PUBLIC = "public"
WRONG_PASSWORD = 1400

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

_USER = {"userName": {"type": "string"}}
_PASSWORD = _USER | {"password": {"type": "string"}}
_NEW_PASSWORD = _PASSWORD | {"newPassword": {"type": "string"}}
_DESCRIPTION = {"description": {"type": "string"}}
_ROLE = {"roleName": {"type": "string", "enum": [*(role.value for role in Role), PUBLIC]}}
_NAMES = {"type": "array", "items": {"type": "string"}}
_OBJECTS = {"type": "array", "items": {"type": "object"}}


def routes(accounts: AccountService, v2: MilvusV2) -> tuple[Route, ...]:
    def list_users(request: Request) -> object:
        _require_admin(request)
        return [user.name for user in accounts.users(request.cluster.org_id)]

    def describe_user(request: Request) -> object:
        name = request.fields.required_string("userName")
        if not request.caller.is_user_named(name):
            _require_admin(request)
        user = accounts.user(name, request.cluster.org_id)
        roles = [role.value for role in Role if any(_is_granted(grant, role, request) for grant in user.grants)]
        return Answer(roles, {"description": user.description})

    def create_user(request: Request) -> object:
        name, password = _required(request, "userName", "password")
        _require_admin(request, changes=True)
        description = request.fields.string("description") or ""
        accounts.create_user(request.cluster.org_id, name, password, description=description)
        return None

    def update_password(request: Request) -> object:
        name, old, new = _required(request, "userName", "password", "newPassword")
        description = request.fields.string("description")
        if not request.caller.is_user_named(name):
            _require_admin(request, changes=True)
            accounts.set_password(name, new, request.cluster.org_id, by=request.caller, description=description)
            return None
        try:
            accounts.change_password(name, old, new, description)
        except Unauthenticated as error:
            text = f"old password not correct for {name}: not authenticated"
            raise Refused(WRONG_PASSWORD, text) from error
        return None

    def drop_user(request: Request) -> object:
        (name,) = _required(request, "userName")
        _require_admin(request, changes=True)
        accounts.drop_user(name, request.cluster.org_id, by=request.caller, missing_ok=True)
        return None

    def grant_role(request: Request) -> object:
        name, role = _checked_user_and_role(request)
        if role is not None:
            accounts.grant(name, Grant(role=role, cluster_id=request.cluster_id), request.cluster.org_id)
        return None

    def revoke_role(request: Request) -> object:
        name, role = _checked_user_and_role(request)
        if role is None:
            return None
        org_id = request.cluster.org_id
        accounts.withdraw(name, Grant(role=role, cluster_id=request.cluster_id), org_id)
        if Grant(role=role) in accounts.user(name, org_id).grants:
            raise InvalidParameter(
                f"{name} has the role {role} in every cluster of the org; revoke it with "
                f"'penstock users revoke-role {name} --role {role}'"
            )
        return None

    def _checked_user_and_role(request: Request) -> tuple[str, Role | None]:
        name, role = _required(request, "userName", "roleName")
        _require_admin(request, changes=True)
        accounts.user(name, request.cluster.org_id)
        return name, None if role == PUBLIC else _role(role)

    def list_roles(request: Request) -> object:
        _require_admin(request)
        return sorted((*(role.value for role in Role), PUBLIC))

    def describe_role(request: Request) -> object:
        (name,) = _required(request, "roleName")
        _require_admin(request)
        return [] if name == PUBLIC else _privileges(_role(name))

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


def _require_admin(request: Request, *, changes: bool = False) -> None:
    """Require the role admin in the cluster, and for ``changes`` a caller who may manage users.

    Without authentication a change has no accountable caller; and users created over HTTP have no import roots, so a
    caller with roots could import anything through a new user.

    Raises:
        PermissionDenied: the caller lacks one of these.
    """
    request.caller.require(Role.ADMIN, request.cluster)
    if changes and request.caller.is_anybody:
        raise PermissionDenied(
            "while authentication is off, users can only be managed on the server's machine: 'penstock users'"
        )
    if changes and request.caller.roots:
        raise PermissionDenied(
            f"{request.caller.name} may import from some roots only, but users from all of them: creating or "
            "changing users requires a key without --root"
        )


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as error:
        names = ", ".join((*(role.value for role in Role), PUBLIC))
        raise InvalidParameter(f"role not found: {name[:80]}; the roles are {names}", role=name) from error


def _is_granted(grant: Grant, role: Role, request: Request) -> bool:
    return grant.role is role and grant.covers(request.cluster_id, None)


def _privileges(role: Role) -> list[dict[str, str]]:
    return [
        {"dbName": "*", "grantor": "", "objectName": "*", "objectType": kind, "privilege": privilege}
        for included in Role
        if role.includes(included)
        for kind, privileges in _PRIVILEGES[included].items()
        for privilege in privileges
    ]
