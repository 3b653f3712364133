"""OpenAPI operations of the upload routes of the Milvus v2 dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.wire.http import Operation

_TAG = "uploads (tus 1.0)"
_TEXT: Mapping[str, Any] = {"type": "string"}
_COUNT: Mapping[str, Any] = {"type": "integer", "format": "int64", "minimum": 0}
_CLUSTER: Mapping[str, Mapping[str, Any]] = {
    "clusterId": {"type": "string", "description": "Default: the server's own cluster."}
}
_DATABASE: Mapping[str, Any] = {
    "type": "string",
    "description": "A database that the caller may import into. Default: default.",
}

STATUSES: Mapping[int, str] = {
    400: "A header is missing or malformed, or more bytes were sent than announced.",
    401: "Missing or invalid credentials.",
    403: "The caller may not import into the database.",
    404: "The upload does not exist, or no longer.",
    408: "The body came too slowly; what was received stays.",
    409: "Another call writes to the upload, or it ends at another offset (header Upload-Offset).",
    413: "The file is larger than the server accepts.",
    429: "The org's uploads have reached its quota, or too many wrong credentials from this address.",
    460: "The bytes do not have the announced checksum.",
    500: "Internal error.",
    503: "The catalog is unavailable.",
    507: "The server's disk is full.",
}

OPERATIONS: Mapping[str, Operation] = {
    "POST": Operation(
        summary="Create an upload, or find the one of the same file",
        tag=_TAG,
        description="Returns where to send the file (header Location), how far it is (offset), and the path that "
        "imports name it by once it is complete. The same name, size and SHA-256 give the same upload.",
        query=_CLUSTER,
        headers={
            "Upload-Length": {**_COUNT, "description": "Bytes of the whole file.", "example": 1048576},
            "Upload-Metadata": {
                "type": "string",
                "description": "filename and sha256 (64 hexadecimal digits), each value in base64.",
                "example": "filename YS5wYXJxdWV0,sha256 OWY4NmQwODE4ODRjN2Q2NTlhMmZlYWEwYzU1YWQwMTVhM2JmNGYxYjJi"
                "MGI4MjJjZDE1ZDZjMTViMGYwMGEwOA==",
            },
            "DB-Name": _DATABASE,
        },
        required=["Upload-Length", "Upload-Metadata"],
        data={
            "type": "object",
            "properties": {
                "uploadId": _TEXT,
                "path": {"type": "string", "example": "upload://0123456789abcdef0123456789abcdef/a.parquet"},
                "offset": _COUNT,
                "size": _COUNT,
                "complete": {"type": "boolean"},
                "expireTime": {"type": "string", "format": "date-time"},
            },
        },
        success=201,
    ),
    "OPTIONS": Operation(
        summary="Describe the server's uploads: version, extensions, maximum size", tag=_TAG, success=204
    ),
    "HEAD": Operation(
        summary="Get the offset of an upload: how many bytes the server has",
        tag=_TAG,
        description="In the header Upload-Offset; Upload-Complete is ?1 once the file can be imported.",
        query=_CLUSTER,
        headers={"DB-Name": _DATABASE},
    ),
    "PATCH": Operation(
        summary="Send bytes of an upload",
        tag=_TAG,
        description="They are appended at Upload-Offset, which must be the upload's end. The call that sends the "
        "last byte verifies the SHA-256 of the file. An interrupted call loses nothing that has arrived.",
        query=_CLUSTER,
        headers={
            "Upload-Offset": {**_COUNT, "example": 0},
            "Upload-Checksum": {"type": "string", "description": "sha256, sha1 or md5 of the body, in base64."},
            "DB-Name": _DATABASE,
        },
        required=["Upload-Offset"],
        media_type="application/offset+octet-stream",
        success=204,
    ),
    "DELETE": Operation(
        summary="Delete an upload that no running job reads",
        tag=_TAG,
        query=_CLUSTER,
        headers={"DB-Name": _DATABASE},
        success=204,
    ),
}
