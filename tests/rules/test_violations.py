"""The errors of all bad rows, made from one check of a column, are those of checks of each row alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.imports.column_mapping import ColumnMapping, Renamed
from penstock.readers.columns.row_builder import make_column
from penstock.readers.csv.cells import cell_column
from penstock.rules.bad_rows import BadRows, Rows, make_good_rows, take_rows
from penstock.rules.table import FINITE, TEXT_LENGTH
from penstock.rules.violations import Violations, each, refuse
from penstock.validation.conform import conform_column
from penstock.validation.json_text import to_meta
from tests.support.examples import examples

NAN, INFINITY = float("nan"), float("inf")
MAX_CHECKS = 8
"""Of a column: one per rule that is broken in it, and that of the good rows. More would grow with the bad rows."""


def field(kind: DataType, **options: Any) -> Field:
    return Field(name="f", type=kind, **options)


@dataclass(frozen=True)
class Case:
    """A column of values of an Arrow type, good ones and bad ones, for a field."""

    field: Field
    type: Any
    values: list[Any]


STRUCTS = field(
    DataType.ARRAY_OF_STRUCT,
    max_capacity=2,
    fields=(Field(name="n", type=DataType.INT8), Field(name="v", type=DataType.FLOAT_VECTOR, dim=2)),
)
STRUCT = pa.struct([("n", pa.int16()), ("v", pa.list_(pa.float32()))])
SPARSE = pa.struct([("indices", pa.list_(pa.int64())), ("values", pa.list_(pa.float64()))])


def pairs(*values: tuple[list[int | None], list[float | None]]) -> list[Any]:
    return [{"indices": indices, "values": weights} for indices, weights in values]


COLUMNS: Mapping[str, Case] = {
    "integers": Case(field(DataType.INT8), pa.int64(), [1, None, 128, -129, 2**40]),
    "whole floats": Case(field(DataType.INT8), pa.float64(), [1.0, None, 0.5, 1e9, NAN, -INFINITY]),
    "decimals": Case(field(DataType.INT8), pa.decimal128(20, 1), [Decimal("1.0"), Decimal("1.5"), Decimal("999.0")]),
    "floats": Case(field(DataType.FLOAT, nullable=True), pa.float64(), [1.0, None, 1e39, NAN, INFINITY]),
    "text": Case(field(DataType.VARCHAR, max_length=4), pa.string(), ["ok", None, "ümlaut", "longer still"]),
    "encodings": Case(field(DataType.VARCHAR, max_length=4), pa.binary(), [b"ok", b"\xff", b"a\xc3", b"longer"]),
    "times": Case(
        field(DataType.TIMESTAMPTZ), pa.string(), ["2025-01-31T08:30:00Z", "soon", "2025-02-30T00:00:00Z", None]
    ),
    "geometries": Case(field(DataType.GEOMETRY), pa.string(), ["POINT (1 2)", "POINT (1", "POINT (1 nan)", None]),
    "JSON": Case(field(DataType.JSON), pa.string(), ["{}", "{", "[1e999]", "[" * 200 + "]" * 200, None]),
    "float vectors": Case(
        field(DataType.FLOAT_VECTOR, dim=2),
        pa.list_(pa.float32()),
        [[1, 2], None, [1], [1, NAN], [INFINITY, NAN], [None, 1], [0.5] * 100],
    ),
    "narrowed vectors": Case(
        field(DataType.FLOAT_VECTOR, dim=2), pa.large_list(pa.float64()), [[1, 2], [1, 1e39], [], [-INFINITY, 1]]
    ),
    "int8 vectors": Case(field(DataType.INT8_VECTOR, dim=2), pa.list_(pa.int16()), [[1, 2], [1, 128], [300, 400]]),
    "half vectors": Case(field(DataType.FLOAT16_VECTOR, dim=2), pa.list_(pa.float64()), [[1, 2], [1, 1e6], [NAN, 1]]),
    "half bytes": Case(
        field(DataType.BFLOAT16_VECTOR, dim=2), pa.binary(), [b"\0" * 4, b"\0\0\x80\x7f", b"\0", b"\xc0\x7f\0\0"]
    ),
    "bits": Case(field(DataType.BINARY_VECTOR, dim=16), pa.binary(), [b"\0\1", b"\0", b"", None]),
    "sparse text": Case(
        field(DataType.SPARSE_FLOAT_VECTOR),
        pa.string(),
        ['{"1": 2}', "{", "[]", '{"x": 1}', '{"1": 2, "1": 3}', '{"1": -1}', '{"5000000000": 1}', None],
    ),
    "sparse structs": Case(
        field(DataType.SPARSE_FLOAT_VECTOR),
        SPARSE,
        [
            *pairs(([1, 2], [1, 2]), ([1], [1, 2]), ([2, 2], [1, 1]), ([-1], [1]), ([1, 3], [1, NAN]), ([None], [1])),
            None,
        ],
    ),
    "arrays of numbers": Case(
        field(DataType.ARRAY, element_type=DataType.INT8, max_capacity=2),
        pa.list_(pa.int32()),
        [[1, 2], [], None, [1, 2, 3], [200], [1, 300], [None]],
    ),
    "arrays of text": Case(
        field(DataType.ARRAY, element_type=DataType.VARCHAR, max_length=3, max_capacity=2),
        pa.list_(pa.string()),
        [["a"], ["a", "long"], ["longer", "longest"], ["a", "b", "c"]],
    ),
    "arrays of structs": Case(
        STRUCTS,
        pa.list_(STRUCT),
        [
            [{"n": 1, "v": [1, 2]}],
            [],
            [{"n": 1, "v": [1, 2]}, {"n": 999, "v": [1]}],
            [{"n": 1, "v": [1, NAN]}],
            [{"n": None, "v": [1, 2]}],
            [{"n": 1, "v": [1, 2]}] * 3,
        ],
    ),
}

CELLS: Mapping[str, tuple[Field, list[bytes | None]]] = {
    "integers": (field(DataType.INT8), [b"1", b"128", b"1.5", b"one", b"nan", b"1e2", None]),
    "floats": (field(DataType.FLOAT), [b"1", b"1e39", b"inf", b"NaN", b"n/a", b"0x", None]),
    "booleans": (field(DataType.BOOL), [b"true", b"yes", b"None", None]),
    "text": (field(DataType.VARCHAR, max_length=4), [b"ok", b"longer", b"\xff", None]),
    "times": (field(DataType.TIMESTAMPTZ), [b"2025-01-31", b"soon", b"na", None]),
    "JSON": (field(DataType.JSON), [b"{}", b"{", b"N/A", b"[1e999]", None]),
}

JSON_VALUES: Mapping[str, tuple[Field, list[Any]]] = {
    "integers": (field(DataType.INT8), [1, 5.0, 128, 1.5, "x", True, None]),
    "floats": (field(DataType.FLOAT), [1, 1.5, 1e39, "x", None]),
    "text": (field(DataType.VARCHAR, max_length=4), ["ok", "longer", 1, None]),
    "times": (field(DataType.TIMESTAMPTZ), ["2025-01-31", "soon", 1]),
    "JSON": (field(DataType.JSON), ["{}", "{", "[1e999]"]),
    "float vectors": (field(DataType.FLOAT_VECTOR, dim=2), [[1, 2], [1, 1e39], [1e39, 1]]),
    "arrays": (
        field(DataType.ARRAY, element_type=DataType.INT8, max_capacity=3),
        [[1], [], [1, 300], [400, 500], ["x", 1]],
    ),
    "arrays of text": (
        field(DataType.ARRAY, element_type=DataType.VARCHAR, max_length=2, max_capacity=3),
        [["a"], ["a", "long"], ["longer", "b"]],
    ),
}


def facts(error: DataError) -> tuple[Any, ...]:
    """What a rejected row says of its reason."""
    return error.row, error.field, error.rule_id, error.value, error.rule, error.remedy


def refused_alone(check: Callable[[int], Any], rows: int) -> dict[int, tuple[Any, ...]]:
    """The judge: a check of each row alone."""
    refused = {}
    for row in range(rows):
        try:
            check(row)
        except DataError as error:
            refused[row] = facts(error.at(row=row))
    return refused


def refused_together(make: Callable[[Rows], Any], rows: int) -> dict[int, tuple[Any, ...]]:
    checks = 0

    def counted(kept: Rows) -> Any:
        nonlocal checks
        checks += 1
        return make(kept)

    bad = BadRows()
    make_good_rows(counted, rows, bad)
    assert checks <= MAX_CHECKS
    return reasons(bad)


def reasons(bad: BadRows) -> dict[int, tuple[Any, ...]]:
    return {row: facts(bad.errors(row)[0].at(row=row)) for row in bad.rows.tolist()}


@pytest.mark.parametrize("name", COLUMNS)
@settings(max_examples=examples(10, 200), deadline=None)
@given(data=st.data())
def test_errors_of_a_column_of_a_file_are_those_of_its_rows(name: str, data: st.DataObject) -> None:
    case = COLUMNS[name]
    values = data.draw(st.lists(st.sampled_from(case.values), min_size=1, max_size=40))
    column = pa.array(values, case.type)

    def conform(array: Any) -> Any:
        return conform_column(array, None, case.field, lambda *_: None)

    together = refused_together(lambda rows: conform(take_rows(column, rows)), len(values))
    assert together == refused_alone(lambda row: conform(column.slice(row, 1)), len(values))


@settings(max_examples=examples(10, 200), deadline=None)
@given(values=st.lists(st.sampled_from(['{"a": 1}', "[]", "{", '{"taken": 1}', None]), min_size=1, max_size=40))
def test_errors_of_dynamic_values_are_those_of_their_rows(values: list[str | None]) -> None:
    column = pa.array(values, pa.string())
    conform = partial(to_meta, column=None, taken={"taken"}, note=lambda *_: None)

    together = refused_together(lambda rows: conform(take_rows(column, rows)), len(values))
    assert together == refused_alone(lambda row: conform(column.slice(row, 1)), len(values))


@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=examples(10, 200), deadline=None)
@given(data=st.data())
def test_errors_of_cells_are_those_of_their_rows(name: str, data: st.DataObject) -> None:
    target, cells = CELLS[name]
    column = pa.array(data.draw(st.lists(st.sampled_from(cells), min_size=1, max_size=40)), pa.binary())
    convert = cell_column(target, "", lambda *_: None)

    together = refused_together(lambda rows: convert(take_rows(column, rows)), len(column))
    assert together == refused_alone(lambda row: convert(column.slice(row, 1)), len(column))


@pytest.mark.parametrize("name", JSON_VALUES)
@settings(max_examples=examples(10, 200), deadline=None)
@given(data=st.data())
def test_errors_of_json_values_are_those_of_their_rows(name: str, data: st.DataObject) -> None:
    target, choices = JSON_VALUES[name]
    values = data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=40))

    def take(rows: list[Any], bad: BadRows | None = None) -> None:
        column = make_column(target, len(rows), lambda *_: None)
        with np.errstate(over="ignore"):
            for value in rows:
                column.add(value)
        column.take(bad)

    bad = BadRows()
    take(values, bad)
    assert reasons(bad) == refused_alone(lambda row: take(values[row : row + 1]), len(values))


def test_a_row_has_the_error_of_its_first_bad_element() -> None:
    target = field(DataType.FLOAT_VECTOR, dim=3)
    elements = Violations(np.array([1, 2, 7]), each(lambda at: FINITE.error(target, value=at, word="NaN")))

    rows = elements.by_row(elements.places // 3)

    assert [(row, error.value) for row, error in rows.errors()] == [(0, "1"), (2, "7")]


def test_facts_that_are_filled_in_later_are_in_all_errors() -> None:
    target = field(DataType.VARCHAR, max_length=1)
    with pytest.raises(DataError) as refused:
        refuse(np.array([False, True, True]), each(lambda at: TEXT_LENGTH.error(target, value=at, length=at)))

    error = refused.value.at(file="a.csv", field="g")

    assert error.violations is not None
    others = [(row, other.file, other.field, other.value) for row, other in error.violations().errors()]
    assert others == [(1, "a.csv", "g", "1"), (2, "a.csv", "g", "2")]
    assert error.at(row=7).violations is None


def test_errors_name_the_column_that_a_field_is_mapped_to() -> None:
    target = field(DataType.VARCHAR, max_length=1)
    mapping = ColumnMapping(sources={"f": Renamed(column="title")})
    with pytest.raises(DataError) as refused:
        refuse(np.array([True, True]), each(lambda at: TEXT_LENGTH.error(target, value=at, length=2 + at)))

    error = mapping.name_column(refused.value)

    assert error.violations is not None
    assert [other.rule for _, other in error.violations().errors()] == [
        "column 'title' (field 'f'): value length(2) for field f exceeds max_length(1)",
        "column 'title' (field 'f'): value length(3) for field f exceeds max_length(1)",
    ]
