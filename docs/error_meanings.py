"""Meaning and remedy of each error code. ``docs/errors.md`` is generated from this table."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["MEANINGS"]

MEANINGS: Mapping[str, str] = {
    "internal": "Unexpected error. The response has a request id; the server's log has the details.",
    "invalid_parameter": "A value of a request or setting is invalid; the message names it and the allowed values.",
    "missing_parameter": "A required value is missing.",
    "missing_field": "Required keys are missing in the request body; the message names them.",
    "malformed_body": "The request body is not a JSON object, or a value in it has the wrong type.",
    "body_too_large": "The request body exceeds `max_body_bytes`.",
    "dialect_refusal": "Rejected by a rule of one dialect, with that dialect's own number.",
    "invalid_name": "Invalid name of a collection, field, partition or database. Allowed: letters, digits and "
    "underscores, not starting with a digit, at most 255 characters.",
    "invalid_schema": "The collection schema is invalid; the message names the field.",
    "invalid_filter": "A filter expression cannot be parsed, or not be evaluated exactly; the message has the "
    "position.",
    "unsupported": "Valid, but not supported by this server.",
    "missing_extra": "An optional part of Penstock is not installed; the message has the command that installs it.",
    "not_found": "The named object does not exist.",
    "cluster_not_found": "No cluster has this id. The server's own is the setting `cluster_id`.",
    "database_not_found": "No database has this name: `penstock databases list`.",
    "collection_not_found": "No collection in this database has this name: `penstock collections list`.",
    "partition_not_found": "The collection has no partition of this name: `penstock partitions list COLLECTION`.",
    "field_not_found": "The collection has no field of this name.",
    "index_not_found": "The collection has no index of this name.",
    "alias_not_found": "No alias in this database has this name.",
    "job_not_found": "No job in this cluster has this id: `penstock jobs list`.",
    "account_not_found": "No key or user has this name: `penstock keys list`, `penstock users list`.",
    "webhook_not_found": "No webhook has this id, or the caller is not an admin of what it covers.",
    "org_not_found": "No org (tenant) has this name; `penstock orgs create` creates it.",
    "conflict": "Not allowed in the current state.",
    "collection_exists": "A collection with this name and another schema exists.",
    "database_exists": "A database with this name exists.",
    "database_not_empty": "The database has collections; drop them first.",
    "index_exists": "An index with this name and other parameters exists.",
    "alias_exists": "The name is an alias of another collection; `aliases/alter` moves it.",
    "alias_name_conflict": "Collections and aliases of a database share one set of names; this one is taken.",
    "account_exists": "A user with this name exists.",
    "cluster_exists": "A cluster with this id exists.",
    "cluster_not_empty": "The cluster has collections, or files of dropped ones; drop them first.",
    "collection_loaded": "The property can only be changed while the collection is released; release it first.",
    "collection_not_loaded": "The collection is released; load it to search and query it.",
    "job_state_conflict": "The job cannot be committed, aborted, retried or reverted in its current state.",
    "revert_impossible": "The completed job can no longer be reverted: a later job replaced rows of it (revert that "
    "one first), or the rows that it replaced are no longer kept (setting `replaced_row_retention`).",
    "upload_not_found": "The org has no upload of this id, or not any more: uploads are deleted when a job has "
    "imported all of their rows, and after `upload_retention`.",
    "upload_conflict": "The upload ends at another offset than the call begins at, or another call or job uses it.",
    "upload_corrupt": "The uploaded bytes do not have the announced checksum; the message says what was discarded.",
    "target_not_empty": "The folder of an export has files; an export never changes files. Choose a new folder.",
    "access_denied": "The caller has no permission.",
    "unauthenticated": "Missing or wrong credentials: `Authorization: Bearer KEY` or `Bearer user:password`.",
    "too_many_attempts": "Too many wrong credentials; the message says when to retry.",
    "forged_form": "A form of the page came without its token: from another site, or from before the login.",
    "permission_denied": "The caller lacks a role; the message names it and its scope.",
    "import_refused": "The import request is invalid: file types, file groups, options.",
    "limit_exceeded": "A limit of the server is exceeded; the message names it and the setting.",
    "quota_exceeded": (
        "A quota of the caller's org is exceeded; the message names it, its value, the current usage, and when to "
        "retry, if possible also in the header `Retry-After`."
    ),
    "source_error": "A file cannot be read.",
    "path_not_allowed": "The path is outside every `import_root`, or of a form that is never opened (`..`, links "
    "that lead outside).",
    "file_missing": "The file is in none of the locations in the message.",
    "file_unreadable": "The file exists, but cannot be opened.",
    "source_unavailable": "The object store or the network failed.",
    "data_error": "The content of a file is invalid. The message names file, row (counted from 0), field and "
    "value, and the remedy if there is one.",
    "catalog_error": "The catalog is damaged, of another version, or encrypted with another key; the message "
    "says which.",
    "catalog_full": "No space left for the catalog. Nothing was written.",
    "storage_error": "The storage engine failed.",
    "storage_full": "No space left for the rows.",
    "table_damaged": "A file of a table in the store is missing, or no version of the table can be opened; the "
    "message names the file. Restore it from a backup, or drop the collection; `penstock doctor` checks all tables.",
    "job_withdrawn": "The intent of this job was withdrawn because its table was damaged, and another process found "
    "the withdrawal. Retry the job when the table is repaired.",
    "storage_conflict": "Another process changed the collection concurrently.",
    "storage_unavailable": "The store of the collections cannot be reached.",
    "catalog_unavailable": "The catalog is unavailable or too busy. Nothing was written.",
    "memory_exceeded": "Reading a file takes more memory than a worker may use: a page or a row of it is huge. "
    "Raise `memory_budget`, or write the file with smaller row groups and pages. Other jobs continue.",
    "worker_lost": "A worker process died, mostly for lack of memory; its split is repeated.",
    "task_cancelled": "A task was cancelled because the server stops or the job was aborted.",
    "lease_lost": "Another process took over the job; the write of this one was rejected.",
    "retries_exhausted": "A transient error persisted through all attempts; retry the job later.",
    "too_many_errors": "More rows or files of an import are bad than its options `max_errors` and "
    "`max_errors_per_file` allow; the message has the first ones ([bad rows](bad-rows.md)).",
    "import_timeout": "The job exceeded its option `timeout`, else the setting `job_timeout` "
    "(72 h), including waiting time. Retry it, or raise the timeout.",
    "data_folder_in_use": "Another server uses this data dir; the message names its process.",
}
