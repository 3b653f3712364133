"""Write sample files with pymilvus's own LocalBulkWriter; runs inside a client environment, not in ours.

    python write_all_types.py FOLDER

Every file type that the release can write is written for several collections (cases). FOLDER then holds per case::

    <case>/files.json       the writer's batch_files, as paths relative to FOLDER, for ``files``
    <case>/schema.json      the collection's schema in the REST v2 form (the ``schema`` of collections/create)
    <case>/expected.json    {"key": field that tells rows apart, "options": import options, "rows": [...]}
    cases.json              the names of all cases, also printed

A case is named ``<file type>-<collection>``. Expected values are neutral: integers as decimal strings, dense vectors
as lists of numbers, binary vectors as base64, sparse vectors as ``{"index": value}``, JSON as it is, dynamic values
under ``$meta`` (always present), null as null. Float, FloatVector, Float16Vector and BFloat16Vector values are given
as what the type can hold, so equal means equal.

What is left out, because the writers break there:

* Float16Vector and BFloat16Vector are never null: the flush thread dies and the file is missing.
* NumPy has no nulls (they become pickled objects), no Array and no sparse vector (refused).
* Nullable Int64 in Parquet stays within 2**53: pandas turns a column with nulls into doubles on the way.
* CSV has no empty strings unless ``nullkey`` says otherwise: they can't be told from null.
* Up to 2.5.18 Parquet lets pandas guess the type of VarChar arrays; an empty one becomes a list of doubles.
* Struct arrays are never null: the writers refuse that even where the field is nullable.
* 2.3.8 knows neither half vectors nor sparse ones, wants binary vectors as bytes, and JSON as an object only.
"""

from __future__ import annotations

import base64
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pymilvus
from pymilvus import CollectionSchema, DataType, FieldSchema
from pymilvus.bulk_writer.constants import BulkFileType
from pymilvus.bulk_writer.local_bulk_writer import LocalBulkWriter

VERSION = tuple(int(part) for part in pymilvus.__version__.split(".")[:3])
ROWS = 50
DIM = 8
HAS_HALVES = VERSION >= (2, 4, 4)
HAS_NULLS = VERSION >= (2, 5, 0)
HAS_INT8_VECTOR = VERSION >= (2, 6, 0)
HAS_STRUCTS = VERSION >= (2, 6, 4)
HAS_TIMES = VERSION >= (3, 0, 0)
HAS_NULL_VECTORS = VERSION >= (3, 0, 0)
GUESSES_ARRAYS = VERSION < (2, 6, 0)

STRINGS = [
    "plain",
    "Grüße, Ελλάδα, 漢字, عربي",
    "emoji 🎉 👩‍👩‍👧",
    "double \" and single ' quotes",
    '""',
    "comma, semicolon; pipe|",
    "two\nlines",
    "carriage\r\nreturn",
    "tab\tstop",
    "back\\slash \\n \\u0041",
    " blanks around ",
    "null",
    "None",
    "NaN",
    "true",
    "007",
    "1e5",
    '{"a": 1}',
    "[1, 2]",
    "line\u2028separator and \ufeff mark",
    "\x01\x1f\x7f",
    "é" * 60,
    "x" * 250,
    "#",
    "-",
]
JSONS: list[dict[str, Any]] = [
    {"a": 1, "b": [1, 2.5, "x", None, True], "c": {"d": {"e": "tief"}}},
    {},
    {"big": 2**53 + 1, "negative": -(2**62), "float": 0.1, "small": 5e-324, "large": 1.7e308},
    {"quote": 'a "b" \\ c', "line": "1\n2", "emoji": "🎉", "": "empty key", "key with blank": None},
    {"flag": False, "list": [], "nested": [[1], [[2]]], "text": "null"},
]


TIMES = {
    "2025-05-01T23:59:59+08:00": "2025-05-01T15:59:59Z",
    "2025-05-01T23:59:59.25Z": "2025-05-01T23:59:59.25Z",
    "1969-12-31 23:59:59": "1969-12-31T23:59:59Z",
}
PLACES = {
    "POINT (1 2)": "POINT (1 2)",
    "polygon((0 0, 1.50 0, 1 1, 0 0))": "POLYGON ((0 0, 1.5 0, 1 1, 0 0))",
    "LINESTRING EMPTY": "LINESTRING EMPTY",
}


