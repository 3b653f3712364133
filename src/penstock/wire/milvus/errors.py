"""Error numbers of the Milvus v2 dialect, as data: one row per error class.

A class without a row inherits its parent's: the table is searched along the class's MRO. Two profiles share it:
the Milvus profile as it is, the Zilliz profile (calls with ``clusterId`` or ``projectId``) with a few rows replaced.

A handler raises :class:`Refused` where it needs another number or text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from penstock import errors
from penstock.errors import PenstockError, shorten
from penstock.wire.decoding import MalformedBody, MissingField
from penstock.wire.http import BodyTooLarge

SUCCESS = 0
UNAUTHENTICATED = 1800
TIMEOUT = 10001
INTERNAL = 65535


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Number, text and HTTP status of an error class. ``prefix`` and ``suffix`` frame the error's own text, once;
    ``template`` replaces it where the error's details have all of its placeholders."""

    code: int
    suffix: str = ""
    prefix: str = ""
    template: str = ""
    status: int = 200


class Refused(errors.InvalidParameter):
    """An error with a number of the dialect, where the error class doesn't determine it."""

    code = "dialect_refusal"

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text, code=code)

    @property
    def number(self) -> int:
        return int(self.details["code"])


_SHOWN = 300
"""Maximum length of a name in a template's text: more than any valid name has."""
_INVALID = ": invalid parameter"
_MISSING = ": missing parameter"
_IMPORT = ": importing data failed"
_IMPORT_SYSTEM = ": importing data failed on server side"
_NOT_JSON = "can only accept json format request, error: "

MILVUS: Mapping[type[PenstockError], ErrorRow] = {
    PenstockError: ErrorRow(INTERNAL),
    errors.InvalidParameter: ErrorRow(1100, _INVALID),
    MalformedBody: ErrorRow(1801, prefix=_NOT_JSON),
    BodyTooLarge: ErrorRow(1801, prefix=_NOT_JSON),
    MissingField: ErrorRow(1802, prefix="missing required parameters, error: "),
    errors.MissingParameter: ErrorRow(1101, _MISSING),
    errors.InvalidName: ErrorRow(1100, _INVALID),
    errors.InvalidSchema: ErrorRow(1100, _INVALID),
    errors.InvalidFilter: ErrorRow(1100, _INVALID),
    errors.Unsupported: ErrorRow(1100, _INVALID),
    errors.MissingExtra: ErrorRow(1100, _INVALID),
    errors.NotFound: ErrorRow(1100, _INVALID),
    errors.ClusterNotFound: ErrorRow(
        96018, template="Cluster not found. Please use the ListClusters API to obtain your scoped clusters."
    ),
    errors.DatabaseNotFound: ErrorRow(800, template="database not found[database={database}]"),
    errors.CollectionNotFound: ErrorRow(
        100, template="collection not found[database={database}][collection={collection}]"
    ),
    errors.PartitionNotFound: ErrorRow(200, template="partition not found[partition={partition}]"),
    errors.FieldNotFound: ErrorRow(1700),
    errors.IndexNotFound: ErrorRow(700, template="index not found[indexName={index}]"),
    errors.AliasNotFound: ErrorRow(1600, template="alias not found[database={database}][alias={alias}]"),
    errors.JobNotFound: ErrorRow(2101, _IMPORT_SYSTEM),
    errors.UploadNotFound: ErrorRow(2100, _IMPORT),
    errors.UploadConflict: ErrorRow(2100, _IMPORT),
    errors.UploadCorrupt: ErrorRow(2100, _IMPORT),
    errors.Conflict: ErrorRow(1100, _INVALID),
    errors.CollectionExists: ErrorRow(1100, _INVALID),
    errors.DatabaseExists: ErrorRow(1100, _INVALID),
    errors.DatabaseNotEmpty: ErrorRow(1100, _INVALID),
    errors.IndexExists: ErrorRow(1100, _INVALID),
    errors.AliasExists: ErrorRow(1602),
    errors.AliasNameConflict: ErrorRow(
        1601, template="alias and collection name conflict[database={database}][alias={alias}]"
    ),
    errors.CollectionNotLoaded: ErrorRow(101),
    errors.CollectionLoaded: ErrorRow(104),
    errors.JobStateConflict: ErrorRow(2100, _IMPORT),
    errors.RevertImpossible: ErrorRow(2100, _IMPORT),
    errors.TargetNotEmpty: ErrorRow(1100, _INVALID),
    errors.AccountNotFound: ErrorRow(1100, _INVALID),
    errors.WebhookNotFound: ErrorRow(1100, _INVALID),
    errors.OrgNotFound: ErrorRow(INTERNAL),
    errors.AccountExists: ErrorRow(1100, _INVALID),
    errors.ClusterExists: ErrorRow(1100, _INVALID),
    errors.ClusterNotEmpty: ErrorRow(1100, _INVALID),
    errors.AccessDenied: ErrorRow(INTERNAL, status=403),
    errors.Unauthenticated: ErrorRow(UNAUTHENTICATED, prefix="user hasn't authenticated: ", status=401),
    errors.TooManyAttempts: ErrorRow(UNAUTHENTICATED, prefix="user hasn't authenticated: ", status=429),
    errors.PermissionDenied: ErrorRow(INTERNAL, prefix="permission deny: ", status=403),
    errors.ImportRefused: ErrorRow(2100, _IMPORT),
    errors.LimitExceeded: ErrorRow(2101, _IMPORT_SYSTEM),
    errors.QuotaExceeded: ErrorRow(1807, prefix="request is rejected by limiter, error: "),
    errors.SourceError: ErrorRow(2100, _IMPORT),
    errors.PathNotAllowed: ErrorRow(2100, _IMPORT),
    errors.FileMissing: ErrorRow(2100, _IMPORT),
    errors.FileUnreadable: ErrorRow(2100, _IMPORT),
    errors.SourceUnavailable: ErrorRow(2101, _IMPORT_SYSTEM),
    errors.DataError: ErrorRow(1804, prefix="fail to deal the insert data, error: "),
    errors.CatalogError: ErrorRow(INTERNAL),
    errors.CatalogFull: ErrorRow(INTERNAL),
    errors.CatalogUnavailable: ErrorRow(INTERNAL),
    errors.StorageError: ErrorRow(INTERNAL),
    errors.StorageFull: ErrorRow(INTERNAL),
    errors.TableDamaged: ErrorRow(INTERNAL),
    errors.JobWithdrawn: ErrorRow(INTERNAL),
    errors.LeaseLost: ErrorRow(INTERNAL),
    errors.StorageConflict: ErrorRow(INTERNAL),
    errors.StorageUnavailable: ErrorRow(INTERNAL),
    errors.WorkerLost: ErrorRow(INTERNAL),
    errors.MemoryExceeded: ErrorRow(INTERNAL),
    errors.TaskCancelled: ErrorRow(INTERNAL),
    errors.DataFolderInUse: ErrorRow(INTERNAL),
}

