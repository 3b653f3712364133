"""Milvus boolean expressions: text in, a typed tree out."""

from penstock.filters.ast import Filter
from penstock.filters.parse import parse

__all__ = ["Filter", "parse"]
