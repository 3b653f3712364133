"""Properties and parameters as the pairs of key and value that both wires of Milvus have."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from penstock.collections.parameter_tables import INDEX_PROPERTIES
from penstock.domain.index import IndexSpec
from penstock.domain.parameter_values import value_text
from penstock.domain.schema import Field

INDEX_PROPERTY_NAMES = tuple(name for row in INDEX_PROPERTIES.rows for name in row.names)


def key_values(properties: Mapping[str, str]) -> list[dict[str, str]]:
    """``{"a": "b"}`` as ``[{"key": "a", "value": "b"}]``."""
    return [{"key": key, "value": value} for key, value in properties.items()]


def type_params(field: Field) -> list[dict[str, str]]:
    """The limits and other parameters of a field's type."""
    limits = {"dim": field.dim, "max_length": field.max_length, "max_capacity": field.max_capacity}
    return key_values({key: str(value) for key, value in limits.items() if value is not None} | dict(field.params))


def spec_params(spec: IndexSpec) -> dict[str, str]:
    """Type, metric and parameters of an index as clients read them.

    Parameters that determine how it is built are one JSON text, ``params``; properties are next to it.
    """
    shown = {"index_type": spec.type}
    if spec.metric:
        shown["metric_type"] = spec.metric.value
    params = {key: value for key, value in spec.params.items() if key not in INDEX_PROPERTY_NAMES}
    if params:
        shown["params"] = orjson.dumps(params, option=orjson.OPT_SORT_KEYS).decode()
    return shown | {key: value_text(spec.params[key]) for key in INDEX_PROPERTY_NAMES if key in spec.params}
