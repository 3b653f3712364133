"""Decode ``indexParams``, and make the index of the quick form of ``collections/create``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.collections.parameter_tables import INDEX_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.domain.index import IndexSpec, check_index
from penstock.domain.parameter_values import text_values
from penstock.domain.schema import MAX_FIELDS, CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, PenstockError, Unsupported, shorten
from penstock.wire.decoding import Fields
from penstock.wire.milvus_v2.errors import Refused

__all__ = ["index_specs", "not_in_schema", "not_there", "quick_index"]

_DISPLAYED = ("mmap.enabled", "indexoffsetcache.enabled", "warmup")
"""Parameters without effect on how an index is built; AUTOINDEX takes them too."""


def quick_index(fields: Fields, schema: CollectionSchema) -> IndexSpec:
    """The index of the quick form: AUTOINDEX, named after the vector field.

    Raises:
        InvalidParameter: the field can't have the body's ``metricType``.
    """
    vector = schema.vectors[0]
    return _check_spec(vector, vector.name, "AUTOINDEX", fields.string("metricType") or "", {})


def not_in_schema(name: str) -> PenstockError:
    """The error of ``collections/create`` for an index on an unknown field."""
    return Refused(1802, f"missing required parameters, error: `{name}` hasn't defined in schema")


def not_there(name: str) -> PenstockError:
    """The error of ``indexes/create`` for an index on an unknown field."""
    return InvalidParameter(f"cannot create index on non-exist field: {name}", field=name)


def index_specs(
    fields: Fields, schema: CollectionSchema, unknown: Callable[[str], PenstockError] = not_in_schema
) -> Iterator[IndexSpec]:
    """Decode the ``indexParams`` of a body lazily: those before an invalid one are created, as in Milvus.

    Args:
        unknown: makes the error for an unknown field, from its name.

    Raises:
        MalformedBody, MissingField: at once, before the first index.
        InvalidParameter: an index type or metric that the field can't have.
    """
    entries = fields.list("indexParams") or ()
    if len(entries) > MAX_FIELDS:
        raise InvalidParameter(
            f"{len(entries)} indexes in one call; a collection has at most {MAX_FIELDS} fields, and one index on each"
        )
    params = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise fields.mismatch("indexParams", entry, "httpserver.IndexParam")
        param = Fields(entry, f"{fields.struct}.IndexParams[{number}]")
        param.require("fieldName")
        for key in ("fieldName", "indexName", "metricType", "indexType"):
            param.string(key)
        param.mapping("params")
        params.append(param)
    return (_index_spec(param, schema, unknown) for param in params)


def _index_spec(param: Fields, schema: CollectionSchema, unknown: Callable[[str], PenstockError]) -> IndexSpec:
    name = param.required_string("fieldName")
    target = schema.get(name)
    struct = target or schema.get(name.partition("[")[0])
    if struct is not None and struct.type is DataType.ARRAY_OF_STRUCT:
        raise Unsupported(f"indexes on struct arrays are not supported by this server: {name}", field=name)
    if target is None:
        raise unknown(name)
    params = dict(param.mapping("params") or {})
    nested = text_values({key: params.pop(key) for key in ("index_type", "metric_type") if key in params})
    return _check_spec(
        target,
        param.string("indexName") or name,
        param.string("indexType") or nested.get("index_type", ""),
        param.string("metricType") or nested.get("metric_type", ""),
        params,
    )


def _check_spec(target: Field, name: str, type_name: str, metric: str, params: dict[str, Any]) -> IndexSpec:
    building = sorted(params.keys() - set(_DISPLAYED))
    if target.type.is_vector and type_name in ("", "AUTOINDEX") and building:
        names = ", ".join(shorten(key) for key in building[:10])
        raise InvalidParameter(
            f"only metric type can be passed when use AutoIndex, but got {names} too", field=target.name
        )
    check_parameters(INDEX_PARAMS, params, type_name or "AUTOINDEX")
    try:
        return check_index(target, name=name, type_name=type_name, metric=metric, params=params)
    except InvalidParameter as error:
        facts = error.details
        if "expected" not in facts:
            raise
        message = f"{error}: invalid parameter[expected={facts['expected']}][actual={facts['actual']}]"
        raise InvalidParameter(message, **facts) from error
