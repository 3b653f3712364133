"""Databases, collections, partitions and their maintenance leases in the catalog."""