def integers(bits: int) -> list[int]:
    top = 2 ** (bits - 1)
    return [0, 1, -1, top - 1, -top, 42, -(top // 3)]


def floats32() -> list[float]:
    values = [0.0, 1.5, -2.25, 0.1, 3.4028234663852886e38, -3.4028234663852886e38, 1.401298464324817e-45, 1e-10]
    return [float(np.float32(value)) for value in values]


FLOATS64 = [0.0, 0.1, -1.5, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 1 / 3]


class Column:
    """One field: how it is declared here and over REST, and its values as the writer gets them and as expected.

    ``value(row)`` gives ``(given, expected)``; a given value of None with ``skip`` leaves the key out of the row.
    """

    def __init__(
        self,
        name: str,
        type_name: str,
        value: Callable[[int], tuple[Any, Any]],
        *,
        element: str | None = None,
        default: Any = None,
        primary: bool = False,
        auto_id: bool = False,
        nullable: bool = False,
        **params: int,
    ) -> None:
        self.name, self.type_name, self.value = name, type_name, value
        self.element, self.default, self.primary, self.auto_id = element, default, primary, auto_id
        self.nullable, self.params = nullable, params

    def field_schema(self) -> Any:
        extra: dict[str, Any] = dict(self.params)
        if self.element:
            extra["element_type"] = getattr(DataType, WRITER_TYPES[self.element])
        if self.nullable:
            extra["nullable"] = True
        if self.default is not None:
            extra["default_value"] = self.default
        return FieldSchema(
            self.name,
            getattr(DataType, WRITER_TYPES[self.type_name]),
            is_primary=self.primary,
            auto_id=self.auto_id,
            **extra,
        )

    def rest(self) -> dict[str, Any]:
        field: dict[str, Any] = {"fieldName": self.name, "dataType": self.type_name}
        if self.primary:
            field["isPrimary"] = True
        if self.element:
            field["elementDataType"] = self.element
        if self.params:
            field["elementTypeParams"] = dict(self.params)
        if self.nullable:
            field["nullable"] = True
        if self.default is not None:
            field["defaultValue"] = self.default
        return field


class StructColumn(Column):
    """A struct array; ``parts`` are declared and filled as columns are. Row ``n`` has ``n % 4`` structs."""

    CAPACITY = 4

    def __init__(self, name: str, parts: list[Column]) -> None:
        super().__init__(name, "ArrayOfStruct", self._structs)
        self.parts = parts

    def _structs(self, row: int) -> tuple[Any, Any]:
        pairs = [{part.name: part.value(row + i) for part in self.parts} for i in range(row % 4)]
        given, expected = ([{name: pair[at] for name, pair in each.items()} for each in pairs] for at in (0, 1))
        return given, expected

    def add_to(self, schema: Any) -> None:
        struct = pymilvus.StructFieldSchema()
        for part in self.parts:
            struct.add_field(part.name, getattr(DataType, WRITER_TYPES[part.type_name]), **part.params)
        schema.add_field(
            self.name,
            DataType.ARRAY,
            element_type=DataType.STRUCT,
            struct_schema=struct,
            max_capacity=self.CAPACITY,
        )

    def rest(self) -> dict[str, Any]:
        parts = [
            {
                "fieldName": part.name,
                "dataType": "ArrayOfVector" if part.type_name.endswith("Vector") else "Array",
                "elementDataType": part.type_name,
                "elementTypeParams": dict(part.params),
            }
            for part in self.parts
        ]
        return {"fieldName": self.name, "typeParams": {"max_capacity": self.CAPACITY}, "fields": parts}


WRITER_TYPES = {
    "Bool": "BOOL",
    "Int8": "INT8",
    "Int16": "INT16",
    "Int32": "INT32",
    "Int64": "INT64",
    "Float": "FLOAT",
    "Double": "DOUBLE",
    "VarChar": "VARCHAR",
    "JSON": "JSON",
    "Text": "TEXT",
    "Timestamptz": "TIMESTAMPTZ",
    "Geometry": "GEOMETRY",
    "Array": "ARRAY",
    "FloatVector": "FLOAT_VECTOR",
    "Float16Vector": "FLOAT16_VECTOR",
    "BFloat16Vector": "BFLOAT16_VECTOR",
    "Int8Vector": "INT8_VECTOR",
    "BinaryVector": "BINARY_VECTOR",
    "SparseFloatVector": "SPARSE_FLOAT_VECTOR",
}


def cycle(values: list[Any], neutral: Callable[[Any], Any] = lambda value: value) -> Callable[[int], tuple[Any, Any]]:
    return lambda row: (values[row % len(values)], neutral(values[row % len(values)]))


def sometimes_null(value: Callable[[int], tuple[Any, Any]], instead: Any = None) -> Callable[[int], tuple[Any, Any]]:
    """Every third row null; ``instead`` is what the row then holds."""
    return lambda row: (None, instead) if row % 3 == 1 else value(row)


def array(values: list[Any], neutral: Callable[[Any], Any], *, may_be_empty: bool = True) -> Callable[[int], Any]:
    def value(row: int) -> tuple[Any, Any]:
        length = row % 5 if may_be_empty else 1 + row % 4
        given = [values[(row + i) % len(values)] for i in range(length)]
        return given, [neutral(each) for each in given]

    return value


def float_vector(row: int) -> tuple[Any, Any]:
    given = [random.Random(row * 100 + i).uniform(-1, 1) for i in range(DIM)]
    return given, [float(np.float32(each)) for each in given]


def half_vector(kind: Any, *, as_list: bool) -> Callable[[int], tuple[Any, Any]]:
    def value(row: int) -> tuple[Any, Any]:
        numbers = [(row - 25 + i) / 4 for i in range(DIM)]
        given = [float(number) for number in numbers] if as_list else np.array(numbers, dtype=kind)
        return given, [float(each) for each in np.array(numbers, dtype=kind)]

    return value


def int8_vector(row: int) -> tuple[Any, Any]:
    given = [(row * 37 + i * 53) % 256 - 128 for i in range(DIM)]
    return np.array(given, dtype=np.int8) if row % 2 else given, given


def binary_vector(row: int) -> tuple[Any, Any]:
    raw = bytes([(row * 41) % 256, (row * 7 + 3) % 256])
    expected = base64.b64encode(raw).decode()
    if VERSION < (2, 4, 4):
        return list(raw), expected
    bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8)).tolist()
    return [raw, bits, np.frombuffer(raw, dtype=np.uint8)][row % 3], expected


