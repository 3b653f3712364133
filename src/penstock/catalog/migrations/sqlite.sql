-- What the migrations make of an empty SQLite database. Written by: make migration
CREATE TABLE account (
	id TEXT NOT NULL,
	org_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	hash TEXT NOT NULL,
	hint TEXT DEFAULT ('') NOT NULL,
	roots JSON NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT,
	revoked_at BIGINT,
	description TEXT DEFAULT ('') NOT NULL,
	CONSTRAINT pk_account PRIMARY KEY (id),
	CONSTRAINT fk_account_org_id FOREIGN KEY(org_id) REFERENCES org (id)
)

CREATE TABLE account_grant (
	account_id TEXT NOT NULL,
	role TEXT NOT NULL,
	cluster_id TEXT NOT NULL,
	"database" TEXT NOT NULL,
	CONSTRAINT pk_account_grant PRIMARY KEY (account_id, role, cluster_id, "database"),
	CONSTRAINT fk_account_grant_account_id FOREIGN KEY(account_id) REFERENCES account (id)
)

CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)

CREATE TABLE alias (
	database_id BIGINT NOT NULL,
	name TEXT NOT NULL,
	collection_id TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_alias PRIMARY KEY (database_id, name),
	CONSTRAINT fk_alias_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id),
	CONSTRAINT fk_alias_database_id FOREIGN KEY(database_id) REFERENCES "database" (id)
)

CREATE TABLE audit (
	id INTEGER NOT NULL,
	at BIGINT NOT NULL,
	org_id TEXT,
	caller_id TEXT,
	caller TEXT NOT NULL,
	address TEXT NOT NULL,
	action TEXT NOT NULL,
	cluster_id TEXT,
	"database" TEXT,
	collection TEXT,
	job_id BIGINT,
	subject TEXT,
	outcome TEXT NOT NULL,
	reason TEXT,
	times BIGINT DEFAULT 1 NOT NULL,
	CONSTRAINT pk_audit PRIMARY KEY (id)
)

CREATE TABLE cluster (
	id TEXT NOT NULL,
	org_id TEXT NOT NULL,
	region TEXT NOT NULL,
	name TEXT NOT NULL,
	store TEXT DEFAULT ('') NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_cluster PRIMARY KEY (id),
	CONSTRAINT fk_cluster_org_id FOREIGN KEY(org_id) REFERENCES org (id)
)

CREATE TABLE collection (
	id TEXT NOT NULL,
	number BIGINT NOT NULL,
	cluster_id TEXT NOT NULL,
	database_id BIGINT NOT NULL,
	name TEXT NOT NULL,
	schema JSON NOT NULL,
	settings JSON NOT NULL,
	load_state TEXT NOT NULL,
	engine TEXT NOT NULL,
	storage_version TEXT NOT NULL,
	version BIGINT NOT NULL,
	next_auto_id BIGINT NOT NULL,
	next_partition BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	dropped_at BIGINT, updated_at BIGINT DEFAULT 0 NOT NULL, added_field JSON,
	CONSTRAINT pk_collection PRIMARY KEY (id),
	CONSTRAINT fk_collection_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id),
	CONSTRAINT fk_collection_database_id FOREIGN KEY(database_id) REFERENCES "database" (id),
	CONSTRAINT uq_collection_number UNIQUE (number)
)

CREATE TABLE "database" (
	id BIGINT NOT NULL,
	cluster_id TEXT NOT NULL,
	name TEXT NOT NULL,
	properties JSON NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_database PRIMARY KEY (id),
	CONSTRAINT fk_database_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id),
	CONSTRAINT uq_database_cluster_id_name UNIQUE (cluster_id, name)
)

CREATE TABLE export (
	id INTEGER NOT NULL,
	cluster_id TEXT NOT NULL,
	database_id BIGINT NOT NULL,
	"database" TEXT NOT NULL,
	collection_id TEXT NOT NULL,
	collection TEXT NOT NULL,
	request JSON NOT NULL,
	location TEXT NOT NULL,
	state TEXT NOT NULL,
	snapshot JSON,
	version BIGINT,
	progress INTEGER DEFAULT 0 NOT NULL,
	rows BIGINT DEFAULT 0 NOT NULL,
	total_rows BIGINT DEFAULT 0 NOT NULL,
	size BIGINT DEFAULT 0 NOT NULL,
	reason TEXT,
	created_at BIGINT NOT NULL,
	started_at BIGINT,
	finished_at BIGINT,
	owner TEXT,
	lease_until BIGINT,
	epoch BIGINT DEFAULT 0 NOT NULL,
	has_credentials BOOLEAN DEFAULT (false) NOT NULL,
	has_files BOOLEAN DEFAULT (false) NOT NULL,
	roots JSON DEFAULT '[]' NOT NULL,
	CONSTRAINT pk_export PRIMARY KEY (id),
	CONSTRAINT fk_export_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id)
)

