"""Connection parameters of remote writers, with pymilvus's names: endpoint, bucket and credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["AzureConnectParam", "S3ConnectParam"]

DEFAULT_BUCKET = "a-bucket"


@dataclass(frozen=True)
class S3ConnectParam:
    """A bucket of S3, MinIO, or any compatible store (for Google Cloud Storage: endpoint
    ``storage.googleapis.com``, ``secure=True``, HMAC keys). Needs the extra ``penstock-import[s3]``.

    Args:
        endpoint: ``host`` or ``host:port`` (``secure`` selects the scheme), or a whole URL. None: AWS.
        enable_virtual_style_endpoint: put the bucket into the host name.
        region: by default looked up at AWS; ``us-east-1`` elsewhere.
        http_client: accepted for compatibility with pymilvus and unused; a value other than None is rejected.
        credentials: an object whose ``retrieve()`` returns ``access_key``, ``secret_key`` and ``session_token``, as
            minio's providers do; used instead of the keys.

    Without keys and credentials, those of the environment or of the machine's role are used.
    """

    bucket_name: str = DEFAULT_BUCKET
    endpoint: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    secure: bool = False
    enable_virtual_style_endpoint: bool = False
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    http_client: Any = field(default=None, repr=False)
    credentials: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class AzureConnectParam:
    """A container of Azure Blob Storage. Needs the extra ``penstock-import[azure]``.

    Args:
        conn_str: a connection string; or else ``account_url``.
        credential: an account key, a SAS token, or a credential object of ``azure-identity``.
        upload_chunk_size: bytes per uploaded block; smaller files are sent in one call.
        upload_concurrency: blocks uploaded at the same time.
    """

    container_name: str
    conn_str: str = field(default="", repr=False)
    account_url: str | None = None
    credential: str | Mapping[str, str] | Any = field(default=None, repr=False)
    upload_chunk_size: int = 8 << 20
    upload_concurrency: int = 4
