"""Readers of JSON arrays and JSON Lines."""