def sparse_vector(row: int) -> tuple[Any, Any]:
    pairs = {row: 0.5, row * 1000 + 7: float(np.float32(0.1)), 2**32 - 2 - row: 1e-3}
    expected = {str(index): float(np.float32(value)) for index, value in pairs.items()}
    if row % 2:
        return {"indices": list(pairs), "values": list(pairs.values())}, expected
    return dict(pairs), expected


def dynamic_values(row: int) -> dict[str, Any]:
    choices: list[dict[str, Any]] = [
        {},
        {"dyn_int": row, "dyn_text": STRINGS[row % len(STRINGS)]},
        {"dyn_float": row / 8, "dyn_flag": row % 2 == 0, "dyn_list": [row, "x", None]},
        {"dyn_object": {"deep": {"er": row}, "none": None}, "größe": "Ü"},
    ]
    return choices[row % len(choices)]


def strings_for(file_type: str) -> list[str]:
    strings = list(STRINGS)
    if file_type != "csv":
        strings.append("")
    if file_type in ("parquet", "json", "jsonl"):
        strings.append("nul\x00inside")
    return strings


def key_column(name: str = "id") -> Column:
    extremes = [2**63 - 1, -(2**63), 2**53 + 1, -(2**53) - 1]
    keys = extremes + list(range(ROWS - len(extremes)))
    return Column(name, "Int64", lambda row: (keys[row], str(keys[row])), primary=True)


def scalar_columns(file_type: str) -> Iterator[Column]:
    yield Column("a_bool", "Bool", cycle([True, False, False]))
    for bits in (8, 16, 32, 64):
        yield Column(f"an_int{bits}", f"Int{bits}", cycle(integers(bits), str))
    yield Column("a_float", "Float", cycle(floats32()))
    yield Column("a_double", "Double", cycle(FLOATS64))
    yield Column("a_text", "VarChar", cycle(strings_for(file_type)), max_length=1000)
    yield Column("a_json", "JSON", cycle(JSONS))
    if HAS_TIMES:
        yield Column("a_time", "Timestamptz", cycle(list(TIMES), TIMES.get))
        yield Column("a_place", "Geometry", cycle(list(PLACES), PLACES.get))
        yield Column("a_long_text", "Text", cycle([text * 50 for text in strings_for(file_type) if text]))


