"""Parameters of a search: merged from their places, checked, and taken apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.collections.parameter_tables import SEARCH_PARAMS
from penstock.collections.parameters import check_parameters
from penstock.collections.search_groups import Grouping
from penstock.domain.parameter_values import go_boolean, whole_number
from penstock.errors import InvalidParameter, shorten

MAX_DECIMALS = 6
"""Of scores that are rounded, as in Milvus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParams:
    """``metric`` "" is the index's. ``radius`` and ``range_filter`` bound the score. ``tuning`` are all others.

    ``round_decimal`` are the decimals of scores; None leaves them as they are. ``timezone`` "" is the collection's.
    """

    metric: str = ""
    radius: float | None = None
    range_filter: float | None = None
    grouping: Grouping | None = None
    round_decimal: int | None = None
    timezone: str = ""
    tuning: Mapping[str, Any] = field(default_factory=dict)

    def rounded(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The scores with :attr:`round_decimal` decimals."""
        return rounded(scores, self.round_decimal)


def rounded(scores: npt.NDArray[np.float32], decimals: int | None) -> npt.NDArray[np.float32]:
    """The scores with so many decimals; None leaves them as they are."""
    if decimals is None:
        return scores
    return np.round(scores.astype(np.float64), decimals).astype(np.float32)


def search_params(params: Mapping[str, Any], *more: Mapping[str, Any], metric: object = None) -> SearchParams:
    """Merge and check free-typed search parameters.

    Args:
        more: objects with further parameters, as Milvus has them within and beside the first.
        metric: the metric type, where the request has a place of its own for it.

    Raises:
        InvalidParameter: a key has two values or is not a search parameter; a value is of the wrong type.
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
        grouping=grouping_of(merged),
        round_decimal=round_decimal(merged.pop("round_decimal", None)),
        timezone=merged.pop("timezone", None) or "",
        tuning=merged,
    )


def round_decimal(value: object) -> int | None:
    """The number of decimals of scores; None for None and -1.

    Raises:
        InvalidParameter: it is out of range.
    """
    if value is None or value == "":
        return None
    decimals = whole_number(value)
    if decimals is None or not -1 <= decimals <= MAX_DECIMALS:
        raise InvalidParameter(
            f"round_decimal [{shorten(value)}] is invalid, it should be -1 or an integer in range "
            f"[0, {MAX_DECIMALS}]",
            key="round_decimal",
        )
    return None if decimals < 0 else decimals


def grouping_of(params: dict[str, Any]) -> Grouping | None:
    """Take the grouping out of checked parameters; None without a field to group by."""
    name, size = params.pop("group_by_field", None), params.pop("group_size", None)
    strict, scorer = params.pop("strict_group_size", None), params.pop("rank_group_scorer", None)
    if not name:
        return None
    return Grouping(
        field_name=name,
        size=1 if size is None or size == "" else whole_number(size) or 0,
        strict=bool(go_boolean(strict)),
        scorer=scorer or "max",
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
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isnan(number):
        return number
    raise InvalidParameter(f"{key} should be a number, but got {shorten(repr(value))}", key=key)
