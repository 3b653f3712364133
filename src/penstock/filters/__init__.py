"""Milvus boolean expressions: text in, a typed tree out."""

from penstock.filters.tree import Filter

__all__ = ["Filter"]
