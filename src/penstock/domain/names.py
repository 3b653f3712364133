"""The naming rules of Milvus for databases, collections, fields and partitions (data-plane REST v2)."""

from __future__ import annotations

import re

from penstock.errors import InvalidName, shorten

MAX_NAME_BYTES = 255
_SHOWN = 300
"""Maximum characters of an invalid name that an error repeats."""
DEFAULT_DATABASE = "default"
DEFAULT_PARTITION = "_default"
RESERVED_FIELDS = frozenset({"__part"})
"""Canonical batches carry the partition of each row in a column of this name."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_USER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_CLUSTER = re.compile(r"in\d{2}-[0-9A-Za-z_-]{1,59}\Z")
MAX_USER_NAME = 32
_PARTITION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")


def _check(kind: str, name: str, what: str | None = None) -> None:
    what = what or f"{kind} name"
    label = f"Invalid {what}: {shorten(name, _SHOWN)}."
    if not name:
        raise InvalidName(f"Invalid {what}: the name must not be empty", kind=kind, name=name)
    if len(name) > MAX_NAME_BYTES or len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidName(
            f"{label} the length of a {what} must be less than {MAX_NAME_BYTES} characters", kind=kind, name=name
        )
    if not re.match(r"[A-Za-z_]", name):
        raise InvalidName(
            f"{label} the first character of a {what} must be an underscore or letter", kind=kind, name=name
        )
    if not _NAME.match(name):
        raise InvalidName(f"{label} {what} can only contain numbers, letters and underscores", kind=kind, name=name)


def check_collection_name(name: str) -> None:
    """Raise :class:`InvalidName` unless ``name`` is a letter or ``_`` and then letters, digits, ``_``."""
    _check("collection", name)


def check_alias_name(name: str) -> None:
    """Check the name of an alias by the rule of :func:`check_collection_name`."""
    _check("alias", name, "collection alias")


def check_database_name(name: str) -> None:
    """Check a database name by the rule of :func:`check_collection_name`."""
    _check("database", name)


def check_field_name(name: str) -> None:
    """Check a field name by the rule of :func:`check_collection_name`; names of hidden columns are reserved."""
    _check("field", name)
    if name in RESERVED_FIELDS:
        raise InvalidName(f"Invalid field name: {name}. The name is reserved", kind="field", name=name)


def check_index_name(name: str) -> None:
    """Check a given name of an index by the rule of :func:`check_collection_name`."""
    _check("index", name)


def check_partition_name(name: str) -> None:
    """Check a partition name: like the others, but a digit may come first and ``-`` may follow."""
    too_long = len(name) > MAX_NAME_BYTES or len(name.encode()) > MAX_NAME_BYTES
    if not name or too_long or not _PARTITION.match(name):
        raise InvalidName(
            f"Invalid partition name: {shorten(name, _SHOWN)}. "
            "Partition name can only contain numbers, letters and underscores.",
            kind="partition",
            name=name,
        )


def check_user_name(name: str) -> None:
    """Check a user name: a letter, then letters, digits, ``_``, ``-`` and ``.``; 32 characters at most.

    No colon, which ends the name in a login.
    """
    if len(name) > MAX_USER_NAME or not _USER.match(name):
        raise InvalidName(
            f"Invalid user name: {name[:80]}. It must start with a letter, followed by letters, digits, _, - or . ; "
            f"{MAX_USER_NAME} characters at most",
            kind="user",
            name=name,
        )


def check_cluster_id(cluster_id: str) -> None:
    """Check a cluster id, in Zilliz Cloud's form: ``in``, two digits, ``-`` and letters, digits, ``_``, ``-``."""
    if not _CLUSTER.match(cluster_id):
        raise InvalidName(
            f"Invalid cluster id: {cluster_id[:80]}. Use the form in01-search: in, two digits, - and a name of "
            "letters, digits, _ and -",
            kind="cluster",
            name=cluster_id,
        )
