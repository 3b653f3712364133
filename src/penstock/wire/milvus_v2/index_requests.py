"""``indexParams``: the indexes that a body asks for, and the one that a quickly made collection gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.domain.index import IndexSpec, check_index
from penstock.domain.schema import MAX_FIELDS, CollectionSchema, DataType, Field
from penstock.errors import InvalidParameter, PenstockError, Unsupported, shorten
from penstock.wire.decoding import Fields
from penstock.wire.milvus_v2.errors import Refused
from penstock.wire.milvus_v2.parameters import INDEX_PARAMS, check_parameters
from penstock.wire.milvus_v2.row_serializer import text_values

__all__ = ["index_specs", "not_in_schema", "not_there", "quick_index"]

_DISPLAYED = ("mmap.enabled", "indexoffsetcache.enabled", "warmup")
"""Parameters that have nothing to do with how an index is built; AUTOINDEX takes them too."""


def quick_index(fields: Fields, schema: CollectionSchema) -> IndexSpec:
    """The index that the quick form makes: AUTOINDEX, named after the vector field.

    Raises:
        InvalidParameter: the field can't have the body's ``metricType``.
    """
    vector = schema.vectors[0]
    return _checked(vector, vector.name, "AUTOINDEX", fields.string("metricType") or "", {})


def not_in_schema(name: str) -> PenstockError:
    """How ``collections/create`` words an index on a field that there isn't."""
    return Refused(1802, f"missing required parameters, error: `{name}` hasn't defined in schema")


def not_there(name: str) -> PenstockError:
    """How ``indexes/create`` does."""
    return InvalidParameter(f"cannot create index on non-exist field: {name}", field=name)


def index_specs(
    fields: Fields, schema: CollectionSchema, unknown: Callable[[str], PenstockError] = not_in_schema
) -> Iterator[IndexSpec]:
    """The ``indexParams`` of a body, one after the other: what comes before a wrong one is made, as in Milvus.

    Args:
        unknown: makes the error for a field that the schema doesn't have, from its name.

    Raises:
        MalformedBody, MissingField: at once, before the first index.
        InvalidParameter: an index type or metric that the field can't have.
    """
    given = fields.list("indexParams") or ()
    if len(given) > MAX_FIELDS:
        raise InvalidParameter(
            f"{len(given)} indexes in one call; a collection has at most {MAX_FIELDS} fields, and one index on each"
        )
    params = []
    for number, each in enumerate(given):
        if not isinstance(each, dict):
            raise fields.mismatch("indexParams", each, "httpserver.IndexParam")
        param = Fields(each, f"{fields.struct}.IndexParams[{number}]")
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
    return _checked(
        target,
        param.string("indexName") or name,
        param.string("indexType") or nested.get("index_type", ""),
        param.string("metricType") or nested.get("metric_type", ""),
        params,
    )


def _checked(target: Field, name: str, type_name: str, metric: str, params: dict[str, Any]) -> IndexSpec:
    building = sorted(params.keys() - set(_DISPLAYED))
    if target.type.is_vector and type_name in ("", "AUTOINDEX") and building:
        shown = ", ".join(shorten(key) for key in building[:10])
        raise InvalidParameter(
            f"only metric type can be passed when use AutoIndex, but got {shown} too", field=target.name
        )
    check_parameters(INDEX_PARAMS, params, type_name or "AUTOINDEX")
    try:
        return check_index(target, name=name, type_name=type_name, metric=metric, params=params)
    except InvalidParameter as error:
        facts = error.details
        if "expected" not in facts:
            raise
        told = f"{error}: invalid parameter[expected={facts['expected']}][actual={facts['actual']}]"
        raise InvalidParameter(told, **facts) from error