CREATE TABLE export_part (
	export_id BIGINT NOT NULL,
	ordinal INTEGER NOT NULL,
	fragments JSON NOT NULL,
	rows BIGINT NOT NULL,
	size BIGINT NOT NULL,
	partition BIGINT,
	folder TEXT NOT NULL,
	files JSON,
	CONSTRAINT pk_export_part PRIMARY KEY (export_id, ordinal)
)

CREATE TABLE idempotency_key (
	collection_id TEXT NOT NULL,
	"key" TEXT NOT NULL,
	job_id BIGINT NOT NULL,
	fingerprint TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT pk_idempotency_key PRIMARY KEY (collection_id, "key")
)

CREATE TABLE "job" (
	id INTEGER NOT NULL,
	cluster_id TEXT NOT NULL,
	database_id BIGINT NOT NULL,
	"database" TEXT NOT NULL,
	collection_id TEXT NOT NULL,
	collection TEXT NOT NULL,
	partition TEXT,
	state TEXT NOT NULL,
	auto_commit BOOLEAN NOT NULL,
	groups JSON NOT NULL,
	options JSON NOT NULL,
	progress INTEGER DEFAULT 0 NOT NULL,
	stage TEXT DEFAULT ('') NOT NULL,
	size BIGINT DEFAULT 0 NOT NULL,
	rows BIGINT DEFAULT 0 NOT NULL,
	total_rows BIGINT DEFAULT 0 NOT NULL,
	reason TEXT,
	warnings JSON NOT NULL,
	created_at BIGINT NOT NULL,
	started_at BIGINT,
	finished_at BIGINT,
	owner TEXT,
	lease_until BIGINT,
	epoch BIGINT DEFAULT 0 NOT NULL,
	runnable BOOLEAN NOT NULL,
	intent_version BIGINT,
	run_after BIGINT DEFAULT 0 NOT NULL,
	deadline BIGINT,
	has_credentials BOOLEAN DEFAULT (false) NOT NULL,
	roots JSON DEFAULT '[]' NOT NULL,
	has_staged_files BOOLEAN DEFAULT (false) NOT NULL,
	charged BIGINT DEFAULT 0 NOT NULL,
	trace TEXT,
	field_count INTEGER,
	planning_at BIGINT,
	importing_at BIGINT,
	uncommitted_at BIGINT,
	committing_at BIGINT,
	indexing_at BIGINT,
	created_by TEXT DEFAULT ('') NOT NULL,
	created_from TEXT DEFAULT ('') NOT NULL,
	published_version BIGINT,
	replaced_rows BIGINT DEFAULT 0,
	restored_rows BIGINT DEFAULT 0 NOT NULL,
	verification JSON,
	rejected_rows BIGINT DEFAULT 0 NOT NULL,
	skipped_files BIGINT DEFAULT 0 NOT NULL,
	reject_bytes BIGINT DEFAULT 0 NOT NULL,
	replay_of BIGINT,
	replays_rows BOOLEAN DEFAULT (false) NOT NULL,
	CONSTRAINT pk_job PRIMARY KEY (id),
	CONSTRAINT fk_job_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id)
)

CREATE TABLE job_commit (
	collection_id TEXT NOT NULL,
	job_id BIGINT NOT NULL,
	committed_at BIGINT,
	CONSTRAINT pk_job_commit PRIMARY KEY (collection_id, job_id)
)

CREATE TABLE job_counter (
	cluster_id TEXT NOT NULL,
	database_id BIGINT NOT NULL,
	collection_id TEXT NOT NULL,
	state TEXT NOT NULL,
	jobs BIGINT NOT NULL,
	CONSTRAINT pk_job_counter PRIMARY KEY (cluster_id, database_id, collection_id, state)
)

CREATE TABLE job_day (
	cluster_id TEXT NOT NULL,
	database_id BIGINT NOT NULL,
	collection_id TEXT NOT NULL,
	state TEXT NOT NULL,
	day INTEGER NOT NULL,
	jobs BIGINT NOT NULL,
	CONSTRAINT pk_job_day PRIMARY KEY (cluster_id, database_id, collection_id, state, day)
)

CREATE TABLE "job_file" (
	job_id BIGINT NOT NULL,
	ordinal INTEGER NOT NULL,
	name TEXT NOT NULL,
	locations JSON NOT NULL,
	size BIGINT NOT NULL,
	state TEXT NOT NULL,
	progress INTEGER NOT NULL,
	rows BIGINT NOT NULL,
	total_rows BIGINT NOT NULL,
	finished_at BIGINT,
	reason TEXT,
	identity TEXT,
	rejected_rows BIGINT DEFAULT 0 NOT NULL,
	error JSON,
	CONSTRAINT pk_job_file PRIMARY KEY (job_id, ordinal)
)

