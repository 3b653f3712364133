"""Rankers of a hybrid search, decoded from a strategy with its parameters or from a rerank function."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from penstock.domain.parameter_values import go_boolean
from penstock.errors import InvalidParameter, Unsupported, shorten

DEFAULT_K = 60.0
_MAX_K = 16384
_RRF, _WEIGHTED = "rrf", "weighted"
_PARAMS: Mapping[str, Sequence[str]] = {_RRF: ("k",), _WEIGHTED: ("weights", "norm_score")}


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion:
    """Each search adds 1 / (k + rank) to the score of a row that it finds; the first rank is 1."""

    k: float = DEFAULT_K


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """Each search adds its weight times its score; with ``normalized`` the scores are first mapped into 0 to 1."""

    weights: Sequence[float]
    normalized: bool = False


Ranker: TypeAlias = ReciprocalRankFusion | WeightedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankFunction:
    """A function of a request's ``function_score``; ``type`` is the name of Milvus's function type."""

    type: str
    input_fields: Sequence[str] = ()
    output_fields: Sequence[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)


def ranker_of(strategy: str, params: Mapping[str, Any]) -> Ranker:
    """Decode a ranker; values of its parameters may be JSON text. Without a strategy it is ``rrf``.

    Raises:
        InvalidParameter: the strategy or a parameter is unknown, or a value is out of range.
    """
    name = (strategy or _RRF).lower()
    known = _PARAMS.get(name)
    if known is None:
        raise InvalidParameter(
            f"unsupported rank type {shorten(strategy)}; use one of {', '.join(_PARAMS)}", key="strategy"
        )
    for key in params:
        if key not in known:
            raise InvalidParameter(
                f"{shorten(key)} is not a parameter of the ranker {name}; it has {', '.join(known)}",
                key=shorten(key),
            )
    return ReciprocalRankFusion(_k(params)) if name == _RRF else WeightedSum(_weights(params), _norm_score(params))


def function_ranker(functions: Sequence[RerankFunction], params: Mapping[str, Any]) -> Ranker:
    """Decode the functions of a ``function_score``, of which a hybrid search has one, and its own parameters.

    Raises:
        InvalidParameter: it is no rerank function, or as in :func:`ranker_of`.
        Unsupported: another reranker than ``rrf`` and ``weighted``.
    """
    if len(functions) != 1:
        raise InvalidParameter(
            f"Currently only supports one rerank function, but got {len(functions)}", key="function_score"
        )
    if params:
        raise Unsupported(
            f"params of function_score are not supported by this server: {shorten(', '.join(params))}; "
            "give those of the function",
            key="function_score.params",
        )
    (function,) = functions
    if function.type.lower() != "rerank":
        raise InvalidParameter(f"{shorten(function.type)} is not rerank function", key="function_score")
    name = str(function.params.get("reranker") or "").lower()
    if name not in _PARAMS:
        raise Unsupported(
            f"Unsupported rerank function: [{shorten(name)}] , list of supported [{','.join(_PARAMS)}]",
            key="reranker",
        )
    for what, fields in (("input parameters", function.input_fields), ("output fields", function.output_fields)):
        if fields:
            raise InvalidParameter(
                f"The {name} function does not support {what}, but got {shorten(', '.join(fields))}",
                key="function_score",
            )
    return ranker_of(name, {key: value for key, value in function.params.items() if key != "reranker"})


def check_number_of_weights(ranker: Ranker, searches: int) -> None:
    """Raise InvalidParameter unless a weighted ranker has one weight for each search."""
    if isinstance(ranker, WeightedSum) and len(ranker.weights) != searches:
        raise InvalidParameter(
            "the length of weights param mismatch with ann search requests: invalid parameter"
            f"[expected={searches}][actual={len(ranker.weights)}]",
            expected=searches,
            actual=len(ranker.weights),
        )


def _k(params: Mapping[str, Any]) -> float:
    value = params.get("k", DEFAULT_K)
    number = _number(value)
    if number is None:
        raise InvalidParameter(f"Param k:{shorten(repr(value))} is not a number", key="k")
    if not 0 < number < _MAX_K:
        raise InvalidParameter(
            f"The rank params k should be in range (0, {_MAX_K}), but got {shorten(value)}", key="k"
        )
    return number


def _weights(params: Mapping[str, Any]) -> Sequence[float]:
    value = params.get("weights")
    if value is None:
        raise InvalidParameter("weights not found; give one for each search, such as [0.7, 0.3]", key="weights")
    weights = value
    if isinstance(value, str):
        try:
            weights = orjson.loads(value)
        except orjson.JSONDecodeError:
            weights = None
    numbers = (
        [None if isinstance(weight, str) else _number(weight) for weight in weights]
        if isinstance(weights, list)
        else [None]
    )
    if None in numbers:
        raise InvalidParameter(
            f"Parse weights param failed, weight should be []float, but got: {shorten(value)}", key="weights"
        )
    checked = [number for number in numbers if number is not None]
    for weight in checked:
        if not 0 <= weight <= 1:
            raise InvalidParameter(
                f"rank param weight should be in range [0, 1], but got {shorten(weight)}", key="weights"
            )
    return checked


def _norm_score(params: Mapping[str, Any]) -> bool:
    value = params.get("norm_score", False)
    flag = go_boolean(value)
    if flag is None:
        raise InvalidParameter(f"norm_score params must be true/false, but got {shorten(value)}", key="norm_score")
    return flag


def _number(value: object) -> float | None:
    """A finite number or the text of one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
