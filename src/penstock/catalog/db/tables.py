"""The catalog's tables. Migrations build them; ``tests/catalog`` checks that both agree.

Times are milliseconds since 1970, UTC. JSON columns hold what the domain's ``to_json`` gives. Everything here works
on SQLite and PostgreSQL; where they spell the condition of an index differently, both spellings are given as the
queries that use the index render them.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite orders a table by its primary key only if that is declared exactly as INTEGER PRIMARY KEY.
_ORDERED_ID = BigInteger().with_variant(Integer, "sqlite")

org = Table(
    "org",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # The org's own quota: null is the server's default, 0 no limit.
    Column("max_jobs", BigInteger),
    Column("max_running_jobs", BigInteger),
    Column("max_daily_bytes", BigInteger),
    # Fair scheduling: the org whose last job was claimed longest ago has the smallest number.
    Column("turn", BigInteger, nullable=False, server_default=text("0")),
)

# Bytes of import files by day, as days since 1970, UTC.
org_usage = Table(
    "org_usage",
    metadata,
    Column("org_id", Text, ForeignKey("org.id"), nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("org_id", "day"),
)

cluster = Table(
    "cluster",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("org.id"), nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    # A folder or s3://bucket/prefix; empty: the server's own store.
    Column("store", Text, nullable=False, server_default=text("''")),
    Column("created_at", BigInteger, nullable=False),
)

# API keys and users. Keys and passwords are stored only as hashes.
account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("org.id"), nullable=False),
    # A key is looked up by its hash, a user by its name.
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("hint", Text, nullable=False, server_default=text("''")),
    Column("roots", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("description", Text, nullable=False, server_default=text("''")),
)
Index(
    "uq_account_key",
    account.c.hash,
    unique=True,
    sqlite_where=account.c.kind == text("'key'"),
    postgresql_where=account.c.kind == text("'key'"),
)
Index(
    "uq_account_user",
    account.c.name,
    unique=True,
    sqlite_where=account.c.kind == text("'user'"),
    postgresql_where=account.c.kind == text("'user'"),
)

# "" is every cluster of the org, every database of the cluster: a primary key can't contain nulls.
account_grant = Table(
    "account_grant",
    metadata,
    Column("account_id", Text, ForeignKey("account.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("database", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "role", "cluster_id", "database"),
)

# Sessions of the page. The token is stored only as its hash; a session ends with its account's key or password, whose
# hash it had when it began.
web_session = Table(
    "web_session",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("account_hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("ix_web_session_expires_at", web_session.c.expires_at)

database = Table(
    "database",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("cluster_id", Text, ForeignKey("cluster.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("properties", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("cluster_id", "name"),
)

collection = Table(
    "collection",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("cluster_id", Text, ForeignKey("cluster.id"), nullable=False),
    Column("database_id", BigInteger, ForeignKey("database.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("schema", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("load_state", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("storage_version", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("next_auto_id", BigInteger, nullable=False),
    Column("next_partition", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Raised by every change of name, schema or properties: clients cache schemas by it.
    Column("updated_at", BigInteger, nullable=False, server_default=text("0")),
    Column("dropped_at", BigInteger),
    # The intent to add a field: recorded before the table gets its column, removed when the schema gets the field.
    Column("added_field", JSON),
)
# A dropped collection keeps its row until its files are gone; its name is free at once.
Index(
    "uq_collection_live_name",
    collection.c.database_id,
    collection.c.name,
    unique=True,
    sqlite_where=collection.c.dropped_at.is_(None),
    postgresql_where=collection.c.dropped_at.is_(None),
)

# Aliases of collections. A name is never both an alias and a live collection of the same database.
alias = Table(
    "alias",
    metadata,
    Column("database_id", BigInteger, ForeignKey("database.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("collection_id", Text, ForeignKey("collection.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("database_id", "name"),
)
Index("ix_alias_collection", alias.c.collection_id)

partition = Table(
    "partition",
    metadata,
    Column("collection_id", Text, ForeignKey("collection.id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("collection_id", "number"),
    UniqueConstraint("collection_id", "name"),
)

vector_index = Table(
    "vector_index",
    metadata,
    Column("collection_id", Text, ForeignKey("collection.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("field_name", Text, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("collection_id", "name"),
)

# The number of changes of the tables that the read cache holds: one row, which triggers of SQLite count up. Nothing
# of PostgreSQL is cached, where it would be a lock that all these changes wait for: the table is empty there.
read_cache_version = Table("read_cache_version", metadata, Column("number", BigInteger, nullable=False))

job = Table(
    "job",
    metadata,
    Column("id", _ORDERED_ID, primary_key=True, autoincrement=False),
    Column("cluster_id", Text, ForeignKey("cluster.id"), nullable=False),
    # No foreign keys from here on: a job's history outlives its collection and its database.
    Column("database_id", BigInteger, nullable=False),
    Column("database", Text, nullable=False),
    Column("collection_id", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("partition", Text),
    Column("state", Text, nullable=False),
    Column("auto_commit", Boolean, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("progress", Integer, nullable=False, server_default=text("0")),
    Column("stage", Text, nullable=False, server_default=text("''")),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("total_rows", BigInteger, nullable=False, server_default=text("0")),
    Column("reason", Text),
    Column("warnings", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    # When it last came into these states: only a job's own page reads them.
    Column("planning_at", BigInteger),
    Column("importing_at", BigInteger),
    Column("uncommitted_at", BigInteger),
    Column("committing_at", BigInteger),
    Column("indexing_at", BigInteger),
    Column("finished_at", BigInteger),
    # Who created it: the name of the key or user, and the address of the call.
    Column("created_by", Text, nullable=False, server_default=text("''")),
    Column("created_from", Text, nullable=False, server_default=text("''")),
    # The lease: a claim raises the fencing epoch, and every write of a worker is conditional on its epoch.
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    # Whether a server should be working on it.
    Column("runnable", Boolean, nullable=False),
    # The collection's version when the commit's intent was written: recovery searches later versions for the job.
    Column("intent_version", BigInteger),
    # Earliest next claim, after a transient error that outlasted the retries of the splits.
    Column("run_after", BigInteger, nullable=False, server_default=text("0")),
    # When an unfinished job times out; null once its commit is certain or it has ended.
    Column("deadline", BigInteger),
    # Whether its files are read with the caller's credentials: deleted at the job's end, so a retry needs them again.
    Column("has_credentials", Boolean, nullable=False, server_default=text("false")),
    # Roots of the API keys that requested it, one list per key: its files must be below one root of every list.
    Column("roots", JSON, nullable=False, server_default=text("'[]'")),
    # Whether it failed or was aborted and its staged files still exist: a retry reuses them.
    Column("has_staged_files", Boolean, nullable=False, server_default=text("false")),
    # Bytes of its files already charged to its org's daily bytes: a retry doesn't count them again.
    Column("charged", BigInteger, nullable=False, server_default=text("0")),
    # The W3C traceparent of the call that created it, if calls are traced.
    Column("trace", Text),
    # The version of its table that made its rows visible, and how many rows they replaced. Null is unknown.
    Column("published_version", BigInteger),
    Column("replaced_rows", BigInteger, server_default=text("0")),
    # How many of these came back when it was reverted.
    Column("restored_rows", BigInteger, nullable=False, server_default=text("0")),
    # How many fields the collection had when it was created: its rows have no values of later ones. Null is all.
    Column("field_count", Integer),
    # The result of the option verify, once its rows have been checked after the commit.
    Column("verification", JSON(none_as_null=True)),
    # Rows and files that were left out, and the bytes of such rows that are kept beside its table.
    Column("rejected_rows", BigInteger, nullable=False, server_default=text("0")),
    Column("skipped_files", BigInteger, nullable=False, server_default=text("0")),
    Column("reject_bytes", BigInteger, nullable=False, server_default=text("0")),
    # The job whose rejected rows or files it imports.
    Column("replay_of", BigInteger),
    Column("replays_rows", Boolean, nullable=False, server_default=text("false")),
)
# For the limit of the bytes of rejected rows.
Index(
    "ix_job_reject_bytes",
    job.c.cluster_id,
    job.c.reject_bytes,
    sqlite_where=job.c.reject_bytes > 0,
    postgresql_where=job.c.reject_bytes > 0,
)
# For listing: each filter's jobs by id, and by finish time.
Index("ix_job_cluster", job.c.cluster_id, job.c.id)
Index("ix_job_cluster_state", job.c.cluster_id, job.c.state, job.c.id)
Index("ix_job_cluster_finished", job.c.cluster_id, job.c.finished_at)
Index("ix_job_database", job.c.database_id, job.c.id)
Index("ix_job_database_state", job.c.database_id, job.c.state, job.c.id)
Index("ix_job_database_finished", job.c.database_id, job.c.finished_at)
Index("ix_job_collection", job.c.collection_id, job.c.id)
Index("ix_job_collection_state", job.c.collection_id, job.c.state, job.c.id)
Index("ix_job_collection_finished", job.c.collection_id, job.c.finished_at)
# Partial indexes for queries that run all the time and match a handful of very many jobs.
Index(
    "ix_job_live",
    job.c.cluster_id,
    job.c.id,
    sqlite_where=text("finished_at IS NULL"),
    postgresql_where=text("finished_at IS NULL"),
)
Index(
    "ix_job_runnable",
    job.c.cluster_id,
    job.c.id,
    sqlite_where=text("runnable IS 1"),
    postgresql_where=text("runnable IS true"),
)
Index(
    "ix_job_owner",
    job.c.owner,
    sqlite_where=text("owner IS NOT NULL"),
    postgresql_where=text("owner IS NOT NULL"),
)
Index(
    "ix_job_has_staged_files",
    job.c.finished_at,
    sqlite_where=text("has_staged_files IS 1"),
    postgresql_where=text("has_staged_files IS true"),
)
Index(
    "ix_job_replaced",
    job.c.collection_id,
    job.c.published_version,
    sqlite_where=text("replaced_rows IS NOT 0"),
    postgresql_where=text("replaced_rows IS DISTINCT FROM 0"),
)
Index(
    "ix_job_deadline",
    job.c.deadline,
    sqlite_where=text("deadline IS NOT NULL"),
    postgresql_where=text("deadline IS NOT NULL"),
)

job_secret = Table(
    "job_secret",
    metadata,
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)

job_file = Table(
    "job_file",
    metadata,
    Column("job_id", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("locations", JSON, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("total_rows", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("reason", Text),
    # What it is recognized by when it is imported again; null if its version is unknown.
    Column("identity", Text),
    Column("rejected_rows", BigInteger, nullable=False, server_default=text("0")),
    # The facts of its reason, as JSON.
    Column("error", JSON),
    PrimaryKeyConstraint("job_id", "ordinal"),
)

# The files whose rows a collection has, by the jobs that loaded them. It outlives the jobs.
loaded_file = Table(
    "loaded_file",
    metadata,
    Column("collection_id", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("job_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    # That of the job: files that were loaded into a dropped partition are forgotten.
    Column("partition", Text, nullable=False),
    Column("loaded_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("collection_id", "identity", "job_id"),
)
Index("ix_loaded_file_job", loaded_file.c.collection_id, loaded_file.c.job_id)

job_split = Table(
    "job_split",
    metadata,
    Column("job_id", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    # Its file ranges, and the row count of each, which is known once the split is staged.
    Column("parts", JSON, nullable=False),
    Column("part_rows", JSON),
    Column("auto_id_start", BigInteger),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("staged", JSON),
    Column("warnings", JSON),
    # What a dry run has found in it, which stages nothing.
    Column("report", JSON),
    PrimaryKeyConstraint("job_id", "ordinal"),
)

# Files that clients upload for imports. An unfinished one is named by its content, so that a client finds it again.
upload = Table(
    "upload",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("org.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    # Whether all bytes are there, and have that checksum.
    Column("is_complete", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    UniqueConstraint("org_id", "sha256", "size", "name"),
)
Index("ix_upload_expires_at", upload.c.expires_at)

# The jobs that read an upload: it stays as long as one of them may need it.
upload_use = Table(
    "upload_use",
    metadata,
    Column("upload_id", Text, nullable=False),
    Column("job_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("upload_id", "job_id"),
)
Index("ix_upload_use_job_id", upload_use.c.job_id)
# The report of a dry run.
job_report = Table(
    "job_report",
    metadata,
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("report", JSON, nullable=False),
)

PARTS_OF_JOB = (job_secret, job_file, job_split, upload_use, job_report)
"""The tables whose rows belong to a job, by ``job_id``, and are deleted with it."""

# The job of each idempotency key. The fingerprint shows whether a repeated call is the same request.
idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("collection_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("job_id", BigInteger, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("collection_id", "key"),
)
Index("ix_idempotency_key_expires_at", idempotency_key.c.expires_at)

# Receivers of the state changes of jobs. Null database: all of the cluster; null collection: all of the database.
webhook = Table(
    "webhook",
    metadata,
    Column("id", Text, primary_key=True),
    Column("cluster_id", Text, nullable=False),
    Column("database", Text),
    Column("collection", Text),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
Index("ix_webhook_cluster", webhook.c.cluster_id, webhook.c.created_at)

# The outbox of webhooks, written with the transitions, and the log of what was sent.
webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", _ORDERED_ID, primary_key=True, autoincrement=False),
    Column("webhook_id", Text, nullable=False),
    Column("job_id", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    # The job's columns at its transition, by name.
    Column("job", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # When the next attempt is due: also the lease, since an attempt that begins moves it. Null once it has ended.
    Column("due_at", BigInteger),
    Column("finished_at", BigInteger),
    # The HTTP status and the error of the last attempt.
    Column("status", Integer),
    Column("error", Text),
)
Index("ix_webhook_delivery_webhook", webhook_delivery.c.webhook_id, webhook_delivery.c.id)
Index(
    "ix_webhook_delivery_due",
    webhook_delivery.c.due_at,
    sqlite_where=text("due_at IS NOT NULL"),
    postgresql_where=text("due_at IS NOT NULL"),
)

# Counters of jobs, updated in the transactions that change the jobs: the total of a list needs no scan.
job_counter = Table(
    "job_counter",
    metadata,
    Column("cluster_id", Text, nullable=False),
    Column("database_id", BigInteger, nullable=False),
    Column("collection_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("jobs", BigInteger, nullable=False),
    PrimaryKeyConstraint("cluster_id", "database_id", "collection_id", "state"),
)
Index("ix_job_counter_collection", job_counter.c.collection_id)

# Counters of ended jobs by final state and day of creation (UTC, days since 1970): for the total of a list by time.
# Unfinished jobs are few enough to be counted by a query.
job_day = Table(
    "job_day",
    metadata,
    Column("cluster_id", Text, nullable=False),
    Column("database_id", BigInteger, nullable=False),
    Column("collection_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("jobs", BigInteger, nullable=False),
    PrimaryKeyConstraint("cluster_id", "database_id", "collection_id", "state", "day"),
)
Index("ix_job_day_cluster", job_day.c.cluster_id, job_day.c.day)
Index("ix_job_day_collection", job_day.c.collection_id, job_day.c.day)

# Export jobs. As with import jobs, the history outlives the collection; credentials are in job_secret.
export = Table(
    "export",
    metadata,
    Column("id", _ORDERED_ID, primary_key=True, autoincrement=False),
    Column("cluster_id", Text, ForeignKey("cluster.id"), nullable=False),
    Column("database_id", BigInteger, nullable=False),
    Column("database", Text, nullable=False),
    Column("collection_id", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("request", JSON, nullable=False),
    # The address of the target: two unfinished exports never write into the same one.
    Column("location", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("snapshot", JSON),
    # The snapshot's version of the table, kept while the export is unfinished.
    Column("version", BigInteger),
    Column("progress", Integer, nullable=False, server_default=text("0")),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("total_rows", BigInteger, nullable=False, server_default=text("0")),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    # The lease, as of import jobs.
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("has_credentials", Boolean, nullable=False, server_default=text("false")),
    # Whether it was aborted and its files are still to be deleted.
    Column("has_files", Boolean, nullable=False, server_default=text("false")),
    Column("roots", JSON, nullable=False, server_default=text("'[]'")),
)
Index("ix_export_database", export.c.database_id, export.c.id)
Index("ix_export_collection", export.c.collection_id, export.c.id)
Index(
    "uq_export_live_location",
    export.c.location,
    unique=True,
    sqlite_where=text("finished_at IS NULL"),
    postgresql_where=text("finished_at IS NULL"),
)
Index(
    "ix_export_has_files",
    export.c.id,
    sqlite_where=text("has_files IS 1"),
    postgresql_where=text("has_files IS true"),
)

export_part = Table(
    "export_part",
    metadata,
    Column("export_id", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("fragments", JSON, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("partition", BigInteger),
    Column("folder", Text, nullable=False),
    # The written files; null until the part is done.
    Column("files", JSON),
    PrimaryKeyConstraint("export_id", "ordinal"),
)

# Maintenance leases of collections' tables, and since when their indexes are due.
maintenance = Table(
    "maintenance",
    metadata,
    Column("collection_id", Text, primary_key=True),
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("due_at", BigInteger),
    # Incremented by each request for maintenance: one that comes during maintenance isn't lost.
    Column("asked", BigInteger, nullable=False),
)
Index(
    "ix_maintenance_due",
    maintenance.c.due_at,
    sqlite_where=text("due_at IS NOT NULL"),
    postgresql_where=text("due_at IS NOT NULL"),
)

# Commit times of jobs into collections whose rows have a time to live: null while the rows are being published.
job_commit = Table(
    "job_commit",
    metadata,
    Column("collection_id", Text, nullable=False),
    Column("job_id", BigInteger, nullable=False),
    Column("committed_at", BigInteger),
    PrimaryKeyConstraint("collection_id", "job_id"),
)

# The audit log. Triggers reject updates and deletes; no foreign keys, since it outlives everything.
audit = Table(
    "audit",
    metadata,
    Column("id", _ORDERED_ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("org_id", Text),
    Column("caller_id", Text),
    Column("caller", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("cluster_id", Text),
    Column("database", Text),
    Column("collection", Text),
    Column("job_id", BigInteger),
    # The object of the action, if it is a partition, an index, a key or a user.
    Column("subject", Text),
    # "ok", or the error's code.
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    # How often, for repeated refusals.
    Column("times", BigInteger, nullable=False, server_default=text("1")),
)
Index("ix_audit_at", audit.c.at, audit.c.id)
Index("ix_audit_org", audit.c.org_id, audit.c.at, audit.c.id)
