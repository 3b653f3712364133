"""``/v2/vectordb/common/run_analyzer``: the terms of texts."""

from __future__ import annotations

from typing import Any

from penstock.analyzers import Token
from penstock.analyzers.term_vectors import term_id
from penstock.collections.collections import CollectionService
from penstock.collections.text_analysis import RunAnalyzer, run_analyzer
from penstock.domain.access import Role
from penstock.domain.parameter_values import value_text
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.dialect import MilvusV2, Request

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def routes(collections: CollectionService, v2: MilvusV2) -> tuple[Route, ...]:
    def run(request: Request) -> object:
        fields = request.fields
        fields.require("text")
        params = fields.value("analyzerParams")
        analysis = RunAnalyzer(
            texts=fields.strings("text") or (),
            analyzer_params="" if params is None else value_text(params),
            collection=fields.string("collectionName") or "",
            field_name=fields.string("fieldName") or "",
            analyzer_names=fields.strings("analyzerNames") or (),
        )
        detail, hashed = bool(fields.boolean("withDetail")), bool(fields.boolean("withHash"))
        results = run_analyzer(
            analysis, lambda: collections.get(request.cluster_id, request.database, analysis.collection)
        )
        return {"results": [{"tokens": [_token(token, detail, hashed) for token in tokens]} for tokens in results]}

    return (
        v2.post(
            "/common/run_analyzer",
            run,
            role=Role.READER,
            struct="RunAnalyzerReq",
            operation=Operation(
                summary="Show the terms of texts, by analyzer parameters or by those of a field",
                tag="collections",
                body={
                    "dbName": _TEXT,
                    "text": _TEXTS,
                    "analyzerParams": {"description": "A JSON object, or its text.", "example": {"type": "english"}},
                    "withDetail": {"type": "boolean"},
                    "withHash": {"type": "boolean"},
                    "collectionName": _TEXT,
                    "fieldName": _TEXT,
                    "analyzerNames": _TEXTS,
                },
                required=("text",),
            ),
        ),
    )


def _token(token: Token, detail: bool, hashed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"token": token.term}
    if detail:
        shown |= {
            "startOffset": token.start,
            "endOffset": token.end,
            "position": token.position,
            "positionLength": 1,
        }
    if hashed:
        shown["hash"] = term_id(token.term)
    return shown
