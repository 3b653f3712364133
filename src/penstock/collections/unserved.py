"""Calls of Milvus that this server doesn't serve, each with the alternative to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_IMPORT = "rows are written by import jobs: use /v2/vectordb/jobs/import/create"
_MAINTENANCE = "this server maintains its files automatically"
_NEW = "create a new collection and import into it"
_ROLES = "roles are built in: grant a user admin, writer or reader with /v2/vectordb/users/grant_role"
_DICTIONARIES = "analyzers take no dictionaries from files; put stop words into analyzer_params"
_BACKUP = "back up the server with penstock backup"

_ALTERNATIVES: Sequence[tuple[str, str, Sequence[str]]] = (
    ("entities", _IMPORT, ("insert", "upsert")),
    ("entities", "drop the partition or the collection", ("delete",)),
    ("collections", _NEW, ("truncate",)),
    ("collections", _NEW, ("add_function", "alter_function", "drop_function")),
    ("collections", _MAINTENANCE, ("compact", "get_compaction_state")),
    ("roles", _ROLES, ("create", "drop", "grant_privilege", "revoke_privilege")),
    ("roles", _ROLES, ("grant_privilege_v2", "revoke_privilege_v2")),
    (
        "privilege_groups",
        _ROLES,
        ("list", "create", "drop", "add_privileges_to_group", "remove_privileges_from_group"),
    ),
    ("resource_groups", "this server has a single node", ("list", "describe", "create", "drop", "alter")),
    ("resource_groups", "this server has a single node", ("transfer_replica",)),
    ("segments", _MAINTENANCE, ("describe",)),
    ("quotacenter", "set the quotas of orgs with penstock orgs set", ("describe",)),
    ("file_resources", _DICTIONARIES, ("list", "add", "remove")),
    ("snapshots", _BACKUP, ("list", "describe", "create", "drop", "restore")),
    ("jobs/snapshot", _BACKUP, ("list", "describe", "restore")),
    ("jobs/external_collection", _IMPORT, ("list", "describe", "refresh")),
)
"""Category, alternative, actions."""

UNSERVED: Mapping[str, str] = {
    f"{category}/{action}": alternative for category, alternative, actions in _ALTERNATIVES for action in actions
}
"""The alternative by the call's name, such as ``entities/insert``."""


def unserved_text(call: str) -> str:
    """The text of the error for a call of :data:`UNSERVED`."""
    return f"service unimplemented: {call} is not served by Penstock; {UNSERVED[call]}"
