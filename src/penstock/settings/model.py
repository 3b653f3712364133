"""The settings model: one field per setting, with its help text."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, model_validator
from pydantic.config import JsonDict

from penstock.machine import memory_limit, processors
from penstock.settings.names import flag_of
from penstock.settings.values import BucketUrl, Bytes, Count, Networks, Roots, Seconds, SuccessCode


def _quarter_of_memory() -> ByteSize:
    return ByteSize(memory_limit().size // 4)


def _field(default: Any, help_text: str, *, unit: str = "", reason: str = "", shown: str = "", **rules: Any) -> Any:
    """Define a field with its text for ``--help`` and the documentation; a callable default is called when needed."""
    default_argument = {"default_factory": default} if callable(default) else {"default": default}
    extra: JsonDict = {"unit": unit, "reason": reason, "shown": shown}
    return Field(description=help_text, json_schema_extra=extra, validate_default=True, **default_argument, **rules)


_bytes = partial(_field, unit="bytes; suffixes such as KiB, MB, GiB")
_span = partial(_field, unit="seconds; suffixes ms, s, m, h, d")


class Settings(BaseModel):
    """The settings of one server process. Frozen; secrets print as asterisks."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = _field("127.0.0.1", "Address to listen on.", reason="Only this machine, by default.")
    port: Annotated[int, Field(ge=0, le=65535)] = _field(
        19530, "Port to listen on; 0 picks a free one.", reason="The default port of Milvus clients."
    )
    data_dir: Path = _field(Path("penstock-data"), "Folder of the catalog and the collections; created if missing.")
    import_root: Roots = _field(
        (),
        "Where imports may read: a folder, s3://bucket/prefix, gs://…, az://… or https://host/path/; repeatable.",
        reason="Nothing outside the roots is ever read.",
    )
    export_root: Roots = _field(
        (),
        "Where exports may write new folders: a folder, s3://bucket/prefix, gs://… or az://…; repeatable.",
        shown="the import roots",
        reason="An export never changes existing files.",
    )
    allow_private_networks: Networks = _field(
        (),
        "Private networks that web import roots may reach, such as 10.1.0.0/16; repeatable.",
        reason="SSRF protection: redirects and names could point to internal services.",
    )
    cluster_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = _field(
        "in01-local", "Id of the server's own cluster, the default for calls without clusterId."
    )
    region: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] = _field(
        "local", "Region of the server, as in controller.api.{region}.zillizcloud.com."
    )
    auth: Literal["auto", "on", "off"] = _field(
        "auto",
        "Whether calls need a key or a password; auto: from the first key or user on, and always beyond loopback.",
        reason="Optional on a local machine; mandatory for a server reachable from other hosts.",
    )
    session_lifetime: Annotated[Seconds, Field(ge=60)] = _span(
        12 * 3600.0,
        "How long a login to the page lasts.",
        shown="12h",
        reason="A working day; it ends at once when its key is revoked or its password changed.",
    )
    grpc: bool = _field(
        True,
        "Serve gRPC on the same port as HTTP, for MilvusClient and the other SDKs of Milvus.",
        reason="The first bytes of a connection show which of them it is. Off, the server needs less memory.",
    )
    allow_plaintext: bool = _field(
        False, "Listen beyond loopback without TLS; keys are sent unencrypted unless a proxy terminates TLS."
    )
    tls_cert: Path | None = _field(None, "PEM file with the certificate chain; enables HTTPS.")
    tls_key: Path | None = _field(None, "PEM file with the certificate's private key.")
    log_format: Literal["console", "json"] = _field("console", "Format of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = _field("info", "Minimum severity of log lines.")
    core_dumps: bool = _field(
        False,
        "Allow crashes of the server and its workers to write core dumps.",
        reason="They contain keys and rows; without them, processes of the same user cannot read the memory either.",
    )
    workers: Count = _field(
        processors,
        "Worker processes that read and stage files.",
        shown="the number of processors",
        unit="processes",
        reason="Respects affinity masks and the processor quotas of containers.",
    )
    runner: Literal["local", "ray"] = _field(
        "local",
        "Where files are read and staged: in worker processes on this machine, or on a Ray cluster.",
        reason="Ray needs the extra penstock-import[ray], and a store and import roots that every host reaches.",
    )
    ray_address: str | None = _field(
        None,
        "HOST:PORT of the Ray cluster's head; this machine must be a node of the cluster.",
        shown="the cluster that this machine belongs to",
    )
    memory_budget: Bytes = _bytes(
        _quarter_of_memory,
        "Memory limit of the workers of all imports together; see docs/memory.md.",
        shown="a quarter of the memory of the machine or container",
        reason="Leaves room for the page cache, the engine's own caches and searches.",
    )
    split_bytes: Bytes = _bytes(
        ByteSize(64 * 2**20),
        "Size of splits: large files are cut into splits, small files are packed into one.",
        shown="64MiB",
        reason="A split is the unit of work of one worker, and the unit that is repeated after a crash.",
    )
    max_inputs_per_job: Count = _field(
        1024, "Maximum number of files, folders or NumPy sets per import request.", unit="groups"
    )
    max_listed_files: Count = _field(
        100_000,
        "Maximum number of files that one pattern or manifest of an import may name.",
        unit="files",
        reason="A pattern that matches a million files is more often a mistake than intended.",
    )
    max_jobs_per_collection: Count = _field(
        10_000, "Maximum number of unfinished import jobs per collection.", unit="jobs"
    )
    max_running_jobs: Count = _field(
        2,
        "Maximum number of running import jobs of a cluster, on all servers that share the catalog; others wait.",
        unit="jobs",
        reason="One reads while another commits. With several servers, allow about two per server. From 2 on, up to "
        "31 small jobs (4 MiB) of the same collection that append run along with each, and are published with it.",
    )
    lease_duration: Annotated[Seconds, Field(ge=1)] = _span(
        15.0,
        "Time without a heartbeat after which another process takes over a job.",
        shown="15s",
        reason="The lease is renewed six times as often; a short pause of the machine does not lose it.",
    )
    max_jobs_per_cluster: Count | None = _field(
        None, "Maximum number of unfinished import jobs of a cluster; further ones are rejected.", unit="jobs"
    )
    max_jobs_per_org: Count | None = _field(
        None,
        "Maximum number of unfinished import jobs of an org, in all of its clusters, unless it has its own limit.",
        unit="jobs",
        reason="penstock orgs set sets limits of single orgs.",
    )
    max_running_jobs_per_org: Count | None = _field(
        None,
        "Maximum number of running import jobs of an org, on all servers that share the catalog; others wait.",
        unit="jobs",
    )
    max_daily_bytes_per_org: Bytes | None = _bytes(
        None, "Maximum bytes of import files of an org per day (from midnight UTC); further jobs are rejected."
    )
    max_file_bytes: Bytes = _bytes(
        ByteSize(16 * 2**30), "Maximum size of one import file.", shown="16GiB", reason="Milvus's limit."
    )
    max_job_bytes: Bytes | None = _bytes(None, "Maximum size of all files of one import job.")
    uploads: bool = _field(
        True, "Let clients upload files for their imports.", reason="Clients on other machines have no shared folder."
    )
    upload_dir: Path | None = _field(
        None,
        "Folder of uploaded files; servers that share a catalog, and Ray workers, need one that all of them reach.",
        shown="uploads in the data dir",
    )
    max_upload_bytes: Bytes = _bytes(
        ByteSize(16 * 2**30), "Maximum size of one uploaded file, at most max_file_bytes.", shown="16GiB"
    )
    max_upload_bytes_per_org: Bytes = _bytes(
        ByteSize(64 * 2**30),
        "Maximum size of all uploaded files of an org together, unfinished ones included with their whole size.",
        shown="64GiB",
        reason="They are in the data dir until the jobs that read them have completed.",
    )
    upload_retention: Seconds = _span(
        24 * 3600.0,
        "How long an upload is kept that no completed job has read; a call that continues it starts the time again.",
        shown="24h",
        reason="A failed job can be retried that long.",
    )
    max_kept_rejects: Count = _field(
        100_000,
        "Rejected rows that an import job keeps for reports and replays; further ones are only counted.",
        unit="rows",
        reason="Each of its splits keeps an equal share, the first ones of the split.",
    )
    max_kept_reject_bytes: Bytes = _bytes(
        ByteSize(64 * 2**20), "Size of the rejected rows that an import job keeps.", shown="64MiB"
    )
    max_reject_bytes: Bytes = _bytes(
        ByteSize(2**30),
        "Size of the rejected rows that all jobs of a cluster keep; further jobs only count theirs.",
        shown="1GiB",
        reason="They are deleted with the jobs: see retention.",
    )
    job_timeout: Seconds = _span(
        72 * 3600.0,
        "Time after which an unfinished job without the option timeout fails, including its waiting time.",
        shown="72h",
        reason="Terabytes take a night, and a commit may wait for a weekend; longer jobs are stuck.",
    )
    max_attempts: Count = _field(
        8,
        "Maximum attempts of an operation that fails with a transient error, such as HTTP 503 of an object store.",
        unit="attempts",
        reason="With pauses that grow from half a second to half a minute, this covers an outage of a minute.",
    )
    staged_file_retention: Seconds = _span(
        3600.0,
        "How long staged files of a failed job are kept, so that a retry needs only the missing splits.",
        shown="1h",
        reason="They use disk space.",
    )
    idempotency_window: Seconds = _span(
        24 * 3600.0, "How long the idempotency key of a create call is kept (header Idempotency-Key).", shown="24h"
    )
    wait_for_index: bool = _field(
        True, "Report a job as Completed once its rows are indexed, not as soon as they are visible."
    )
    list_window: Seconds = _span(
        24 * 3600.0,
        "How long finished jobs stay in an unpaged list.",
        shown="24h",
        reason="Bounds unpaged lists; paged ones show all jobs.",
    )
    v2_success_code: SuccessCode = _field(
        0, "Code of a successful v2 response.", reason="Milvus 2.4.0 to 2.4.2 return 200, all later releases 0."
    )
    request_timeout: Seconds = _span(30.0, "Timeout of an HTTP call without the header Request-Timeout.", shown="30s")
    max_body_bytes: Bytes = _bytes(ByteSize(4 * 2**20), "Maximum size of a request body.", shown="4MiB")
    request_threads: Count = _field(
        64,
        "Maximum number of calls processed at the same time, at most three quarters of them for one org; others "
        "wait.",
        unit="threads",
        reason="Create calls wait for the disk, and many of them must not block other calls.",
    )
    allow_private_webhooks: Networks = _field(
        (),
        "Private networks that webhooks may be sent to, such as 10.1.0.0/16; repeatable.",
        reason="SSRF protection: tenants choose the addresses. Not shared with import sources, which have roots.",
    )
    max_event_streams: Count = _field(
        1000,
        "Maximum number of open event streams of this server; further ones are rejected.",
        unit="streams",
        reason="Each is an open connection.",
    )
    max_event_streams_per_org: Count = _field(
        200, "Maximum number of open event streams of an org on this server.", unit="streams"
    )
    shutdown_grace: Seconds = _span(20.0, "How long a stopping server waits for open calls to finish.", shown="20s")
    otel_endpoint: str | None = _field(
        None,
        "OpenTelemetry collector for traces over HTTP, such as http://127.0.0.1:4318.",
        shown="OTEL_EXPORTER_OTLP_ENDPOINT, else no traces",
        reason="Needs the extra penstock-import[otel]; other OTEL_* variables apply, too.",
    )
    catalog_url: str | None = _field(
        None,
        "URL of the catalog: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE to share it.",
        shown="an SQLite file in the data dir",
        repr=False,
    )
    catalog_connections: Annotated[int, Field(gt=1)] = _field(
        20, "Maximum number of connections of this process to a PostgreSQL catalog.", unit="connections"
    )
    catalog_startup_timeout: Seconds = _span(
        30.0,
        "How long a starting server waits for an unavailable PostgreSQL catalog.",
        shown="30s",
        reason="Servers and the database often start together; the reason is logged at once.",
    )
    encryption_key_file: Path | None = _field(
        None,
        "File with the encryption key for credentials of import jobs; created if missing.",
        shown="secret.key in the data dir",
        reason="Servers that share a catalog need the same key.",
    )
    encryption_key: SecretStr | None = _field(
        None, "The encryption key itself, instead of a file: 32 bytes in URL-safe base64."
    )
    role: Literal["all", "api", "worker"] = _field(
        "all",
        "Tasks of this process: answer calls, run imports, or both.",
        reason="One process is enough to start with.",
    )
    retention: Seconds = _span(
        30 * 24 * 3600.0, "How long finished jobs are kept, at least idempotency_window.", shown="30d"
    )
    min_retained_jobs: Annotated[int, Field(ge=0)] = _field(
        10_000, "Number of newest jobs of a cluster that are kept at any age.", unit="jobs"
    )
    old_version_retention: Seconds = _span(
        3600.0,
        "How long a collection's table keeps superseded versions.",
        shown="1h",
        reason="Calls in progress still read them.",
    )
    old_version_share: Annotated[float, Field(ge=0)] = _field(
        0.5,
        "If old versions hold more than this share of the table's live bytes, the oldest expire after a minute.",
        reason="Many small imports replace each row several times within the hour.",
    )
    replaced_row_retention: Seconds = _span(
        3600.0,
        "How long rows that an upsert or an overwrite replaced are kept, so that the job can be reverted.",
        shown="1h",
        reason="Until then the disk holds them, too.",
    )
    storage_url: BucketUrl | None = _field(
        None,
        "Location of the collections: s3://bucket/prefix, which several servers may share.",
        shown="a folder in the data dir",
    )
    storage_endpoint: str | None = _field(None, "URL of the object store of --storage-url.", shown="s3_endpoint")
    storage_region: str | None = _field(None, "Region of that object store.", shown="s3_region")
    storage_access_key: SecretStr | None = _field(
        None, "Access key for the store.", shown="s3_access_key, with its secret key and session token"
    )
    storage_secret_key: SecretStr | None = _field(None, "Secret key for the store.")
    storage_session_token: SecretStr | None = _field(None, "Session token of temporary credentials.")
    s3_endpoint: str | None = _field(None, "URL of the object store.", shown="AWS_ENDPOINT_URL, else Amazon's")
    s3_region: str | None = _field(None, "Region of the object store.", shown="AWS_REGION")
    s3_access_key: SecretStr | None = _field(None, "Access key for the import roots.", shown="AWS_ACCESS_KEY_ID")
    s3_secret_key: SecretStr | None = _field(None, "Secret key for the import roots.", shown="AWS_SECRET_ACCESS_KEY")
    s3_session_token: SecretStr | None = _field(
        None, "Session token of temporary credentials.", shown="AWS_SESSION_TOKEN"
    )
    s3_virtual_hosts: bool = _field(False, "Put the bucket into the host name instead of the path.")
    s3_anonymous: bool = _field(False, "Read import roots in S3 without credentials.")
    gcs_endpoint: str | None = _field(None, "URL of Google Cloud Storage.", shown="https://storage.googleapis.com")
    gcs_service_account: Path | None = _field(
        None,
        "JSON key file of the service account that reads gs:// import roots.",
        shown="GOOGLE_APPLICATION_CREDENTIALS, else the machine's service account",
    )
    gcs_anonymous: bool = _field(False, "Read import roots in Google Cloud Storage without credentials.")
    azure_account: str | None = _field(None, "Storage account of az:// import roots.")
    azure_endpoint: str | None = _field(
        None,
        "URL of Azure Blob Storage; {account} is replaced by the account.",
        shown="https://{account}.blob.core.windows.net",
    )
    azure_key: SecretStr | None = _field(None, "Key of the storage account.", shown="the machine's managed identity")
    azure_sas_token: SecretStr | None = _field(None, "Shared access signature, instead of the account's key.")
    azure_anonymous: bool = _field(False, "Read import roots in Azure without credentials.")

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        pairs = (
            ("tls_cert", "tls_key"),
            ("s3_access_key", "s3_secret_key"),
            ("storage_access_key", "storage_secret_key"),
        )
        for first, second in pairs:
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise ValueError(f"{flag_of(first)} and {flag_of(second)} must be set together")
        return self

    @property
    def scheme(self) -> str:
        return "http" if self.tls_cert is None else "https"
