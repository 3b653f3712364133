"""Builders that turn parsed rows into Arrow columns."""
