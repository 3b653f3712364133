"""Random collections of every type and rows of them, for properties of what is written and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import shapely
from hypothesis import strategies as st

from penstock.domain.arrow_schema import canonical_type
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field

__all__ = ["DENSE", "DIM", "NULL_KEY", "arrow", "expected", "found", "rows", "schema", "sizes", "some_fields"]

DIM = 8
NULL_KEY = "\\N"
ARRAYS = (DataType.BOOL, DataType.INT8, DataType.INT64, DataType.FLOAT, DataType.DOUBLE, DataType.VARCHAR)


DENSE = tuple(data_type for data_type in DataType if data_type.is_dense_vector)


def sizes(kind: DataType) -> dict[str, Any]:
    return {"dim": DIM} if kind.is_dense_vector else {"max_length": 64} if kind is DataType.VARCHAR else {}


def schema(*, nullable: bool, for_numpy: bool, dynamic: bool) -> CollectionSchema:
    fields = [Field(name="id", type=DataType.INT64, primary=True)]
    for kind in DataType:
        if kind is DataType.ARRAY_OF_STRUCT:
            if not for_numpy:
                parts = [Field(name=f"s_{each.value}", type=each, **sizes(each)) for each in (*ARRAYS, *DENSE)]
                some = {"type": kind, "max_capacity": 3, "nullable": nullable}
                fields += [
                    Field(name=f"structs_{number}", fields=tuple(parts[number::3]), **some)  # type: ignore[arg-type]
                    for number in range(3)
                ]
        elif kind is DataType.ARRAY:
            if for_numpy:
                continue
            for element in ARRAYS:
                fields.append(
                    Field(
                        name=f"array_{element.value}",
                        type=kind,
                        element_type=element,
                        max_length=64,
                        max_capacity=5,
                        nullable=nullable,
                    )
                )
        elif not (for_numpy and kind is DataType.SPARSE_FLOAT_VECTOR):
            fields.append(Field(name=f"f_{kind.value}", type=kind, nullable=nullable, **sizes(kind)))
    return CollectionSchema(fields=tuple(fields), dynamic=dynamic)


def some_fields(data: st.DataObject, whole: CollectionSchema) -> CollectionSchema:
    """The key, a vector, and a few fields by chance: all at once would be too much for one example."""
    chosen = data.draw(st.lists(st.sampled_from(whole.names), min_size=3, max_size=4, unique=True))
    always = ("id", "f_FloatVector")
    return replace(whole, fields=tuple(each for each in whole if each.name in (*always, *chosen)))


def floats(width: int) -> st.SearchStrategy[float]:
    return st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15).filter(
    lambda text: text != NULL_KEY
)
JSON = st.dictionaries(TEXT, st.one_of(st.integers(-(2**60), 2**60), TEXT, st.none(), st.lists(st.booleans())))
BFLOAT16 = st.one_of(st.integers(0, 0x7F7F), st.integers(0x8000, 0xFF7F)).map(
    lambda bits: float((np.array([bits], np.uint32) << 16).view(np.float32)[0])
)
SCALARS: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.BOOL: st.booleans(),
    DataType.INT8: st.integers(-(2**7), 2**7 - 1),
    DataType.INT16: st.integers(-(2**15), 2**15 - 1),
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.FLOAT: floats(32),
    DataType.DOUBLE: floats(64),
    DataType.VARCHAR: TEXT,
    DataType.TEXT: TEXT,
    DataType.TIMESTAMPTZ: st.datetimes(timezones=st.just(UTC)),
    DataType.GEOMETRY: st.tuples(floats(64), floats(64)).map(lambda xy: shapely.Point(xy[0] + 0.0, xy[1] + 0.0)),
    DataType.JSON: st.one_of(JSON, st.lists(st.integers(-5, 5))),
}
ELEMENTS: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.FLOAT_VECTOR: floats(32),
    DataType.FLOAT16_VECTOR: floats(16),
    DataType.BFLOAT16_VECTOR: BFLOAT16,
    DataType.INT8_VECTOR: st.integers(-128, 127),
}


def values(field: Field) -> st.SearchStrategy[Any]:
    if field.type is DataType.ARRAY:
        assert field.element_type is not None
        return st.lists(SCALARS[field.element_type], max_size=field.max_capacity)
    if field.type is DataType.ARRAY_OF_STRUCT:
        struct = st.fixed_dictionaries({subfield.name: values(subfield) for subfield in field.fields})
        return st.lists(struct, max_size=field.max_capacity)
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        weights = st.floats(0, width=32, allow_nan=False, allow_infinity=False)
        return st.dictionaries(st.integers(0, 2**32 - 2), weights, max_size=4)
    if field.type is DataType.BINARY_VECTOR:
        return st.binary(min_size=DIM // 8, max_size=DIM // 8)
    if field.type.is_vector:
        return st.lists(ELEMENTS[field.type], min_size=DIM, max_size=DIM)
    return SCALARS[field.type]


def rows(collection: CollectionSchema) -> st.SearchStrategy[list[dict[str, Any]]]:
    columns = {
        each.name: st.one_of(st.none(), values(each)) if each.nullable else values(each) for each in collection
    }
    row = st.fixed_dictionaries(columns)
    if collection.dynamic:
        extra = st.dictionaries(st.sampled_from(["colour", "größe", "x y"]), st.one_of(TEXT, st.integers(-9, 9)))
        row = st.tuples(row, extra).map(lambda pair: {**pair[0], **pair[1]})
    return st.lists(row, min_size=1, max_size=6)


def expected(row: dict[str, Any], collection: CollectionSchema) -> dict[str, Any]:
    """Canonical values, JSON parsed."""
    made = {each.name: neutral(canonical(row[each.name], each), each) for each in collection}
    if collection.dynamic:
        made[META_FIELD] = {key: value for key, value in row.items() if collection.get(key) is None}
    return made


def canonical(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if field.type is DataType.SPARSE_FLOAT_VECTOR:
        return {"indices": sorted(value), "values": [value[index] for index in sorted(value)]}
    if field.type is DataType.ARRAY_OF_STRUCT:
        return [
            {subfield.name: canonical(struct[subfield.name], subfield) for subfield in field.fields}
            for struct in value
        ]
    if field.type is DataType.TIMESTAMPTZ:
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if field.type is DataType.GEOMETRY:
        return shapely.to_wkt(value, rounding_precision=-1, trim=True)
    return list(value) if field.type is DataType.BINARY_VECTOR else value


def neutral(value: Any, field: Field) -> Any:
    """JSON text parsed, and floats of Python for those of NumPy."""
    if field.type is DataType.JSON and isinstance(value, str):
        return json.loads(value)
    return orjson.loads(orjson.dumps(value)) if field.type is DataType.JSON and value is not None else value


def found(row: dict[str, Any], collection: CollectionSchema) -> dict[str, Any]:
    made = {each.name: neutral(row[each.name], each) for each in collection}
    if collection.dynamic:
        made[META_FIELD] = json.loads(row[META_FIELD])
    return made


def arrow(table_rows: list[dict[str, Any]], collection: CollectionSchema) -> pa.Table:
    """The rows as columns of canonical types, half of a caller's work done."""
    columns: dict[str, Any] = {}
    for each in collection:
        cells = [row[each.name] for row in table_rows]
        if each.type is DataType.JSON:
            cells = [None if cell is None else json.dumps(cell) for cell in cells]
        kind: Any = canonical_type(each)
        if each.type is DataType.TIMESTAMPTZ:
            columns[each.name] = pa.array(cells, pa.timestamp("us", "UTC"))
            continue
        columns[each.name] = pa.array([canonical(cell, each) for cell in cells], kind)
    if collection.dynamic:
        texts = [json.dumps({k: v for k, v in row.items() if collection.get(k) is None}) for row in table_rows]
        columns[META_FIELD] = pa.array(texts)
    return pa.table(columns)
