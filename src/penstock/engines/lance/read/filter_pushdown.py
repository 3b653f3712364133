"""Split a filter into a part pushed down to the scanner, and a part evaluated on the scan's batches.

SQL serves a few conditions on columns well: it uses scalar indexes and reads other columns late. It does
not serve long lists (parsing a million constants takes minutes), lists within JSON (a predicate of a JSON path
recurses, and crashes the process at some thousand constants), and many conditions on JSON: while no rows match no
batch comes out, and the scan can't be cancelled. Such conditions are evaluated in
:mod:`penstock.engines.lance.read.batch_filter` instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.filters.ast import (
    And,
    Compare,
    Constant,
    Contains,
    Filter,
    In,
    JsonPath,
    Length,
    Like,
    Not,
    Or,
    PhraseMatch,
    TextMatch,
)
from penstock.filters.limits import evaluations, is_on_json

_JSON_WEIGHT = 8
_LIKE_WEIGHT = 4
_TEXT_WEIGHT = 256

SCAN_WEIGHT = 4
"""The weight limit of a scan's own filter. One comparison of a column weighs 1, about 0.1 us a row at most."""

NEAREST_WEIGHT = 32
"""The same in a search for nearest neighbours: an index serves only what the engine filters itself."""

_MAX_SQL_VALUES = 1000
_MAX_SQL_CONTAINED = 8
_MAX_SQL_PATTERN = 64


def split(filter: Filter | None, most: int) -> tuple[Filter | None, Filter | None]:
    """Split a filter into two that must both hold: the scanner's, weighing at most ``most``, and the rest."""
    if filter is None:
        return None, None
    pushed: list[Filter] = []
    rest: list[Filter] = []
    for part in filter.parts if isinstance(filter, And) else (filter,):
        cost = weight(part)
        if fits_sql(part) and cost <= most:
            pushed.append(part)
            most -= cost
        else:
            rest.append(part)
    return _all(pushed), _all(rest)


def _all(parts: Sequence[Filter]) -> Filter | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return And(tuple(parts))


def weight(filter: Filter) -> int:
    """The cost of a filter per row, in units of a comparison."""
    match filter:
        case Constant():
            return 0
        case Not(part):
            return weight(part)
        case And(parts) | Or(parts):
            return sum(map(weight, parts))
    if isinstance(filter, TextMatch | PhraseMatch):
        return _TEXT_WEIGHT
    unit = _JSON_WEIGHT if is_on_json(filter) else _LIKE_WEIGHT if isinstance(filter, Like) else 1
    return unit * evaluations(filter)


def fits_sql(filter: Filter) -> bool:
    """Whether all conditions of a filter are small enough for SQL."""
    match filter:
        case Not(part):
            return fits_sql(part)
        case And(parts) | Or(parts):
            return all(map(fits_sql, parts))
        case In(values=values):
            return len(values) <= _MAX_SQL_VALUES
        case Like(pattern=pattern):
            return len(pattern) <= _MAX_SQL_PATTERN
        case Contains(values=constants):
            return len(constants) <= _MAX_SQL_CONTAINED and not any(isinstance(value, tuple) for value in constants)
        case Compare(value=tuple()) | Compare(term=Length(of=JsonPath())):
            return False  # the engine takes microseconds for each element of a JSON list to count them
        case TextMatch() | PhraseMatch():
            return False
    return True
