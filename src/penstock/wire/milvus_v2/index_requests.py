"""Decode ``indexParams``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.collections.index_requests import CreateIndex
from penstock.domain.schema import MAX_FIELDS
from penstock.errors import InvalidParameter
from penstock.wire.decoding import Fields


def index_requests(fields: Fields) -> Sequence[CreateIndex]:
    """Decode the ``indexParams`` of a body.

    Raises:
        MalformedBody, MissingField.
        InvalidParameter: there are more than a collection has fields, or one has its parameters twice.
    """
    entries = fields.list("indexParams") or ()
    if len(entries) > MAX_FIELDS:
        raise InvalidParameter(
            f"{len(entries)} indexes in one call; a collection has at most {MAX_FIELDS} fields, and one index on each"
        )
    requests = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise fields.mismatch("indexParams", entry, "httpserver.IndexParam")
        param = Fields(entry, f"{fields.struct}.IndexParams[{number}]")
        requests.append(
            CreateIndex(
                field_name=param.required_string("fieldName"),
                index_name=param.string("indexName") or "",
                metric=param.string("metricType") or "",
                index_type=param.string("indexType") or "",
                params=_params(param),
            )
        )
    return requests


def _params(param: Fields) -> Mapping[str, Any]:
    """Decode ``params``, which the documentation of Milvus 2.4 calls ``indexConfig``.

    Raises:
        MalformedBody.
        InvalidParameter: there are both.
    """
    params, config = param.mapping("params"), param.mapping("indexConfig")
    if params and config:
        raise InvalidParameter(
            "params and indexConfig of an index are the same under two names: pass one of them", key="indexConfig"
        )
    return params or config or {}