CREATE TABLE job_report (
	job_id BIGINT NOT NULL,
	report JSON NOT NULL,
	CONSTRAINT pk_job_report PRIMARY KEY (job_id)
)

CREATE TABLE job_secret (
	job_id BIGINT NOT NULL,
	sealed BLOB NOT NULL,
	CONSTRAINT pk_job_secret PRIMARY KEY (job_id)
)

CREATE TABLE job_split (
	job_id BIGINT NOT NULL,
	ordinal INTEGER NOT NULL,
	parts JSON NOT NULL,
	part_rows JSON,
	auto_id_start BIGINT,
	state TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	rows BIGINT NOT NULL,
	staged JSON,
	warnings JSON, report JSON,
	CONSTRAINT pk_job_split PRIMARY KEY (job_id, ordinal)
)

CREATE TABLE loaded_file (
	collection_id TEXT NOT NULL,
	identity TEXT NOT NULL,
	job_id BIGINT NOT NULL,
	name TEXT NOT NULL,
	partition TEXT NOT NULL,
	loaded_at BIGINT NOT NULL,
	CONSTRAINT pk_loaded_file PRIMARY KEY (collection_id, identity, job_id)
)

CREATE TABLE maintenance (
	collection_id TEXT NOT NULL,
	owner TEXT,
	lease_until BIGINT,
	due_at BIGINT,
	asked BIGINT NOT NULL,
	CONSTRAINT pk_maintenance PRIMARY KEY (collection_id)
)

CREATE TABLE org (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	max_jobs BIGINT,
	max_running_jobs BIGINT,
	max_daily_bytes BIGINT,
	turn BIGINT DEFAULT 0 NOT NULL,
	CONSTRAINT pk_org PRIMARY KEY (id)
)

CREATE TABLE org_usage (
	org_id TEXT NOT NULL,
	day BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	CONSTRAINT pk_org_usage PRIMARY KEY (org_id, day),
	CONSTRAINT fk_org_usage_org_id FOREIGN KEY(org_id) REFERENCES org (id)
)

CREATE TABLE partition (
	collection_id TEXT NOT NULL,
	number BIGINT NOT NULL,
	name TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_partition PRIMARY KEY (collection_id, number),
	CONSTRAINT fk_partition_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id),
	CONSTRAINT uq_partition_collection_id_name UNIQUE (collection_id, name)
)

CREATE TABLE read_cache_version (
	number BIGINT NOT NULL
)

CREATE TABLE upload (
	id TEXT NOT NULL,
	org_id TEXT NOT NULL,
	name TEXT NOT NULL,
	size BIGINT NOT NULL,
	sha256 TEXT NOT NULL,
	is_complete BOOLEAN NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT pk_upload PRIMARY KEY (id),
	CONSTRAINT fk_upload_org_id FOREIGN KEY(org_id) REFERENCES org (id),
	CONSTRAINT uq_upload_org_id_sha256_size_name UNIQUE (org_id, sha256, size, name)
)

CREATE TABLE upload_use (
	upload_id TEXT NOT NULL,
	job_id BIGINT NOT NULL,
	CONSTRAINT pk_upload_use PRIMARY KEY (upload_id, job_id)
)

CREATE TABLE vector_index (
	collection_id TEXT NOT NULL,
	name TEXT NOT NULL,
	field_name TEXT NOT NULL,
	spec JSON NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_vector_index PRIMARY KEY (collection_id, name),
	CONSTRAINT fk_vector_index_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id)
)

CREATE TABLE web_session (
	token_hash TEXT NOT NULL,
	account_id TEXT NOT NULL,
	account_hash TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT pk_web_session PRIMARY KEY (token_hash)
)

CREATE TABLE webhook (
	id TEXT NOT NULL,
	cluster_id TEXT NOT NULL,
	"database" TEXT,
	collection TEXT,
	url TEXT NOT NULL,
	events JSON NOT NULL,
	sealed_secret BLOB NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_webhook PRIMARY KEY (id)
)

CREATE TABLE webhook_delivery (
	id INTEGER NOT NULL,
	webhook_id TEXT NOT NULL,
	job_id BIGINT NOT NULL,
	event TEXT NOT NULL,
	job JSON NOT NULL,
	created_at BIGINT NOT NULL,
	attempts INTEGER DEFAULT 0 NOT NULL,
	due_at BIGINT,
	finished_at BIGINT,
	status INTEGER,
	error TEXT,
	CONSTRAINT pk_webhook_delivery PRIMARY KEY (id)
)

CREATE INDEX ix_alias_collection ON alias (collection_id)

CREATE INDEX ix_audit_at ON audit (at, id)

