BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE cluster (
	id TEXT NOT NULL, 
	org_id TEXT NOT NULL, 
	region TEXT NOT NULL, 
	name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_cluster PRIMARY KEY (id), 
	CONSTRAINT fk_cluster_org_id FOREIGN KEY(org_id) REFERENCES org (id)
);
INSERT INTO "cluster" VALUES('in01-local','org-default','local','in01-local',1795329202165);
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
INSERT INTO "collection" VALUES('aa62d15ee6014f9bb8c0710de7ae6d4e',470634778405149463,'in01-local',470634778372438810,'docs','{"fields":[{"name":"id","type":"Int64","primary":true},{"name":"vector","type":"FloatVector","dim":4}],"auto_id":false,"dynamic":true,"description":""}','{"consistency_level":"Bounded","shards":1,"key_partitions":16,"properties":{}}','never','lance','2.0',1,15,1,1795329202290,NULL);
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
INSERT INTO "database" VALUES(470634778372438810,'in01-local','default','{}',1795329202165);
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
	keyed BOOLEAN DEFAULT (false) NOT NULL, 
	leftovers BOOLEAN DEFAULT (false) NOT NULL, 
	CONSTRAINT pk_job PRIMARY KEY (id), 
	CONSTRAINT fk_job_cluster_id FOREIGN KEY(cluster_id) REFERENCES cluster (id)
);
INSERT INTO "job" VALUES(470634778407247107,'in01-local',470634778372438810,'default','aa62d15ee6014f9bb8c0710de7ae6d4e','docs',NULL,'Completed',1,'[["a.parquet"]]','{}',100,'',10,7,7,NULL,'[]',1795329202298,1795329202311,1795329202352,NULL,NULL,1,0,NULL,0,NULL,1,0);
INSERT INTO "job" VALUES(470634778423646183,'in01-local',470634778372438810,'default','aa62d15ee6014f9bb8c0710de7ae6d4e','docs',NULL,'Failed',1,'[["a.parquet"]]','{}',0,'',10,0,7,'row 3 is bad','[]',1795329202360,1795329202377,1795329202392,NULL,NULL,1,0,NULL,0,NULL,1,0);
INSERT INTO "job" VALUES(470634778434215994,'in01-local',470634778372438810,'default','aa62d15ee6014f9bb8c0710de7ae6d4e','docs',NULL,'Pending',1,'[["a.parquet"]]','{}',0,'',0,0,0,NULL,'[]',1795329202401,NULL,NULL,NULL,NULL,0,1,NULL,0,NULL,1,0);
CREATE TABLE job_counter (
	cluster_id TEXT NOT NULL, 
	database_id BIGINT NOT NULL, 
	collection_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	jobs BIGINT NOT NULL, 
	CONSTRAINT pk_job_counter PRIMARY KEY (cluster_id, database_id, collection_id, state)
);
INSERT INTO "job_counter" VALUES('in01-local',470634778372438810,'aa62d15ee6014f9bb8c0710de7ae6d4e','Pending',1);
INSERT INTO "job_counter" VALUES('in01-local',470634778372438810,'aa62d15ee6014f9bb8c0710de7ae6d4e','Planning',0);
INSERT INTO "job_counter" VALUES('in01-local',470634778372438810,'aa62d15ee6014f9bb8c0710de7ae6d4e','Importing',0);
INSERT INTO "job_counter" VALUES('in01-local',470634778372438810,'aa62d15ee6014f9bb8c0710de7ae6d4e','Committing',0);
INSERT INTO "job_counter" VALUES('in01-local',470634778372438810,'aa62d15ee6014f9bb8c0710de7ae6d4e','Indexing',0);
INSERT INTO "job_counter" VALUES('in01-local',470634778372438810,'aa62d15ee6014f9bb8c0710de7ae6d4e','Completed',1);
INSERT INTO "job_counter" VALUES('in01-local',470634778372438810,'aa62d15ee6014f9bb8c0710de7ae6d4e','Failed',1);
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
INSERT INTO "job_file" VALUES(470634778407247107,0,'a.parquet','[{"uri":"file:///a.parquet"}]',10,'Completed',100,0,7,1795329202354,NULL);
INSERT INTO "job_file" VALUES(470634778423646183,0,'a.parquet','[{"uri":"file:///a.parquet"}]',10,'Failed',0,0,7,1795329202395,NULL);
CREATE TABLE job_secret (
	job_id BIGINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_job_secret PRIMARY KEY (job_id)
);
INSERT INTO "job_secret" VALUES(470634778434215994,X'6741414141414272416F79795F4A6A5A38664570312D6D6E354677514A7354456A385072644A58523849525F63546D74396B37313431734D7976384E74516B527A414E7262533352772D6151316F336538616B504846756B473139366B7773376B413D3D');
CREATE TABLE job_split (
	job_id BIGINT NOT NULL, 
	ordinal INTEGER NOT NULL, 
	file INTEGER NOT NULL, 
	spec JSON NOT NULL, 
	size BIGINT NOT NULL, 
	auto_id_start BIGINT, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	rows BIGINT NOT NULL, 
	staged JSON, 
	warnings JSON, 
	CONSTRAINT pk_job_split PRIMARY KEY (job_id, ordinal)
);
INSERT INTO "job_split" VALUES(470634778407247107,0,0,'{}',10,1,'Staged',0,7,'{"rows":7,"size":10,"note":{}}','null');
INSERT INTO "job_split" VALUES(470634778423646183,0,0,'{}',10,8,'Pending',0,0,'null','null');
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
	CONSTRAINT pk_org PRIMARY KEY (id)
);
INSERT INTO "org" VALUES('org-default','default',1795329202165);
CREATE TABLE partition (
	collection_id TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_partition PRIMARY KEY (collection_id, number), 
	CONSTRAINT fk_partition_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id), 
	CONSTRAINT uq_partition_collection_id_name UNIQUE (collection_id, name)
);
INSERT INTO "partition" VALUES('aa62d15ee6014f9bb8c0710de7ae6d4e',0,'_default',1795329202290);
CREATE TABLE vector_index (
	collection_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	field_name TEXT NOT NULL, 
	spec JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_vector_index PRIMARY KEY (collection_id, name), 
	CONSTRAINT fk_vector_index_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id)
);
CREATE INDEX ix_idempotency_key_expires_at ON idempotency_key (expires_at);
CREATE INDEX ix_job_counter_collection ON job_counter (collection_id);
CREATE INDEX ix_maintenance_due ON maintenance (due_at) WHERE due_at IS NOT NULL;
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
CREATE INDEX ix_job_leftovers ON job (finished_at) WHERE leftovers IS 1;
CREATE INDEX ix_job_live ON job (cluster_id, id) WHERE finished_at IS NULL;
CREATE INDEX ix_job_owner ON job (owner) WHERE owner IS NOT NULL;
CREATE INDEX ix_job_runnable ON job (id) WHERE runnable IS 1;
CREATE UNIQUE INDEX uq_collection_live_name ON collection (database_id, name) WHERE dropped_at IS NULL;
COMMIT;
