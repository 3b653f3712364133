"""Text analysis: analyzers split texts into terms, for full-text search (BM25) and for filters on words.

What an analyzer does to a text is part of the stored format: the terms of rows are stored, and those of queries must
be equal to them.
"""

from penstock.analyzers.analyzer import Analyzer, Token
from penstock.analyzers.params import analyzer_from_params, build_analyzer, field_analyzer

__all__ = ["Analyzer", "Token", "analyzer_from_params", "build_analyzer", "field_analyzer"]
