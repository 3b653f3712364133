"""What each error code means and what to do about it, for people. ``docs/errors.md`` is made from this."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["MEANINGS"]

MEANINGS: Mapping[str, str] = {
    "internal": "An error that nobody foresaw. The answer tells a request id; the server's log has the rest.",
    "invalid_parameter": "A value of a request or setting is wrong; the message names it and what it may be.",
    "missing_parameter": "A value that must be there is absent.",
    "missing_field": "Keys that must be in the request's body are absent; the message names them.",
    "malformed_body": "The request's body is no JSON object, or a value in it has the wrong type.",
    "body_too_large": "The request's body has more bytes than `max_body_bytes`.",
    "refused": "Refused by a rule of one dialect; the answer has that dialect's own number.",
    "invalid_name": "A name of a collection, field, partition or database: letters, digits and underscores, "
    "not beginning with a digit, at most 255 characters.",
    "invalid_schema": "A collection schema breaks a rule; the message names the field.",
    "invalid_filter": "A filter expression can't be understood, or not be served exactly; the message says where.",
    "unsupported": "Well-formed, but this server doesn't offer it.",
    "not_found": "What was named doesn't exist.",
    "cluster_not_found": "There is no cluster of this id. The server's own is the setting `cluster_id`.",
    "database_not_found": "There is no database of this name: `penstock databases list`.",
    "collection_not_found": "There is no collection of this name in this database: `penstock collections list`.",
    "partition_not_found": "The collection has no partition of this name: `penstock partitions list COLLECTION`.",
    "field_not_found": "The collection has no field of this name.",
    "index_not_found": "The collection has no index of this name.",
    "alias_not_found": "The database has no alias of this name.",
    "job_not_found": "There is no job of this id in this cluster: `penstock jobs list`.",
    "account_not_found": "There is no key or user of this name: `penstock keys list`, `penstock users list`.",
    "org_not_found": "There is no org (tenant) of this name; `penstock orgs create` makes it.",
    "conflict": "The present state forbids it.",
    "collection_exists": "There is a collection of this name, and its schema is another one.",
    "database_exists": "There is a database of this name.",
    "database_not_empty": "The database holds collections; drop those first.",
    "index_exists": "There is an index of this name with other parameters.",
    "alias_exists": "The name is an alias of another collection; `aliases/alter` moves it.",
    "alias_name_conflict": "Collections and aliases of a database share one set of names; this one is taken.",
    "account_exists": "There is a user of this name.",
    "cluster_exists": "There is a cluster of this id.",
    "cluster_not_empty": "The cluster holds collections, or files of dropped ones; drop those first.",
    "collection_loaded": "The property can be changed only while the collection is released; release it first.",
    "collection_not_loaded": "The collection was released; load it to search and query it.",
    "job_state_conflict": "The job can't be committed, aborted or retried in its present state.",
    "access_denied": "The caller may not do this.",
    "unauthenticated": "No credentials came with the call, or wrong ones: `Authorization: Bearer KEY` or "
    "`Bearer user:password`.",
    "too_many_attempts": "Wrong credentials came too often; the message says when to try again.",
    "permission_denied": "The caller lacks the role; the message names it, and where it is wanted.",
    "import_refused": "The import request can never become a job: file types, groups, options.",
    "limit_exceeded": "A limit of the server; the message names it and the setting.",
    "quota_exceeded": (
        "A limit of the caller's org; the message names it, what the org may have and has, and when to come back. "
        "So does the header `Retry-After`, where that is a time."
    ),
    "source_error": "A file can't be had.",
    "path_not_allowed": "The path is outside of every `import_root`, or of a form that is never opened (`..`, links "
    "that lead out).",
    "file_missing": "The file is in none of the places that the message names.",
    "file_unreadable": "The file is there, but can't be opened.",
    "source_unavailable": "The object store or the network fails.",
    "data_error": "The content of a file breaks a rule. The message names file, row (counted from 0), field and "
    "value, and says what to do where that can be told.",
    "store_error": "The engine that keeps the rows fails.",
    "store_full": "No space is left for the rows.",
    "table_damaged": "A table of the store lacks a file that it names, or no version of it can be opened; the "
    "message names the file. Put it back from a backup, or drop the collection; `penstock doctor` looks through all.",
    "job_withdrawn": "The commit of this job was taken back, since its table was damaged, and another process met "
    "that. Retry the job when the table is whole again.",
    "store_conflict": "Another process has changed the collection in between.",
    "store_unavailable": "The store of the collections can't be reached.",
    "catalog_unavailable": "The catalog can't be reached, or is too busy, at present. Nothing was written.",
    "memory_exceeded": "A file takes more memory to read than a worker may have: a page or a row of it is huge. "
    "Raise `memory_budget`, or write the file with smaller row groups and pages. Other jobs go on.",
    "worker_lost": "A worker process died, mostly for want of memory; its part of the job is done again.",
    "task_cancelled": "A part of a job was told to stop, because the server stops or the job was aborted.",
    "lost_claim": "Another process has taken the job over; what this one wanted to write is void.",
    "gave_up": "What might have passed by itself did not, however often it was tried; retry the job later.",
    "import_timeout": "The job was not finished in time: by its option `timeout`, else by the setting `job_timeout` "
    "(72 h). Waiting counts. Retry it, or give it longer.",
    "data_folder_in_use": "Another server works in this data folder; the message names its process.",
}
