"""Evaluate a filter on the batches of a scan, in one pass however long its lists are.

Conditions that SQL serves are columns of the scan: true where they hold. For the others the scan returns the values
that they read, each only once, and sets of the constants decide for a whole batch. Between batches the deadline is
checked: a scan whose reader is dropped stops at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from lance.dataset import LanceDataset
from lance.fragment import LanceFragment

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
    PhraseMatch,
    TextMatch,
)
from penstock.filters.json_condition import json_condition
from penstock.filters.like import like_matcher
from penstock.filters.limits import json_conditions, json_path
from penstock.filters.text_condition import necessary_pattern, text_condition

Mask = npt.NDArray[np.bool_]
Answer = Callable[[Any], "bool | None"]
"""The result of a condition for one value: true, false, or None for unknown."""

_BATCH_ROWS = 8192
_BATCH_WEIGHT = 64
"""The weight per row that a batch of :data:`_BATCH_ROWS` may have; heavier filters get fewer rows, to end in time."""
_BATCH_BYTES = 64 << 20
_ROWS_BETWEEN_CHECKS = 64
_FEW_JSON_CONDITIONS = 4


@dataclass
class _Batch:
    """A batch of the scan, and the Python values of its JSON columns, decoded on first use."""

    columns: pa.RecordBatch
    values: dict[str, list[Any]] = field(default_factory=dict)

    def column(self, name: str) -> pa.Array[Any]:
        return self.columns.column(name)

    def json(self, name: str) -> list[Any]:
        if name not in self.values:
            self.values[name] = _decoded(self.column(name))
        return self.values[name]


Test = Callable[[_Batch], Mask]
"""A mask of the rows of a batch for which a filter is true."""


@dataclass
class _Plan:
    """The columns that the tests of a filter read: names by SQL.

    ``json_in_sql``: conditions on JSON are compiled to SQL. It looks up the path once for each condition, and this
    module once for all of them.
    """

    json_in_sql: bool
    columns: dict[str, str] = field(default_factory=dict)

    def uses_sql(self, filter: Filter) -> bool:
        return fits_sql(filter) and (self.json_in_sql or not json_conditions(filter))

    def name(self, sql: str) -> str:
        return self.columns.setdefault(sql, f"__value{len(self.columns)}")

    @property
    def projection(self) -> Mapping[str, str]:
        return {name: sql for sql, name in self.columns.items()}


def matching(
    dataset: LanceDataset,
    where: str | None,
    rest: Filter,
    columns: Mapping[str, str],
    fragments: Iterable[LanceFragment] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Scan for rows for which ``where`` and ``rest`` are true: ``columns`` (SQL by name) and ``_rowaddr``.

    ``fragments`` are those to scan; None: all.

    Raises:
        DeadlineExceeded
    """
    plan = _Plan(json_conditions(rest) <= _FEW_JSON_CONDITIONS)
    test = _test(rest, False, plan)
    scanner = dataset.scanner(
        columns={**columns, **plan.projection},
        filter=where,
        fragments=fragments,
        with_row_address=True,
        batch_size=max(16, min(_BATCH_ROWS, _BATCH_ROWS * _BATCH_WEIGHT // max(weight(rest), 1))),
        batch_size_bytes=_BATCH_BYTES,
    )
    names = [*columns, "_rowaddr"]
    for batch in scanner.to_batches():
        check_deadline()
        mask = test(_Batch(batch))
        if mask.any():
            yield batch.select(names).filter(pa.array(mask))


def _test(filter: Filter, negated: bool, plan: _Plan) -> Test:
    """Build a filter's test. ``not`` is pushed down: a row passes where each condition is true or, negated, false."""
    if plan.uses_sql(filter):
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
            return lambda batch: _test_values(batch.column(name).to_pylist(), _text_answer(matches), negated)
        case TextMatch() | PhraseMatch():
            return _text_test(plan.name(term_sql(filter.term)), filter, negated)
    if (path := json_path(filter)) is not None:
        value, answer = plan.name(value_sql(path)), json_condition(filter)
        return lambda batch: _test_values(batch.json(value), answer, negated)
    raise AssertionError(f"a condition that is neither SQL nor served here: {filter!r}")


def _joined_test(parts: tuple[Filter, ...], conjunction: bool, negated: bool, plan: _Plan) -> Test:
    kind = And if conjunction != negated else Or
    sql_parts = [part for part in parts if plan.uses_sql(part)]
    tests = [_test(part, negated, plan) for part in parts if not plan.uses_sql(part)]
    if sql_parts:
        tests.append(_test(kind(tuple(sql_parts)), negated, plan))
    joined = np.logical_and if conjunction else np.logical_or

    def test(batch: _Batch) -> Mask:
        mask: Mask = tests[0](batch)
        for part_test in tests[1:]:
            check_deadline()
            mask = joined(mask, part_test(batch))
        return mask

    return test


def _mask(truths: pa.Array[Any]) -> Mask:
    filled: Mask = truths.fill_null(False).to_numpy(zero_copy_only=False).astype(np.bool_)
    return filled


def _column_test(name: str) -> Test:
    return lambda batch: _mask(batch.column(name))


def _test_values(values: list[Any], answer: Answer, negated: bool) -> Mask:
    expected = not negated
    mask = np.empty(len(values), np.bool_)
    for start in range(0, len(values), _ROWS_BETWEEN_CHECKS):
        check_deadline()
        chunk = values[start : start + _ROWS_BETWEEN_CHECKS]
        mask[start : start + len(chunk)] = [answer(value) is expected for value in chunk]
    return mask


def _decoded(texts: pa.Array[Any]) -> list[Any]:
    """The values of a column of JSON texts, null for null."""
    documents = ["null" if text is None else text for text in texts.to_pylist()]
    try:
        values: list[Any] = orjson.loads(f"[{','.join(documents)}]")
    except orjson.JSONDecodeError:
        # One is nested as deep as the parser allows: the list around it is a level too much.
        values = [orjson.loads(document) for document in documents]
    return values


def _text_answer(matches: Callable[[str], bool]) -> Answer:
    return lambda value: matches(value) if isinstance(value, str) else None


def _text_test(name: str, filter: TextMatch | PhraseMatch, negated: bool) -> Test:
    """Analyze the texts; where the analyzer keeps the spelling of words, only those that contain one of them."""
    holds = text_condition(filter)
    pattern = necessary_pattern(filter)

    def test(batch: _Batch) -> Mask:
        column = batch.column(name)
        valid: Mask = _mask(column.is_valid())
        possible = valid
        if pattern is not None:
            possible = _mask(pc.match_substring_regex(column, pattern, ignore_case=True))
        matches = np.zeros(len(column), np.bool_)
        places = np.flatnonzero(possible)
        matches[places] = _test_values(column.filter(pa.array(possible)).to_pylist(), holds, False)
        return valid & ~matches if negated else matches

    return test


def _value_set(kind: DataType, values: tuple[Any, ...], type_: pa.DataType) -> pa.Array[Any]:
    return pc.unique(pa.array([value + 0.0 for value in values] if _is_float(kind) else values, type_))


def _is_float(kind: DataType) -> bool:
    return kind in (DataType.FLOAT, DataType.DOUBLE)


def _comparable(column: pa.Array[Any], kind: DataType) -> pa.Array[Any]:
    """Replace -0.0 by 0.0: they are equal, but Arrow's sets distinguish them."""
    return pc.add(column, pa.scalar(0.0, column.type)) if _is_float(kind) else column


def _column_in(name: str, kind: DataType, values: tuple[Any, ...], negated: bool) -> Test:
    value_set: list[pa.Array[Any]] = []

    def test(batch: _Batch) -> Mask:
        column = batch.column(name)
        if not value_set:
            value_set.append(_value_set(kind, values, column.type))
        matches = _mask(pc.is_in(_comparable(column, kind), value_set[0]))
        valid: Mask = _mask(column.is_valid())
        return valid & ~matches if negated else valid & matches

    return test


def _array_contains(name: str, kind: DataType, values: tuple[Any, ...], every: bool, negated: bool) -> Test:
    value_set: list[pa.Array[Any]] = []

    def test(batch: _Batch) -> Mask:
        column: Any = batch.column(name)
        if not value_set:
            value_set.append(_value_set(kind, values, column.type.value_type))
        places = pc.index_in(_comparable(column.flatten(), kind), value_set[0])
        rows = np.repeat(np.arange(len(column)), column.value_lengths().fill_null(0).to_numpy())
        hit = _mask(places.is_valid())
        # Count each value once per row, however often the row's array holds it.
        size = len(value_set[0])
        pairs = np.unique(rows[hit] * size + places.fill_null(0).to_numpy()[hit])
        counts = np.bincount(pairs // max(size, 1), minlength=len(column))
        matches = counts == size if every else counts > 0
        valid: Mask = _mask(column.is_valid())
        return valid & ~matches if negated else valid & matches

    return test
