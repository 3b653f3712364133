"""A filter evaluated on the batches of a scan, in one pass whatever its lists hold.

Conditions that SQL serves are columns of the scan: true where they hold. Of the others the scan gives the values that
they look at, each only once, and sets of the constants answer for a whole batch. Between batches the deadline
is checked: a scan whose reader is dropped stops at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from lance.dataset import LanceDataset

from penstock.domain.deadline import check_deadline
from penstock.domain.schema import DataType
from penstock.engines.lance.layout.names import quoted
from penstock.engines.lance.read.filter_pushdown import fits_sql, weight
from penstock.engines.lance.read.filter_sql import term_sql, to_sql_of
from penstock.engines.lance.read.filter_sql_json import value_sql
from penstock.filters.ast import (
    And,
    ArrayColumn,
    Column,
    Contains,
    Element,
    Filter,
    In,
    Like,
    Not,
    Or,
)
from penstock.filters.evaluate import json_condition
from penstock.filters.like import like_matcher
from penstock.filters.limits import json_conditions, json_path

__all__ = ["matching"]

Mask = npt.NDArray[np.bool_]
Answer = Callable[[Any], "bool | None"]
"""What a condition says of one value: true, false, or None for unknown."""

_BATCH_ROWS = 8192
_BATCH_WEIGHT = 64
"""A batch of :data:`_BATCH_ROWS` may weigh so much a row; heavier filters get fewer rows, so as to end in time."""
_ROWS_BETWEEN_CHECKS = 64
_FEW_JSON_CONDITIONS = 4


@dataclass
class _Batch:
    """A batch of the scan, and the Python values of its JSON columns as they are needed."""

    columns: pa.RecordBatch
    values: dict[str, list[Any]] = field(default_factory=dict)

    def column(self, name: str) -> pa.Array[Any]:
        return self.columns.column(name)

    def json(self, name: str) -> list[Any]:
        if name not in self.values:
            self.values[name] = _decoded(self.column(name))
        return self.values[name]


Test = Callable[[_Batch], Mask]
"""For which rows of a batch a filter is true."""


@dataclass
class _Plan:
    """The columns that the tests of a filter look at: SQL by name.

    ``json_in_sql``: conditions on JSON are said in SQL. It looks up the path once for each condition, and this module
    once for all of them.
    """

    json_in_sql: bool
    columns: dict[str, str] = field(default_factory=dict)

    def says(self, filter: Filter) -> bool:
        return fits_sql(filter) and (self.json_in_sql or not json_conditions(filter))

    def name(self, sql: str) -> str:
        return self.columns.setdefault(sql, f"__value{len(self.columns)}")

    @property
    def projection(self) -> Mapping[str, str]:
        return {name: sql for sql, name in self.columns.items()}


def matching(
    dataset: LanceDataset, where: str | None, rest: Filter, columns: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Rows for which ``where`` and ``rest`` are true: ``columns`` (SQL by name) and ``_rowaddr``.

    Raises:
        DeadlineExceeded
    """
    plan = _Plan(json_conditions(rest) <= _FEW_JSON_CONDITIONS)
    test = _test(rest, False, plan)
    scanner = dataset.scanner(
        columns={**columns, **plan.projection},
        filter=where,
        with_row_address=True,
        batch_size=max(16, min(_BATCH_ROWS, _BATCH_ROWS * _BATCH_WEIGHT // max(weight(rest), 1))),
    )
    names = [*columns, "_rowaddr"]
    for batch in scanner.to_batches():
        check_deadline()
        mask = test(_Batch(batch))
        if mask.any():
            yield batch.select(names).filter(pa.array(mask))


def _test(filter: Filter, negated: bool, plan: _Plan) -> Test:
    """``not`` is pushed down, so a row counts where each condition is true or, negated, false."""
    if plan.says(filter):
        return _column_test(plan.name(to_sql_of(filter, negated)))
    match filter:
        case Not(part):
            return _test(part, not negated, plan)
        case And(parts) | Or(parts):
            return _joined_test(parts, isinstance(filter, And) != negated, negated, plan)
        case In(Column() | Element() as term, values):
            return _column_in(plan.name(term_sql(term)), term.type, values, negated)
        case Contains(ArrayColumn() as array, values, every):
            return _array_contains(plan.name(quoted(array.name)), array.type, values, every, negated)
        case Like(Column() | Element() as term, pattern):
            name = plan.name(term_sql(term))
            matches = like_matcher(pattern)
            return lambda batch: _each(batch.column(name).to_pylist(), _text_answer(matches), negated)
    if (path := json_path(filter)) is not None:
        value, answer = plan.name(value_sql(path)), json_condition(filter)
        return lambda batch: _each(batch.json(value), answer, negated)
    raise AssertionError(f"a condition that is neither SQL nor served here: {filter!r}")


def _joined_test(parts: tuple[Filter, ...], conjunction: bool, negated: bool, plan: _Plan) -> Test:
    kind = And if conjunction != negated else Or
    said = [part for part in parts if plan.says(part)]
    tests = [_test(part, negated, plan) for part in parts if not plan.says(part)]
    if said:
        tests.append(_test(kind(tuple(said)), negated, plan))
    joined = np.logical_and if conjunction else np.logical_or

    def test(batch: _Batch) -> Mask:
        mask: Mask = tests[0](batch)
        for one in tests[1:]:
            check_deadline()
            mask = joined(mask, one(batch))
        return mask

    return test


def _mask(truths: pa.Array[Any]) -> Mask:
    filled: Mask = truths.fill_null(False).to_numpy(zero_copy_only=False).astype(np.bool_)
    return filled


def _column_test(name: str) -> Test:
    return lambda batch: _mask(batch.column(name))


def _each(values: list[Any], answer: Answer, negated: bool) -> Mask:
    wanted = not negated
    mask = np.empty(len(values), np.bool_)
    for start in range(0, len(values), _ROWS_BETWEEN_CHECKS):
        check_deadline()
        some = values[start : start + _ROWS_BETWEEN_CHECKS]
        mask[start : start + len(some)] = [answer(value) is wanted for value in some]
    return mask


def _decoded(texts: pa.Array[Any]) -> list[Any]:
    """The values of a column of JSON texts, null for null."""
    pieces = ["null" if text is None else text for text in texts.to_pylist()]
    try:
        values: list[Any] = orjson.loads(f"[{','.join(pieces)}]")
    except orjson.JSONDecodeError:
        # One is nested as deep as the parser goes: the list around it is a level too much.
        values = [orjson.loads(piece) for piece in pieces]
    return values


def _text_answer(matches: Callable[[str], bool]) -> Answer:
    return lambda found: matches(found) if isinstance(found, str) else None


def _value_set(kind: DataType, values: tuple[Any, ...], type_: pa.DataType) -> pa.Array[Any]:
    return pc.unique(pa.array([value + 0.0 for value in values] if _is_float(kind) else values, type_))


def _is_float(kind: DataType) -> bool:
    return kind in (DataType.FLOAT, DataType.DOUBLE)


def _comparable(column: pa.Array[Any], kind: DataType) -> pa.Array[Any]:
    """With -0.0 as 0.0: they are equal, and sets of Arrow's tell them apart."""
    return pc.add(column, pa.scalar(0.0, column.type)) if _is_float(kind) else column


def _column_in(name: str, kind: DataType, values: tuple[Any, ...], negated: bool) -> Test:
    wanted: list[pa.Array[Any]] = []

    def test(batch: _Batch) -> Mask:
        column = batch.column(name)
        if not wanted:
            wanted.append(_value_set(kind, values, column.type))
        found = _mask(pc.is_in(_comparable(column, kind), wanted[0]))
        known: Mask = _mask(column.is_valid())
        return known & ~found if negated else known & found

    return test


def _array_contains(name: str, kind: DataType, values: tuple[Any, ...], every: bool, negated: bool) -> Test:
    wanted: list[pa.Array[Any]] = []

    def test(batch: _Batch) -> Mask:
        column: Any = batch.column(name)
        if not wanted:
            wanted.append(_value_set(kind, values, column.type.value_type))
        places = pc.index_in(_comparable(column.flatten(), kind), wanted[0])
        rows = np.repeat(np.arange(len(column)), column.value_lengths().fill_null(0).to_numpy())
        hit = _mask(places.is_valid())
        # Of each row every value once, however often its array holds it.
        size = len(wanted[0])
        pairs = np.unique(rows[hit] * size + places.fill_null(0).to_numpy()[hit])
        counts = np.bincount(pairs // max(size, 1), minlength=len(column))
        found = counts == size if every else counts > 0
        known: Mask = _mask(column.is_valid())
        return known & ~found if negated else known & found

    return test
