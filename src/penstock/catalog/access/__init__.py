"""Orgs, clusters, keys, users and the audit log in the catalog."""
