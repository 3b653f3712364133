"""Maintenance of Lance tables: compaction, version expiry, orphan files, repair."""
