"""Staging of files and their publication in one transaction."""