def array_columns(file_type: str) -> Iterator[Column]:
    if file_type == "numpy":
        return
    lists: list[tuple[str, list[Any], Callable[[Any], Any]]] = [
        ("Bool", [True, False], bool),
        ("Int8", integers(8), str),
        ("Int16", integers(16), str),
        ("Int32", integers(32), str),
        ("Int64", integers(64), str),
        ("Float", floats32(), float),
        ("Double", FLOATS64, float),
    ]
    for element, values, neutral in lists:
        yield Column(f"list_{element.lower()}", "Array", array(values, neutral), element=element, max_capacity=8)
    texts = array(strings_for(file_type), str, may_be_empty=not GUESSES_ARRAYS)
    yield Column("list_text", "Array", texts, element="VarChar", max_capacity=8, max_length=1000)


def vector_columns(file_type: str, *, half_lists: bool = False) -> Iterator[Column]:
    yield Column("v_float", "FloatVector", float_vector, dim=DIM)
    yield Column("v_binary", "BinaryVector", binary_vector, dim=16)
    if HAS_HALVES:
        yield Column("v_half", "Float16Vector", half_vector(np.float16, as_list=half_lists), dim=DIM)
        yield Column("v_bhalf", "BFloat16Vector", half_vector(ml_dtypes.bfloat16, as_list=half_lists), dim=DIM)
        if file_type != "numpy":
            yield Column("v_sparse", "SparseFloatVector", sparse_vector)
    if HAS_INT8_VECTOR:
        yield Column("v_int8", "Int8Vector", int8_vector, dim=DIM)


def null_columns(file_type: str) -> Iterator[Column]:
    """Nullable fields, fields with a default, and both; NumPy can hold the defaults only."""
    if not HAS_NULLS:
        return
    texts = strings_for(file_type)
    yield Column("d_bool", "Bool", sometimes_null(cycle([False]), True), default=True)
    yield Column("d_int32", "Int32", sometimes_null(cycle(integers(32), str), "7"), default=7)
    yield Column("d_int64", "Int64", sometimes_null(cycle(integers(64), str), "1234567"), default=1234567)
    yield Column("d_double", "Double", sometimes_null(cycle(FLOATS64), 2.5), default=2.5)
    yield Column("d_text", "VarChar", sometimes_null(cycle(texts), "vörgabe"), default="vörgabe", max_length=1000)
    yield Column("nd_int64", "Int64", sometimes_null(cycle(integers(64), str), "99"), default=99, nullable=True)
    if file_type == "numpy":
        return
    yield Column("n_bool", "Bool", sometimes_null(cycle([True, False])), nullable=True)
    yield Column("n_int8", "Int8", sometimes_null(cycle(integers(8), str)), nullable=True)
    bits = 53 if file_type == "parquet" else 64
    yield Column("n_int64", "Int64", sometimes_null(cycle(integers(bits), str)), nullable=True)
    yield Column("n_float", "Float", sometimes_null(cycle(floats32())), nullable=True)
    yield Column("n_double", "Double", sometimes_null(cycle(FLOATS64)), nullable=True)
    yield Column("n_text", "VarChar", sometimes_null(cycle(texts)), nullable=True, max_length=1000)
    yield Column("n_json", "JSON", sometimes_null(cycle(JSONS)), nullable=True)
    numbers = array(integers(64), str, may_be_empty=True)
    yield Column("n_list", "Array", sometimes_null(numbers), element="Int64", max_capacity=8, nullable=True)


def null_vector_columns() -> Iterator[Column]:
    yield key_column()
    yield Column("v_float", "FloatVector", float_vector, dim=DIM)
    yield Column("n_float_vector", "FloatVector", sometimes_null(float_vector), dim=DIM, nullable=True)
    yield Column("n_binary_vector", "BinaryVector", sometimes_null(binary_vector), dim=16, nullable=True)
    yield Column("n_int8_vector", "Int8Vector", sometimes_null(int8_vector), dim=DIM, nullable=True)
    yield Column("n_sparse_vector", "SparseFloatVector", sometimes_null(sparse_vector), nullable=True)


def struct_columns(file_type: str) -> Iterator[Column]:
    yield key_column()
    yield Column("v_float", "FloatVector", float_vector, dim=DIM)
    unfit = ("a_json", "a_time", "a_place", "a_long_text", "v_sparse")
    parts = [*scalar_columns(file_type), *vector_columns(file_type, half_lists=True)]
    yield StructColumn("structs", [part for part in parts if part.name not in unfit])
    yield StructColumn("vectors", list(vector_columns("numpy")))


