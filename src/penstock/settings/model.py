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

__all__ = ["Settings"]


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

    host: str = _field("127.0.0.1", "Address to listen on.", reason="Only this machine, until told otherwise.")
    port: Annotated[int, Field(ge=0, le=65535)] = _field(
        19530, "Port to listen on; 0 takes a free one.", reason="The port that clients of Milvus try first."
    )
    data_dir: Path = _field(Path("penstock-data"), "Folder of the catalog and the collections; made if missing.")
    import_root: Roots = _field(
        (),
        "What imports may read: a folder, s3://bucket/prefix, gs://…, az://… or https://host/path/; may be repeated.",
        reason="Nothing outside of the roots is ever read.",
    )
    allow_private_networks: Networks = _field(
        (),
        "Networks that web import roots may lead to although they aren't public, as 10.1.0.0/16; may be repeated.",
        reason="Redirects and names could lead imports to what only this machine can reach.",
    )
    cluster_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = _field(
        "in01-local", "Id of the server's own cluster, which calls without clusterId act on."
    )
    region: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] = _field(
        "local", "Region of the server, as in controller.api.{region}.zillizcloud.com."
    )
    auth: Literal["auto", "on", "off"] = _field(
        "auto",
        "Whether callers need a key or a password; auto: from the first key or user on, and always beyond loopback.",
        reason="A laptop needs none; a server that others can reach is never without.",
    )
    grpc: bool = _field(
        True,
        "Serve gRPC on the same port as HTTP, for MilvusClient and the other SDKs of Milvus.",
        reason="A connection's first bytes tell which it is. Off, the server needs less memory.",
    )
    allow_plaintext: bool = _field(
        False, "Listen beyond loopback without TLS: keys then travel unencrypted, unless a proxy ends TLS before."
    )
    tls_cert: Path | None = _field(None, "PEM file with the certificate chain; turns HTTPS on.")
    tls_key: Path | None = _field(None, "PEM file with the certificate's private key.")
    log_format: Literal["console", "json"] = _field("console", "How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = _field(
        "info", "The least severe lines that are logged."
    )
    core_dumps: bool = _field(
        False,
        "Let crashes of the server and its workers write core dumps.",
        reason="They hold keys and rows; and what they keep out, debuggers of the same user are kept from as well.",
    )
    workers: Count = _field(
        processors,
        "Worker processes that read and stage files.",
        shown="the number of processors",
        unit="processes",
        reason="Affinity masks and the processor quotas of containers count.",
    )
    runner: Literal["local", "ray"] = _field(
        "local",
        "Where files are read and staged: in worker processes of this machine, or on a Ray cluster.",
        reason="Ray needs the extra penstock-import[ray], and a store and import roots that every host reaches.",
    )
    ray_address: str | None = _field(
        None,
        "HOST:PORT of the Ray cluster's head; this machine must be a node of the cluster.",
        shown="the cluster that this machine belongs to",
    )
    memory_budget: Bytes = _bytes(
        _quarter_of_memory,
        "Memory that the workers of all imports together may use; docs/memory.md tells what is in it.",
        shown="a quarter of the memory of the machine or container",
        reason="Leaves room for the page cache, the engine's own caches and searches.",
    )
    split_bytes: Bytes = _bytes(
        ByteSize(64 * 2**20),
        "Size of the parts into which files are cut, and to which small files are joined.",
        shown="64MiB",
        reason="A part is what one worker does at a time and what is done again after a crash.",
    )
    max_inputs_per_job: Count = _field(
        1024, "Files, folders or NumPy sets of one import request at most.", unit="groups"
    )
    max_jobs_per_collection: Count = _field(10_000, "Unfinished import jobs per collection at most.", unit="jobs")
    max_running_jobs: Count = _field(
        2,
        "Import jobs of the cluster that run at the same time, on all servers that share its catalog; others wait.",
        unit="jobs",
        reason="One reads while another commits. With many servers, allow about two for each.",
    )
    lease_duration: Annotated[Seconds, Field(ge=1)] = _span(
        15.0,
        "A job is taken over when the process that works on it was not heard of for so long.",
        shown="15s",
        reason="It tells of itself six times as often; a pause of the machine is no death.",
    )
    max_jobs_per_cluster: Count | None = _field(
        None, "Unfinished import jobs of the whole cluster at most; further ones are refused.", unit="jobs"
    )
    max_jobs_per_org: Count | None = _field(
        None,
        "Unfinished import jobs of an org at most, in all of its clusters, unless it has a limit of its own.",
        unit="jobs",
        reason="Limits of single orgs are set by penstock orgs set.",
    )
    max_running_jobs_per_org: Count | None = _field(
        None,
        "Import jobs of an org that run at the same time, on all servers that share its catalog; others wait.",
        unit="jobs",
    )
    max_daily_bytes_per_org: Bytes | None = _bytes(
        None, "Bytes of import files of an org in a day, which begins at midnight UTC; further jobs are refused."
    )
    max_file_bytes: Bytes = _bytes(
        ByteSize(16 * 2**30), "Size of one import file at most.", shown="16GiB", reason="Milvus's limit."
    )
    max_job_bytes: Bytes | None = _bytes(None, "Size of all files of one import job at most.")
    job_timeout: Seconds = _span(
        72 * 3600.0,
        "Time after which an unfinished job fails that has no option timeout; waiting for its turn or commit counts.",
        shown="72h",
        reason="Terabytes take a night, and a weekend may pass before a commit; what takes longer is stuck.",
    )
    max_attempts: Count = _field(
        8,
        "How often a job tries what fails for a cause that may pass, such as an object store's 503.",
        unit="attempts",
        reason="With pauses that grow from half a second to half a minute, this rides out a minute's outage.",
    )
    staged_file_retention: Seconds = _span(
        3600.0,
        "How long a failed job keeps the parts it has done, so that a retry needs only the rest.",
        shown="1h",
        reason="They take disk space.",
    )
    idempotency_window: Seconds = _span(
        24 * 3600.0, "How long the key of a create call is remembered (header Idempotency-Key).", shown="24h"
    )
    wait_for_index: bool = _field(
        True, "A job counts as Completed when its rows are in the indexes, not when they are visible."
    )
    list_window: Seconds = _span(
        24 * 3600.0,
        "How long finished jobs stay in an unpaged list.",
        shown="24h",
        reason="An unpaged list must end somewhere; paged ones show all jobs.",
    )
    v2_success_code: SuccessCode = _field(
        0, "The code of a successful v2 answer.", reason="Milvus 2.4.0 to 2.4.2 sent 200, all later ones 0."
    )
    request_timeout: Seconds = _span(30.0, "Time for an HTTP call that names none.", shown="30s")
    max_body_bytes: Bytes = _bytes(ByteSize(4 * 2**20), "Size of a request's body at most.", shown="4MiB")
    request_threads: Count = _field(
        64,
        "Calls that are worked on at the same time, of one org three quarters of it at most; others wait.",
        unit="threads",
        reason="Creating waits for the disk, and many such calls must not keep others from being answered.",
    )
    shutdown_grace: Seconds = _span(20.0, "How long a stopping server lets open calls finish.", shown="20s")
    otel_endpoint: str | None = _field(
        None,
        "OpenTelemetry collector that traces are sent to over HTTP, such as http://127.0.0.1:4318.",
        shown="OTEL_EXPORTER_OTLP_ENDPOINT, else no traces",
        reason="Needs the extra penstock-import[otel]; other OTEL_* variables count too.",
    )
    catalog_url: str | None = _field(
        None,
        "URL of the catalog: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE to share it.",
        shown="an SQLite file in the data folder",
        repr=False,
    )
    catalog_connections: Annotated[int, Field(gt=1)] = _field(
        20, "Connections of this process to a PostgreSQL catalog at most.", unit="connections"
    )
    catalog_startup_timeout: Seconds = _span(
        30.0,
        "A server that starts waits so long for a PostgreSQL catalog that is away.",
        shown="30s",
        reason="Servers and database often start together; the reason is logged at once.",
    )
    encryption_key_file: Path | None = _field(
        None,
        "File with the key that seals credentials of import jobs; made if missing.",
        shown="secret.key in the data folder",
        reason="Servers that share a catalog need the same one.",
    )
    encryption_key: SecretStr | None = _field(
        None, "That key itself, instead of a file: 32 bytes in URL-safe base64."
    )
    role: Literal["all", "api", "worker"] = _field(
        "all", "What this process does: answer calls, run imports, or both.", reason="One process is enough at first."
    )
    retention: Seconds = _span(
        30 * 24 * 3600.0, "How long finished jobs are remembered, at least idempotency_window.", shown="30d"
    )
    min_retained_jobs: Annotated[int, Field(ge=0)] = _field(
        10_000, "Newest jobs of the cluster that are remembered however old they are.", unit="jobs"
    )
    old_version_retention: Seconds = _span(
        3600.0,
        "How long a collection's table keeps what compaction, indexes and deletes have replaced.",
        shown="1h",
        reason="Calls that began before still read it.",
    )
    old_version_share: Annotated[float, Field(ge=0)] = _field(
        0.5,
        "Where that holds more than this share of the table's live bytes, the oldest of it goes after a minute.",
        reason="Many small imports replace each row several times within the hour.",
    )
    storage_url: BucketUrl | None = _field(
        None,
        "Where the collections are kept: s3://bucket/prefix, which several servers may share.",
        shown="a folder in the data folder",
    )
    storage_endpoint: str | None = _field(
        None, "URL of the object store that --storage-url is in.", shown="s3_endpoint"
    )
    storage_region: str | None = _field(None, "Region of that object store.", shown="s3_region")
    storage_access_key: SecretStr | None = _field(
        None, "Access key for the store.", shown="s3_access_key, with the two that follow it"
    )
    storage_secret_key: SecretStr | None = _field(None, "Secret key for the store.")
    storage_session_token: SecretStr | None = _field(None, "Session token that belongs to short-lived keys.")
    s3_endpoint: str | None = _field(None, "URL of the object store.", shown="AWS_ENDPOINT_URL, else Amazon's")
    s3_region: str | None = _field(None, "Region of the object store.", shown="AWS_REGION")
    s3_access_key: SecretStr | None = _field(None, "Access key for the import roots.", shown="AWS_ACCESS_KEY_ID")
    s3_secret_key: SecretStr | None = _field(None, "Secret key for the import roots.", shown="AWS_SECRET_ACCESS_KEY")
    s3_session_token: SecretStr | None = _field(
        None, "Session token that belongs to short-lived keys.", shown="AWS_SESSION_TOKEN"
    )
    s3_virtual_hosts: bool = _field(False, "Write the bucket into the host name, not into the path.")
    s3_anonymous: bool = _field(False, "Read import roots in S3 without keys, as anybody may.")
    gcs_endpoint: str | None = _field(None, "URL of Google Cloud Storage.", shown="https://storage.googleapis.com")
    gcs_service_account: Path | None = _field(
        None,
        "JSON file with the key of the service account that reads gs:// import roots.",
        shown="GOOGLE_APPLICATION_CREDENTIALS, else the machine's own account",
    )
    gcs_anonymous: bool = _field(False, "Read import roots in Google Cloud Storage without keys.")
    azure_account: str | None = _field(None, "Storage account that az:// import roots are in.")
    azure_endpoint: str | None = _field(
        None,
        "URL of Azure Blob Storage; {account} in it stands for the account.",
        shown="https://{account}.blob.core.windows.net",
    )
    azure_key: SecretStr | None = _field(None, "Key of the storage account.", shown="the machine's managed identity")
    azure_sas_token: SecretStr | None = _field(None, "Shared access signature, instead of the account's key.")
    azure_anonymous: bool = _field(False, "Read import roots in Azure without keys.")

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        pairs = (
            ("tls_cert", "tls_key"),
            ("s3_access_key", "s3_secret_key"),
            ("storage_access_key", "storage_secret_key"),
        )
        for first, second in pairs:
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise ValueError(f"{flag_of(first)} and {flag_of(second)} must be given together")
        return self

    @property
    def scheme(self) -> str:
        return "http" if self.tls_cert is None else "https"
