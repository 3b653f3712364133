"""Dry runs: read and check files as an import does, and report what it would do and refuse, without writing rows."""
