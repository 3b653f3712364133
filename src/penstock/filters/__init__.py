"""Milvus boolean expressions: text in, a typed tree out."""

from penstock.filters.evaluate import evaluate
from penstock.filters.parse import parse
from penstock.filters.ast import Filter

__all__ = ["Filter", "evaluate", "parse"]