# Zilliz publishes no numbers of its own for errors in files and names here; those rows stay Milvus's.
ZILLIZ: Mapping[type[PenstockError], ErrorRow] = {
    **MILVUS,
    errors.JobNotFound: ErrorRow(96026, template="Job not found. Please check your request parameter."),
    # With HTTP 200, since clients drop the body of anything else.
    errors.Unauthenticated: ErrorRow(21119, prefix="The apikey is illegal. "),
    errors.TooManyAttempts: ErrorRow(21119, prefix="The apikey is illegal. "),
    errors.PermissionDenied: ErrorRow(96012, prefix="You don't have permission for this cluster. "),
}

EXPORTS: Mapping[type[PenstockError], ErrorRow] = {
    kind: replace(row, suffix="") if row.suffix in (_IMPORT, _IMPORT_SYSTEM) else row for kind, row in MILVUS.items()
}
"""Milvus has no exports: the same numbers, and texts that don't end in "importing data failed"."""


def code_and_text(error: PenstockError, table: Mapping[type[PenstockError], ErrorRow] = MILVUS) -> tuple[int, str]:
    """The dialect's number and text for an error."""
    if isinstance(error, Refused):
        return error.number, str(error)
    row = _row(error, table)
    return row.code, _text(row, error)


def status_of(error: PenstockError, table: Mapping[type[PenstockError], ErrorRow] = MILVUS) -> int:
    """The HTTP status: 200 except for failed authentication or authorization."""
    return 200 if isinstance(error, Refused) else _row(error, table).status


def _row(error: PenstockError, table: Mapping[type[PenstockError], ErrorRow]) -> ErrorRow:
    return next(table[kind] for kind in type(error).__mro__ if kind in table)


def _text(row: ErrorRow, error: PenstockError) -> str:
    names = re.findall(r"{(\w+)}", row.template)
    if row.template and all(name in error.details for name in names):
        return row.template.format_map({name: shorten(str(error.details[name]), _SHOWN) for name in names})
    text = str(error)
    if not text.startswith(row.prefix):
        text = row.prefix + text
    # Some texts have the suffix in their middle: "…: invalid parameter[expected=A][actual=B]".
    return text if row.suffix in text else text + row.suffix


def wrong_password(name: str) -> Refused:
    """The error of a password change with a wrong old password."""
    return Refused(1400, f"old password not correct for {name}: not authenticated")
