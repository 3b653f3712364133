"""Error numbers and texts of the Zilliz Cloud v1 dialect, as data.

When several apply, the first of these wins. A reply has one error, the outermost first: the host, the cluster, then
the call's own parameters, then errors of the services.

| order | code | when |
|---|---|---|
| 1 | 90117 | the host is ``controller.api.{region}.zillizcloud.com`` of another region |
| 1 | 80001, 80002 | credentials are absent or malformed; unknown |
| 2 | 90142 | create: the body is empty |
| 3 | 80000 | create: the body is not a JSON object, too large, or a value has the wrong type |
| 4 | 90103 | create, get: no ``clusterId`` at all |
| 5 | 90104 | ``clusterId`` is empty; list: or not there |
| 6 | 80020 | no such cluster, and the id is none of the form ``in00-…`` or authentication is on; another org's |
| 7 | 40021 | there is no such cluster |
| 7 | 40022 | the caller has no role in the cluster; create: isn't a writer in it |
| 8 | 90102 | the cluster is in another region than the server |
| 9 | 90011 | create: ``collectionName`` is absent or breaks the naming rule |
| 10 | 90145, 90142 | create: no ``objectUrl``; an empty one |
| 11 | 10003 | create: an ``objectUrl`` with a scheme, but without bucket or key |
| 12 | 90144 | get: no ``jobId``, not a number, or unknown in this cluster |
| 13 | 80000, 80003, 80004 | list: a paging value that is not a number; ``pageSize``, ``currentPage`` out of bounds |
| 14 | the rows of :data:`ROWS` | what the services raise |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock import errors
from penstock.errors import PenstockError
from penstock.wire.decoding import MalformedBody, MissingField
from penstock.wire.http import BodyTooLarge

UNAVAILABLE = 40003
INTERNAL = 80000

# Published numbers. ``{}`` takes the details of the case. Those of cluster plans (80021, 80022) are for clouds.
TEXTS: Mapping[int, str] = {
    1800: "User hasn't authenticated",
    10003: "Invalid s3 ObjectUrl. [{}]",
    40003: "Action not available given the current status of the cluster. {}",
    40021: "The cluster ID does not exist.",
    40022: "No access to this cluster. Please request access from your admin.",
    47005: "The specified cluster collection not exists.",
    47035: "The specified object size exceeds limit. {}",
    47036: "The number of objects not equal to the number of collection fields. {}",
    47039: "The specified cluster do not support multiple imports at the same time.",
    47053: "Failed to checkFiles {{{}}}.",
    47055: (
        "The current cluster is currently importing data ({}). To ensure more stable service of your Milvus cluster, "
        "please wait a few minutes before importing the data."
    ),
    80000: "Incorrect parameter: {}",
    80001: "The token is illegal",
    80002: "The token is invalid",
    80003: "The parameter value for 'pageSize' should be between 5 and 100.",
    80004: "The parameter 'currentPage' should have a value between 1 and the maximum value of Int.",
    80020: "Invalid clusterId or you do not have permission to access that Cluster.",
    80021: "Serverless cluster not support this operation.",
    80022: "Dedicated cluster not support this operation.",
    83001: "Failed to getObjectMeta {{{}}}.",
    83004: "Importing files across clouds is not currently supported. {}",
    90011: (
        "Invalid CollectionName. Reason: Name contains only alphanumeric letters and underscores, and the first "
        "character should be an underscore, a lowercase letter, or a uppercase letter"
    ),
    90102: "The cluster does not exist in current region.",
    90103: "The clusterId parameter is empty in the request path.",
    90104: "The clusterId parameter is empty in the request parameter.",
    90117: "Invalid domain name used, please check the domain name you're using.",
    90142: "No import content provided.",
    90144: "No jobId record found under this cluster, please check your request parameters.",
    90145: "No ObjectUrl key field.",
}


_HIDDEN = frozenset({40022, 80020})
"""Numbers that may stand for an existing object that the caller may not access."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Number of an error class.

    ``by_detail`` replaces it where the error's ``limit``, ``rule`` or ``kind`` is one of its keys.
    """

    code: int
    by_detail: Mapping[str, int] = field(default_factory=dict)


class Refused(errors.InvalidParameter):
    """An error raised by this dialect itself. ``about`` fills the published text."""

    code = "dialect_refusal"

    def __init__(self, code: int, about: str = "") -> None:
        super().__init__(TEXTS[code].format(about).rstrip(), code=code, hidden=code in _HIDDEN)

    @property
    def number(self) -> int:
        return int(self.details["code"])


# Per error class; a class without a row inherits its parent's.
ROWS: Mapping[type[PenstockError], ErrorRow] = {
    PenstockError: ErrorRow(UNAVAILABLE),
    errors.InvalidParameter: ErrorRow(80000),
    MalformedBody: ErrorRow(80000),
    BodyTooLarge: ErrorRow(80000),
    MissingField: ErrorRow(80000),
    errors.MissingParameter: ErrorRow(80000),
    errors.InvalidName: ErrorRow(80000, {"collection": 90011}),
    errors.InvalidSchema: ErrorRow(80000),
    errors.InvalidFilter: ErrorRow(80000),
    errors.Unsupported: ErrorRow(83004),
    errors.MissingExtra: ErrorRow(83004),
    errors.NotFound: ErrorRow(80000),
    errors.ClusterNotFound: ErrorRow(40021),
    errors.DatabaseNotFound: ErrorRow(80000),
    errors.CollectionNotFound: ErrorRow(47005),
    errors.PartitionNotFound: ErrorRow(80000),
    errors.FieldNotFound: ErrorRow(80000),
    errors.IndexNotFound: ErrorRow(80000),
    errors.JobNotFound: ErrorRow(90144),
    errors.AliasNotFound: ErrorRow(80000),
    errors.Conflict: ErrorRow(UNAVAILABLE),
    errors.AliasExists: ErrorRow(UNAVAILABLE),
    errors.AliasNameConflict: ErrorRow(UNAVAILABLE),
    errors.CollectionLoaded: ErrorRow(UNAVAILABLE),
    errors.CollectionExists: ErrorRow(UNAVAILABLE),
    errors.DatabaseExists: ErrorRow(UNAVAILABLE),
    errors.DatabaseNotEmpty: ErrorRow(UNAVAILABLE),
    errors.IndexExists: ErrorRow(UNAVAILABLE),
    errors.CollectionNotLoaded: ErrorRow(UNAVAILABLE),
    errors.JobStateConflict: ErrorRow(UNAVAILABLE),
    errors.RevertImpossible: ErrorRow(UNAVAILABLE),
    errors.UploadNotFound: ErrorRow(83001),
    errors.UploadConflict: ErrorRow(UNAVAILABLE),
    errors.UploadCorrupt: ErrorRow(83001),
    errors.TargetNotEmpty: ErrorRow(UNAVAILABLE),
    errors.AccountNotFound: ErrorRow(80000),
    errors.OrgNotFound: ErrorRow(80000),
    errors.WebhookNotFound: ErrorRow(80000),
    errors.AccountExists: ErrorRow(UNAVAILABLE),
    errors.ClusterExists: ErrorRow(UNAVAILABLE),
    errors.ClusterNotEmpty: ErrorRow(UNAVAILABLE),
    errors.AccessDenied: ErrorRow(40022),
    errors.Unauthenticated: ErrorRow(80002, {"absent": 80001, "illegal": 80001}),
    errors.TooManyAttempts: ErrorRow(80002),
    errors.PermissionDenied: ErrorRow(40022),
    errors.ImportRefused: ErrorRow(47053, {"numpy_fields": 47036}),
    errors.LimitExceeded: ErrorRow(47055, {"max_file_bytes": 47035, "max_jobs_per_cluster": 47039}),
    errors.QuotaExceeded: ErrorRow(47055, {"max_daily_bytes_per_org": 47035}),
    errors.SourceError: ErrorRow(83001),
    errors.PathNotAllowed: ErrorRow(47053),
    errors.FileMissing: ErrorRow(83001),
    errors.FileUnreadable: ErrorRow(83001),
    errors.SourceUnavailable: ErrorRow(83001),
    errors.DataError: ErrorRow(47053, {"numpy_fields": 47036}),
    errors.CatalogError: ErrorRow(UNAVAILABLE),
    errors.CatalogFull: ErrorRow(UNAVAILABLE),
    errors.CatalogUnavailable: ErrorRow(UNAVAILABLE),
    errors.StorageError: ErrorRow(UNAVAILABLE),
    errors.StorageFull: ErrorRow(UNAVAILABLE),
    errors.TableDamaged: ErrorRow(UNAVAILABLE),
    errors.JobWithdrawn: ErrorRow(UNAVAILABLE),
    errors.LeaseLost: ErrorRow(UNAVAILABLE),
    errors.StorageConflict: ErrorRow(UNAVAILABLE),
    errors.StorageUnavailable: ErrorRow(UNAVAILABLE),
    errors.WorkerLost: ErrorRow(UNAVAILABLE),
    errors.MemoryExceeded: ErrorRow(UNAVAILABLE),
    errors.TaskCancelled: ErrorRow(UNAVAILABLE),
    errors.DataFolderInUse: ErrorRow(UNAVAILABLE),
}

_VARIANT_DETAILS = ("limit", "rule", "kind")


def code_and_text(error: PenstockError) -> tuple[int, str]:
    """The dialect's number and text for an error."""
    if isinstance(error, Refused):
        return error.number, str(error)
    row = next(ROWS[kind] for kind in type(error).__mro__ if kind in ROWS)
    variants = [row.by_detail.get(str(error.details.get(name))) for name in _VARIANT_DETAILS]
    code = next((variant for variant in variants if variant), row.code)
    return code, TEXTS[code].format(error)
