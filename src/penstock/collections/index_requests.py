"""Requests for indexes, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.collections.parameter_tables import INDEX_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.domain.index import IndexSpec, check_index
from penstock.domain.names import check_index_name
from penstock.domain.parameter_values import text_values
from penstock.domain.schema import CollectionSchema, DataType
from penstock.errors import FieldNotFound, InvalidParameter, Unsupported, shorten, shorten_name

_DISPLAYED = ("mmap.enabled", "indexoffsetcache.enabled", "warmup")
"""Parameters without effect on how an index is built; AUTOINDEX takes them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIndex:
    """The request for an index on a field.

    Empty texts are the defaults: the field's name, AUTOINDEX, and the metric of the field's type. ``params`` are
    free-typed; type and metric may stand in them too, as ``index_type`` and ``metric_type``.
    """

    field_name: str
    index_name: str = ""
    index_type: str = ""
    metric: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


def index_spec(request: CreateIndex, schema: CollectionSchema) -> IndexSpec:
    """Check a request against a schema.

    Raises:
        FieldNotFound: the schema has no such field.
        Unsupported: the field or a parameter isn't served.
        InvalidName: the index's name.
        InvalidParameter: a type, metric or parameter that the field can't have.
    """
    name = request.field_name
    if request.index_name and request.index_name != name:
        check_index_name(request.index_name)
    target = schema.get(name)
    struct = target or schema.get(name.partition("[")[0])
    if struct is not None and struct.type is DataType.ARRAY_OF_STRUCT:
        raise Unsupported(
            f"indexes on struct arrays are not supported by this server: {shorten_name(name)}. In place of MAX_SIM "
            "searches, index and search the vectors in a field of their own, in one row for each",
            field=name,
        )
    if target is None:
        raise FieldNotFound(f"cannot create index on non-exist field: {shorten_name(name)}", field=name)
    params = {key: value for key, value in request.params.items() if value is not None}
    nested = text_values({key: params.pop(key) for key in ("index_type", "metric_type") if key in params})
    index_type = request.index_type or nested.get("index_type", "")
    building = sorted(params.keys() - set(_DISPLAYED))
    if target.type.is_vector and index_type in ("", "AUTOINDEX") and building:
        names = ", ".join(shorten(key) for key in building[:10])
        raise InvalidParameter(
            f"only metric type can be passed when use AutoIndex, but got {names} too", field=target.name
        )
    check_parameters(INDEX_PARAMS, params, index_type or "AUTOINDEX")
    try:
        return check_index(
            target,
            name=request.index_name or name,
            type_name=index_type,
            metric=request.metric or nested.get("metric_type", ""),
            params=params,
        )
    except InvalidParameter as error:
        details = error.details
        if "expected" not in details:
            raise
        message = f"{error}: invalid parameter[expected={details['expected']}][actual={details['actual']}]"
        raise InvalidParameter(message, **details) from error