def text_key_columns() -> Iterator[Column]:
    keys = [f"{STRINGS[row % len(STRINGS)]}/{row}" for row in range(ROWS)]
    yield Column("key", "VarChar", lambda row: (keys[row], keys[row]), primary=True, max_length=1000)
    yield Column("v_float", "FloatVector", float_vector, dim=DIM)


def auto_id_columns() -> Iterator[Column]:
    yield Column("id", "Int64", lambda row: (None, None), primary=True, auto_id=True)
    yield Column("number", "Int64", lambda row: (row, str(row)))
    yield Column("v_float", "FloatVector", float_vector, dim=DIM)


def write_case(
    folder: Path,
    name: str,
    columns: list[Column],
    key: str,
    *,
    dynamic: bool,
    options: dict[str, str] | None = None,
) -> None:
    given, expected = [], []
    for number in range(ROWS):
        row: dict[str, Any] = {}
        wanted: dict[str, Any] = {}
        for column in columns:
            if column.auto_id:
                continue
            value, neutral = column.value(number)
            wanted[column.name] = neutral
            if value is not None or number % 2 or VERSION < (2, 5, 0):
                row[column.name] = value  # every other null is given by leaving the key out
        if dynamic:
            values = dynamic_values(number)
            wanted["$meta"] = values
            row.update({"$meta": values} if number % 2 else values)
        given.append(row)
        expected.append(wanted)

    target = folder / name
    target.mkdir(parents=True)
    structs = [column for column in columns if isinstance(column, StructColumn)]
    plain = [column for column in columns if not isinstance(column, StructColumn)]
    schema = CollectionSchema([each.field_schema() for each in plain], enable_dynamic_field=dynamic)
    for struct in structs:
        struct.add_to(schema)
    kind = BulkFileType[name.split("-")[0].upper()]
    extra = {"config": options} if options else {}
    writer = LocalBulkWriter(schema, str(target), file_type=kind, **extra)
    for number, row in enumerate(given):
        writer.append_row(row)
        if number == ROWS // 2:
            writer.commit()
    writer.commit()
    if len(writer.batch_files) != 2:
        raise SystemExit(f"{name}: the writer lost a file, it wrote {writer.batch_files}")

    files = [[str(Path(file).relative_to(folder)) for file in group] for group in writer.batch_files]
    auto_id = any(column.auto_id for column in columns)
    rest = {"autoID": auto_id, "enableDynamicField": dynamic, "fields": [each.rest() for each in plain]}
    if structs:
        rest["structFields"] = [struct.rest() for struct in structs]
    wanted_rows = {"key": key, "options": options or {}, "rows": expected}
    for file_name, content in (("files", files), ("schema", rest), ("expected", wanted_rows)):
        (target / f"{file_name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1))


def write_all(folder: Path) -> list[str]:
    cases = []

    def write(name: str, columns: Iterator[Column] | list[Column], key: str, **more: Any) -> None:
        write_case(folder, name, list(columns), key, **more)
        cases.append(name)

    for file_type in ("parquet", "json", "jsonl", "csv", "numpy"):
        if file_type.upper() not in BulkFileType.__members__:
            continue
        rest = [*scalar_columns(file_type), *array_columns(file_type), *null_columns(file_type)]
        columns = [key_column(), *rest, *vector_columns(file_type)]
        write(f"{file_type}-types", columns, "id", dynamic=True)
        write(f"{file_type}-text_key", text_key_columns(), "key", dynamic=False)
        write(f"{file_type}-auto_id", auto_id_columns(), "number", dynamic=True)
        if HAS_HALVES:
            halves = [key_column(), *vector_columns(file_type, half_lists=True)]
            write(f"{file_type}-half_lists", halves, "id", dynamic=False)
        if HAS_STRUCTS and file_type != "numpy":
            write(f"{file_type}-structs", struct_columns(file_type), "id", dynamic=False)
        if HAS_NULL_VECTORS and file_type != "numpy":
            write(f"{file_type}-null_vectors", null_vector_columns(), "id", dynamic=False)
        if file_type == "csv":
            columns = [key_column(), *scalar_columns("csv_nullkey"), *null_columns("csv_nullkey")]
            columns += vector_columns("csv_nullkey")
            write("csv-nullkey", columns, "id", dynamic=True, options={"sep": "|", "nullkey": "<null>"})
    return cases


if __name__ == "__main__":
    home = Path(sys.argv[1]).absolute()
    home.mkdir(parents=True, exist_ok=True)
    names = write_all(home)
    (home / "cases.json").write_text(json.dumps(names))
    print(json.dumps(names))
