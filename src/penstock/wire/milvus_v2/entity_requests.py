"""Decode the bodies of ``entities/query``, ``get`` and ``search``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.collections.entities import EntityService, SearchQuery
from penstock.collections.parameter_tables import SEARCH_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.domain.collections import Collection
from penstock.domain.parameter_values import MAX_EXACT_DOUBLE, MAX_INT64
from penstock.domain.schema import DataType
from penstock.errors import FieldNotFound, InvalidParameter, Unsupported, shorten
from penstock.wire.decoding import Fields
from penstock.wire.milvus_v2.collection_requests import check_consistency_level
from penstock.wire.milvus_v2.errors import Refused
from penstock.wire.milvus_v2.query_vectors import query_vectors

__all__ = [
    "DEFAULT_LIMIT",
    "expression_values",
    "is_count",
    "page_of",
    "primary_keys",
    "refuse_unserved",
    "search_query",
]

DEFAULT_LIMIT = 100
MAX_TOP_K = 16384
MAX_KEYS = 65_536
"""Maximum number of primary keys of one call; each takes some 20 µs."""
MAX_NESTED_LISTS = 32
"""The same limit as the depth of a filter."""
UNSERVED_QUERY = ("orderByFields", "groupByFields")
_UNSERVED_SEARCH = (
    *("ids", "groupingField", "groupSize", "strictGroupSize", "functionScore", "functionChains"),
    *("searchAggregation", "orderByFields"),
)
_COUNT = re.compile(r"\s*count\s*\(\s*\*\s*\)\s*\Z", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}\Z")


def is_count(names: Sequence[str] | None) -> bool:
    """Whether ``outputFields`` requests the number of rows.

    Raises:
        InvalidParameter: it has other fields too.
    """
    if not any(_COUNT.match(name) for name in names or ()):
        return False
    if len(names or ()) > 1:
        raise InvalidParameter("count entities with other output fields is not supported", output_fields=names)
    return True


def page_of(fields: Fields) -> tuple[int | None, int]:
    """Decode ``limit`` and ``offset`` of a query. Zero or less is no limit, and without one there is no offset."""
    limit, offset = fields.integer("limit", strict=True), fields.integer("offset", strict=True)
    limit = DEFAULT_LIMIT if limit is None else limit
    return (limit, max(offset or 0, 0)) if limit > 0 else (None, 0)


def refuse_unserved(fields: Fields, keys: Iterable[str] = UNSERVED_QUERY) -> None:
    """Raise Unsupported for a non-empty key of a feature that this server lacks."""
    check_consistency_level(fields)
    for key in keys:
        if fields.value(key):
            raise Unsupported(f"{key} is not supported by this server", key=key)


def expression_values(fields: Fields) -> Mapping[str, Any]:
    """Decode ``exprParams``. JSON has one type of numbers: whole ones become integers, ``5.0`` too."""
    return {key: _value(value) for key, value in (fields.mapping("exprParams") or {}).items()}


def _value(value: Any, depth: int = 0) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT_DOUBLE:
        return int(value)
    if isinstance(value, list):
        if depth > MAX_NESTED_LISTS:
            raise InvalidParameter(f"a value of exprParams has lists more than {MAX_NESTED_LISTS} levels deep")
        return [_value(element, depth + 1) for element in value]
    return value


def primary_keys(fields: Fields, collection: Collection) -> list[int] | list[str]:
    """Decode the ``id`` of a get: one or a list of numbers or strings, for any key type.

    Raises:
        Refused: 1806, one can't be a key.
    """
    ids = fields.value("id")
    values: list[Any] = ids if isinstance(ids, list) else [ids]
    if len(values) > MAX_KEYS:
        raise InvalidParameter(f"at most {MAX_KEYS} ids are taken in one call, but got {len(values)}", key="id")
    primary = collection.schema.primary
    if primary.type is DataType.VARCHAR:
        if all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
            return [str(value) for value in values]
    else:
        keys = [_int64(value) for value in values]
        if None not in keys:
            return [key for key in keys if key is not None]
    excerpt = shorten(values, 200)
    raise Refused(
        1806,
        "please check the primary key and its' type can only in [int, string], "
        f"error: {excerpt} can't be keys of the {primary.type.value} field {primary.name}",
    )


def _int64(value: Any) -> int | None:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and _INTEGER.match(value))):
        return None
    number = int(value)
    return number if -MAX_INT64 - 1 <= number <= MAX_INT64 else None


def search_query(fields: Fields, collection: Collection, entities: EntityService) -> SearchQuery:
    """Decode the body of a search.

    Raises:
        Refused: 1802 without query vectors, 1801 for a field that can't be searched.
        MalformedBody: a query isn't of the field's type.
        InvalidParameter, Unsupported.
    """
    refuse_unserved(fields, _UNSERVED_SEARCH)
    data = fields.list("data")
    if not data:
        raise Refused(
            1802,
            "missing required parameters, error: either 'ids' (for primary key search) or 'data' "
            "(for vector search) must be provided",
        )
    try:
        target = entities.search_field(collection, fields.string("annsField"))
    except Unsupported:
        raise
    except (InvalidParameter, FieldNotFound) as error:
        raise Refused(1801, f"can only accept json format request, error: {error}") from error
    limit, offset = _top_k(fields)
    params = _search_params(fields)
    return SearchQuery(
        field_name=target.name,
        queries=query_vectors(data, target),
        limit=limit,
        offset=offset,
        filter=fields.string("filter") or "",
        filter_params=expression_values(fields),
        partitions=fields.strings("partitionNames") or (),
        output_fields=fields.strings("outputFields") or (),
        metric=_metric(fields, params),
        radius=_number(params, "radius"),
        range_filter=_number(params, "range_filter"),
        params=params,
    )


def _top_k(fields: Fields) -> tuple[int, int]:
    limit, offset = fields.integer("limit", strict=True), fields.integer("offset", strict=True) or 0
    limit = DEFAULT_LIMIT if limit is None else limit
    for what, value, least in (("topk", limit, 1), ("offset", offset, 0), ("offset+limit", offset + limit, 1)):
        if not least <= value <= MAX_TOP_K:
            raise InvalidParameter(
                f"{what} [{value}] is invalid, it should be in range [{least}, {MAX_TOP_K}], but got {value}",
                value=value,
            )
    return limit, offset


def _search_params(fields: Fields) -> dict[str, Any]:
    """Merge ``searchParams``, its ``params``, and the top-level ``params`` that Milvus 2.4 read.

    Raises:
        InvalidParameter: a key has two values, or is no search parameter.
        Unsupported.
    """
    params = dict(fields.mapping("searchParams") or {})
    nested = params.pop("params", None) or {}
    if not isinstance(nested, dict):
        raise InvalidParameter("searchParams.params must be a dict", key="searchParams.params")
    extra = fields.mapping("params") or {}
    for value in extra.values():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fields.mismatch("params", value, "float64")
    for source in (nested, extra):
        for key, value in source.items():
            if key in params and params[key] != value:
                raise InvalidParameter(
                    f"ambiguous parameter: {shorten(key)}, in search_param: {shorten(params[key])}, "
                    f"in params: {shorten(value)}"
                )
            params[key] = value
    check_parameters(SEARCH_PARAMS, params)
    return params


def _metric(fields: Fields, params: dict[str, Any]) -> str:
    values = [fields.value("metricType"), params.pop("metric_type", None), params.pop("metricType", None)]
    metrics = [value for value in values if value]
    for value in metrics:
        if not isinstance(value, str) or value != metrics[0]:
            excerpt = ", ".join(shorten(value) for value in metrics)
            raise InvalidParameter(f"metric type should be one string, but got {excerpt}", metric=excerpt)
    return metrics[0] if metrics else ""


def _number(params: dict[str, Any], key: str) -> float | None:
    value = params.pop(key, None)
    if value is None:
        return None
    try:
        if not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidParameter(f"{key} should be a number, but got {shorten(repr(value))}", key=key)