CREATE INDEX ix_audit_org ON audit (org_id, at, id)

CREATE INDEX ix_export_collection ON export (collection_id, id)

CREATE INDEX ix_export_database ON export (database_id, id)

CREATE INDEX ix_export_has_files ON export (id) WHERE has_files IS 1

CREATE INDEX ix_idempotency_key_expires_at ON idempotency_key (expires_at)

CREATE INDEX ix_job_cluster ON job (cluster_id, id)

CREATE INDEX ix_job_cluster_finished ON job (cluster_id, finished_at)

CREATE INDEX ix_job_cluster_state ON job (cluster_id, state, id)

CREATE INDEX ix_job_collection ON job (collection_id, id)

CREATE INDEX ix_job_collection_finished ON job (collection_id, finished_at)

CREATE INDEX ix_job_collection_state ON job (collection_id, state, id)

CREATE INDEX ix_job_counter_collection ON job_counter (collection_id)

CREATE INDEX ix_job_database ON job (database_id, id)

CREATE INDEX ix_job_database_finished ON job (database_id, finished_at)

CREATE INDEX ix_job_database_state ON job (database_id, state, id)

CREATE INDEX ix_job_day_cluster ON job_day (cluster_id, day)

CREATE INDEX ix_job_day_collection ON job_day (collection_id, day)

CREATE INDEX ix_job_deadline ON job (deadline) WHERE deadline IS NOT NULL

CREATE INDEX ix_job_has_staged_files ON job (finished_at) WHERE has_staged_files IS 1

CREATE INDEX ix_job_live ON job (cluster_id, id) WHERE finished_at IS NULL

CREATE INDEX ix_job_owner ON job (owner) WHERE owner IS NOT NULL

CREATE INDEX ix_job_reject_bytes ON job (cluster_id, reject_bytes) WHERE reject_bytes > 0

CREATE INDEX ix_job_replaced ON job (collection_id, published_version) WHERE replaced_rows IS NOT 0

CREATE INDEX ix_job_runnable ON job (cluster_id, id) WHERE runnable IS 1

CREATE INDEX ix_loaded_file_job ON loaded_file (collection_id, job_id)

CREATE INDEX ix_maintenance_due ON maintenance (due_at) WHERE due_at IS NOT NULL

CREATE INDEX ix_upload_expires_at ON upload (expires_at)

CREATE INDEX ix_upload_use_job_id ON upload_use (job_id)

CREATE INDEX ix_web_session_expires_at ON web_session (expires_at)

CREATE INDEX ix_webhook_cluster ON webhook (cluster_id, created_at)

CREATE INDEX ix_webhook_delivery_due ON webhook_delivery (due_at) WHERE due_at IS NOT NULL

CREATE INDEX ix_webhook_delivery_webhook ON webhook_delivery (webhook_id, id)

CREATE UNIQUE INDEX uq_account_key ON account (hash) WHERE kind = 'key'

CREATE UNIQUE INDEX uq_account_user ON account (name) WHERE kind = 'user'

CREATE UNIQUE INDEX uq_collection_live_name ON collection (database_id, name) WHERE dropped_at IS NULL

CREATE UNIQUE INDEX uq_export_live_location ON export (location) WHERE finished_at IS NULL

CREATE TRIGGER alias_read_cache_delete AFTER delete ON "alias"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER alias_read_cache_insert AFTER insert ON "alias"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER alias_read_cache_update AFTER update ON "alias"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER audit_no_delete BEFORE delete ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END

CREATE TRIGGER audit_no_update BEFORE update ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END

CREATE TRIGGER cluster_read_cache_delete AFTER delete ON "cluster"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER cluster_read_cache_insert AFTER insert ON "cluster"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER cluster_read_cache_update AFTER update ON "cluster"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER collection_read_cache_delete AFTER delete ON "collection"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER collection_read_cache_insert AFTER insert ON "collection"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER collection_read_cache_update AFTER update ON "collection" WHEN new.next_auto_id IS old.next_auto_id
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER database_read_cache_delete AFTER delete ON "database"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER database_read_cache_insert AFTER insert ON "database"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER database_read_cache_update AFTER update ON "database"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER partition_read_cache_delete AFTER delete ON "partition"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER partition_read_cache_insert AFTER insert ON "partition"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER partition_read_cache_update AFTER update ON "partition"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER vector_index_read_cache_delete AFTER delete ON "vector_index"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER vector_index_read_cache_insert AFTER insert ON "vector_index"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

CREATE TRIGGER vector_index_read_cache_update AFTER update ON "vector_index"
        BEGIN UPDATE read_cache_version SET number = number + 1; END

INSERT INTO read_cache_version VALUES (0)

INSERT INTO alembic_version VALUES ('0005')
