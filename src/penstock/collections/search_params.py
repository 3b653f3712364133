"""Parameters of a search: merged from their places, checked, and taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.collections.parameter_tables import SEARCH_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.errors import InvalidParameter, shorten

__all__ = ["SearchParams", "search_params"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParams:
    """``metric`` "" is the index's. ``radius`` and ``range_filter`` bound the score. ``tuning`` are all others."""

    metric: str = ""
    radius: float | None = None
    range_filter: float | None = None
    tuning: Mapping[str, Any] = field(default_factory=dict)


def search_params(params: Mapping[str, Any], *more: Mapping[str, Any], metric: object = None) -> SearchParams:
    """Merge and check free-typed search parameters.

    Args:
        more: objects with further parameters, as Milvus has them within and beside the first.
        metric: the metric type, where the request has a place of its own for it.

    Raises:
        InvalidParameter: a key has two values or is no search parameter; a value is of the wrong type.
        Unsupported: a parameter isn't served.
    """
    merged = dict(params)
    for source in more:
        for key, value in source.items():
            if key in merged and merged[key] != value:
                raise InvalidParameter(
                    f"ambiguous parameter: {shorten(key)}, in search_param: {shorten(merged[key])}, "
                    f"in params: {shorten(value)}"
                )
            merged[key] = value
    check_parameters(SEARCH_PARAMS, merged)
    return SearchParams(
        metric=_metric(metric, merged.pop("metric_type", None), merged.pop("metricType", None)),
        radius=_number(merged, "radius"),
        range_filter=_number(merged, "range_filter"),
        tuning=merged,
    )


def _metric(*values: object) -> str:
    metrics = [value for value in values if value]
    for value in metrics:
        if not isinstance(value, str) or value != metrics[0]:
            excerpt = ", ".join(shorten(value) for value in metrics)
            raise InvalidParameter(f"metric type should be one string, but got {excerpt}", metric=excerpt)
    return str(metrics[0]) if metrics else ""


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
