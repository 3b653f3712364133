BEGIN TRANSACTION;
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
);
CREATE TABLE account_grant (
	account_id TEXT NOT NULL, 
	role TEXT NOT NULL, 
	cluster_id TEXT NOT NULL, 
	"database" TEXT NOT NULL, 
	CONSTRAINT pk_account_grant PRIMARY KEY (account_id, role, cluster_id, "database"), 
	CONSTRAINT fk_account_grant_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
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
);
CREATE TABLE cluster (
	id TEXT NOT NULL, 
	org_id TEXT NOT NULL, 
	region TEXT NOT NULL, 
	name TEXT NOT NULL, 
	store TEXT DEFAULT ('') NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_cluster PRIMARY KEY (id), 
	CONSTRAINT fk_cluster_org_id FOREIGN KEY(org_id) REFERENCES org (id)
);
INSERT INTO "cluster" VALUES('in01-local','org-default','local','in01-local','',1795969464135);
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
	dropped_at BIGINT, 
	CONSTRAINT pk_collection PRIMARY KEY (id), 
	CONSTRAINT fk_collection_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id), 
	CONSTRAINT fk_collection_database_id FOREIGN KEY(database_id) REFERENCES "database" (id), 
	CONSTRAINT uq_collection_number UNIQUE (number)
);
INSERT INTO "collection" VALUES('ba62c9e9e0974bdf82f9ae240d2f0221',470802619211992107,'in01-local',470802619206218818,'docs','{"fields":[{"name":"id","type":"Int64","primary":true},{"name":"vector","type":"FloatVector","dim":4}],"auto_id":false,"dynamic":true,"description":""}','{"consistency_level":"Bounded","shards":1,"key_partitions":16,"properties":{}}','never','lance','2.0',1,15,1,1795969464157,NULL);
CREATE TABLE "database" (
	id BIGINT NOT NULL, 
	cluster_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	properties JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_database PRIMARY KEY (id), 
	CONSTRAINT fk_database_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id), 
	CONSTRAINT uq_database_cluster_id_name UNIQUE (cluster_id, name)
);
INSERT INTO "database" VALUES(470802619206218818,'in01-local','default','{}',1795969464135);
CREATE TABLE idempotency_key (
	collection_id TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	job_id BIGINT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_idempotency_key PRIMARY KEY (collection_id, "key")
);
CREATE TABLE job (
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
	CONSTRAINT pk_job PRIMARY KEY (id), 
	CONSTRAINT fk_job_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id)
);
INSERT INTO "job" VALUES(470802619222992931,'in01-local',470802619206218818,'default','ba62c9e9e0974bdf82f9ae240d2f0221','docs',NULL,'Completed',1,'[["a.parquet"]]','{}',100,'',10,7,7,NULL,'[]',1795969464199,1795969464343,1795969464765,NULL,NULL,1,0,NULL,0,NULL,1,'[]',0,10,NULL);
INSERT INTO "job" VALUES(470802619396176901,'in01-local',470802619206218818,'default','ba62c9e9e0974bdf82f9ae240d2f0221','docs',NULL,'Failed',1,'[["a.parquet"]]','{}',0,'',10,0,7,'row 3 is bad','[]',1795969464859,1795969464886,1795969465005,NULL,NULL,1,0,NULL,0,NULL,1,'[]',0,10,NULL);
INSERT INTO "job" VALUES(470802619448841737,'in01-local',470802619206218818,'default','ba62c9e9e0974bdf82f9ae240d2f0221','docs',NULL,'Pending',1,'[["a.parquet"]]','{}',0,'',0,0,0,NULL,'[]',1795969465060,NULL,NULL,NULL,NULL,0,1,NULL,0,NULL,1,'[]',0,0,NULL);
CREATE TABLE job_commit (
	collection_id TEXT NOT NULL, 
	job_id BIGINT NOT NULL, 
	committed_at BIGINT, 
	CONSTRAINT pk_job_commit PRIMARY KEY (collection_id, job_id)
);
CREATE TABLE job_counter (
	cluster_id TEXT NOT NULL, 
	database_id BIGINT NOT NULL, 
	collection_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	jobs BIGINT NOT NULL, 
	CONSTRAINT pk_job_counter PRIMARY KEY (cluster_id, database_id, collection_id, state)
);
INSERT INTO "job_counter" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Pending',1);
INSERT INTO "job_counter" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Planning',0);
INSERT INTO "job_counter" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Importing',0);
INSERT INTO "job_counter" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Committing',0);
INSERT INTO "job_counter" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Indexing',0);
INSERT INTO "job_counter" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Completed',1);
INSERT INTO "job_counter" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Failed',1);
CREATE TABLE job_day (
	cluster_id TEXT NOT NULL, 
	database_id BIGINT NOT NULL, 
	collection_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	jobs BIGINT NOT NULL, 
	CONSTRAINT pk_job_day PRIMARY KEY (cluster_id, database_id, collection_id, state, day)
);
INSERT INTO "job_day" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Completed',20786,1);
INSERT INTO "job_day" VALUES('in01-local',470802619206218818,'ba62c9e9e0974bdf82f9ae240d2f0221','Failed',20786,1);
CREATE TABLE job_file (
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
	CONSTRAINT pk_job_file PRIMARY KEY (job_id, ordinal)
);
INSERT INTO "job_file" VALUES(470802619222992931,0,'a.parquet','[{"uri":"file:///a.parquet"}]',10,'Completed',100,0,7,1795969464795,NULL);
INSERT INTO "job_file" VALUES(470802619396176901,0,'a.parquet','[{"uri":"file:///a.parquet"}]',10,'Failed',0,0,7,1795969465008,NULL);
CREATE TABLE job_secret (
	job_id BIGINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_job_secret PRIMARY KEY (job_id)
);
INSERT INTO "job_secret" VALUES(470802619448841737,X'6741414141414272444647354E34457A476B616F54336E7A41395F41456C756A73676863374A4138455959735A5648514F47356B325932366F5A49733964446C66312D424B5F5068497461673969695657497479625666792D647A517769684373513D3D');
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
	warnings JSON, 
	CONSTRAINT pk_job_split PRIMARY KEY (job_id, ordinal)
);
INSERT INTO "job_split" VALUES(470802619222992931,0,'[{"file":0,"spec":{"format":"Parquet","part":{"row_groups":[0,1]},"partition":null},"size":10}]','[7]',1,'Staged',0,7,'{"rows":7,"size":10,"note":{}}','null');
INSERT INTO "job_split" VALUES(470802619396176901,0,'[{"file":0,"spec":{"format":"Parquet","part":{"row_groups":[0,1]},"partition":null},"size":10}]','null',8,'Pending',0,0,'null','null');
CREATE TABLE maintenance (
	collection_id TEXT NOT NULL, 
	owner TEXT, 
	lease_until BIGINT, 
	due_at BIGINT, 
	asked BIGINT NOT NULL, 
	CONSTRAINT pk_maintenance PRIMARY KEY (collection_id)
);
CREATE TABLE org (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	max_jobs BIGINT, 
	max_running_jobs BIGINT, 
	max_daily_bytes BIGINT, 
	turn BIGINT DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_org PRIMARY KEY (id)
);
INSERT INTO "org" VALUES('org-default','default',1795969464135,NULL,NULL,NULL,2);
CREATE TABLE org_usage (
	org_id TEXT NOT NULL, 
	day BIGINT NOT NULL, 
	bytes BIGINT NOT NULL, 
	CONSTRAINT pk_org_usage PRIMARY KEY (org_id, day), 
	CONSTRAINT fk_org_usage_org_id FOREIGN KEY(org_id) REFERENCES org (id)
);
INSERT INTO "org_usage" VALUES('org-default',20786,20);
CREATE TABLE partition (
	collection_id TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_partition PRIMARY KEY (collection_id, number), 
	CONSTRAINT fk_partition_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id), 
	CONSTRAINT uq_partition_collection_id_name UNIQUE (collection_id, name)
);
INSERT INTO "partition" VALUES('ba62c9e9e0974bdf82f9ae240d2f0221',0,'_default',1795969464157);
CREATE TABLE vector_index (
	collection_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	field_name TEXT NOT NULL, 
	spec JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_vector_index PRIMARY KEY (collection_id, name), 
	CONSTRAINT fk_vector_index_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id)
);
CREATE INDEX ix_audit_at ON audit (at, id);
CREATE INDEX ix_audit_org ON audit (org_id, at, id);
CREATE INDEX ix_idempotency_key_expires_at ON idempotency_key (expires_at);
CREATE INDEX ix_job_counter_collection ON job_counter (collection_id);
CREATE INDEX ix_job_day_cluster ON job_day (cluster_id, day);
CREATE INDEX ix_job_day_collection ON job_day (collection_id, day);
CREATE INDEX ix_maintenance_due ON maintenance (due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX uq_account_key ON account (hash) WHERE kind = 'key';
CREATE UNIQUE INDEX uq_account_user ON account (name) WHERE kind = 'user';
CREATE INDEX ix_job_cluster ON job (cluster_id, id);
CREATE INDEX ix_job_cluster_finished ON job (cluster_id, finished_at);
CREATE INDEX ix_job_cluster_state ON job (cluster_id, state, id);
CREATE INDEX ix_job_collection ON job (collection_id, id);
CREATE INDEX ix_job_collection_finished ON job (collection_id, finished_at);
CREATE INDEX ix_job_collection_state ON job (collection_id, state, id);
CREATE INDEX ix_job_database ON job (database_id, id);
CREATE INDEX ix_job_database_finished ON job (database_id, finished_at);
CREATE INDEX ix_job_database_state ON job (database_id, state, id);
CREATE INDEX ix_job_deadline ON job (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX ix_job_has_staged_files ON job (finished_at) WHERE has_staged_files IS 1;
CREATE INDEX ix_job_live ON job (cluster_id, id) WHERE finished_at IS NULL;
CREATE INDEX ix_job_owner ON job (owner) WHERE owner IS NOT NULL;
CREATE INDEX ix_job_runnable ON job (cluster_id, id) WHERE runnable IS 1;
CREATE UNIQUE INDEX uq_collection_live_name ON collection (database_id, name) WHERE dropped_at IS NULL;
CREATE TRIGGER audit_no_update BEFORE update ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE delete ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
COMMIT;
