"""Run analyzers on texts, to see their terms: an analyzer by its parameters, or that of a field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.analyzers import Analyzer, Token, build_analyzer, field_analyzer
from penstock.domain.collections import Collection
from penstock.domain.deadline import check_deadline
from penstock.errors import InvalidParameter, MissingParameter, Unsupported

MAX_CHARACTERS = 1 << 20
"""Of all texts of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnalyzer:
    """The request to analyze texts. Without ``collection`` the analyzer is that of ``analyzer_params``, JSON text."""

    texts: Sequence[str]
    analyzer_params: str = ""
    collection: str = ""
    field_name: str = ""
    analyzer_names: Sequence[str] = ()


def run_analyzer(request: RunAnalyzer, collection: Callable[[], Collection]) -> list[list[Token]]:
    """The tokens of each text. ``collection`` gets the requested collection.

    Raises:
        InvalidParameter, MissingParameter: the texts are too long, the parameters wrong, or the field isn't analyzed.
        Unsupported: the analyzer isn't served.
        CollectionNotFound, FieldNotFound
    """
    if request.analyzer_names:
        raise Unsupported(
            "analyzers by name are not supported by this server: a field has one analyzer", key="analyzer_names"
        )
    size = sum(map(len, request.texts))
    if size > MAX_CHARACTERS:
        raise InvalidParameter(f"the texts have {size:,} characters, more than {MAX_CHARACTERS:,}; use several calls")
    analyzer = _analyzer(request, collection)
    results = []
    for text in request.texts:
        check_deadline()
        results.append(analyzer.tokens(text))
    return results


def _analyzer(request: RunAnalyzer, collection: Callable[[], Collection]) -> Analyzer:
    if not request.collection:
        return build_analyzer(request.analyzer_params)
    if not request.field_name:
        raise MissingParameter("field_name must be set when collection_name is set", key="field_name")
    field = collection().schema[request.field_name]
    if not field.enable_analyzer:
        raise InvalidParameter(
            f"field {field.name} has no analyzer: it was created without enable_analyzer", field=field.name
        )
    return field_analyzer(field)
