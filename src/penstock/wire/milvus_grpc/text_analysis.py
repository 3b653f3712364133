"""RunAnalyzer: the terms of texts."""

from __future__ import annotations

from typing import Any

from penstock.analyzers import Token
from penstock.analyzers.term_vectors import term_id
from penstock.collections.collections import CollectionService
from penstock.collections.text_analysis import RunAnalyzer, run_analyzer
from penstock.domain.access import Role
from penstock.errors import InvalidParameter
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.collections import qualified_name
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.stubs import milvus_pb2


def methods(collections: CollectionService, grpc: MilvusGrpc) -> tuple[GrpcMethod, ...]:
    def run(request: Request) -> object:
        message = request.message
        analysis = RunAnalyzer(
            texts=_texts(message),
            analyzer_params=message.analyzer_params,
            collection=message.collection_name,
            field_name=message.field_name,
            analyzer_names=list(message.analyzer_names),
        )
        results = run_analyzer(analysis, lambda: collections.get(*qualified_name(request)))
        return milvus_pb2.RunAnalyzerResponse(
            results=[
                milvus_pb2.AnalyzerResult(tokens=[_token(token, message) for token in tokens]) for tokens in results
            ]
        )

    return (grpc.method("RunAnalyzer", run, action="common.run_analyzer", role=Role.READER),)


def _texts(message: Any) -> list[str]:
    try:
        return [text.decode() for text in message.placeholder]
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"a text to analyze is not UTF-8: {error}", key="placeholder") from error


def _token(token: Token, message: Any) -> Any:
    shown = milvus_pb2.AnalyzerToken(token=token.term)
    if message.with_detail:
        shown.start_offset, shown.end_offset = token.start, token.end
        shown.position, shown.position_length = token.position, 1
    if message.with_hash:
        shown.hash = term_id(token.term)
    return shown
