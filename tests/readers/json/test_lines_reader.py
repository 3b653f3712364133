"""JSON Lines files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.json.lines_reader import JSON_LINES, JsonLinesReader
from tests.support.text_files import ALL_TYPES, column, columns, read_file, schema_of

ROW: dict[str, Any] = {"id": 1, "vector": [0.5, 2]}
NULL = "the field 'x' is not nullable but the file contains null value"
NOT_INT64 = f"out of range for Int64 ({-(2**63)} to {2**63 - 1})"


def x(kind: DataType, **rest: Any) -> Field:
    return Field(name="x", type=kind, **rest)


BOOL = x(DataType.BOOL)
INT8 = x(DataType.INT8)
INT32 = x(DataType.INT32)
INT64 = x(DataType.INT64)
INEXACT = "with a fraction or exponent a number is exact below 2^53 only"
FLOAT = x(DataType.FLOAT)
DOUBLE = x(DataType.DOUBLE)
JSON = x(DataType.JSON)
SHORT = x(DataType.VARCHAR, max_length=3)
BYTES = x(DataType.ARRAY, element_type=DataType.INT8, max_capacity=2)
WORDS = x(DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=2, max_length=1)
VECTOR = x(DataType.FLOAT_VECTOR, dim=2)
HALVES = x(DataType.FLOAT16_VECTOR, dim=2)
BRAINS = x(DataType.BFLOAT16_VECTOR, dim=2)
INT8_VECTOR = x(DataType.INT8_VECTOR, dim=2)
BITS = x(DataType.BINARY_VECTOR, dim=16)
SPARSE = x(DataType.SPARSE_FLOAT_VECTOR)


def write(folder: Path, *lines: object, end: str = "\n") -> Path:
    """A file of one line per object; strings stand as they are."""
    path = folder / "rows.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + end for text in texts), encoding="utf-8", newline="")
    return path


def failure(folder: Path, schema: CollectionSchema, *lines: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read_file(JSON_LINES.reader, write(folder, *lines), schema)
    assert caught.value.file == "rows.jsonl"
    return caught.value


def with_value(field: Field, value: object) -> dict[str, object]:
    return {**ROW, field.name: value}


def test_every_type_is_read_into_its_canonical_form(tmp_path: Path) -> None:
    row = {
        **ROW,
        "bool": True,
        "int8": -128,
        "int16": 32767,
        "int32": -(2**31),
        "int64": 2**63 - 1,
        "float": 0.1,
        "double": 1e300,
        "text": "Zoë \U0001f600",
        "json": {"a": [1, {"b": None}], "n": 9007199254740993},
        "tags": ["x", "[y]"],
        "counts": [1, -2],
        "half": [0.1, 65504],
        "brain": [0.1, -3],
        "bytes": [-128, 127],
        "bits": [255, 0],
        "sparse": {"7": 0.5, "3": 1},
    }
    found = read_file(JSON_LINES.reader, write(tmp_path, row), ALL_TYPES).rows[0]
    assert found == {
        **row,
        "float": 0.10000000149011612,
        "json": '{"a":[1,{"b":null}],"n":9007199254740993}',
        "half": [0.0999755859375, 65504.0],
        "brain": [0.10009765625, -3.0],
        "sparse": {"indices": [3, 7], "values": [1.0, 0.5]},
    }


def test_null_and_absent_become_the_default_before_null(tmp_path: Path) -> None:
    schema = schema_of(
        Field(name="plain", type=DataType.INT32, nullable=True),
        Field(name="both", type=DataType.VARCHAR, max_length=9, nullable=True, default="none"),
        Field(name="ratio", type=DataType.DOUBLE, default=0.5),
    )
    path = write(tmp_path, ROW, {**ROW, "plain": None, "both": None, "ratio": None})
    assert [(row["plain"], row["both"], row["ratio"]) for row in read_file(JSON_LINES.reader, path, schema).rows] == [
        (None, "none", 0.5),
        (None, "none", 0.5),
    ]


@pytest.mark.parametrize(
    "field",
    [
        Field(name="v", type=DataType.FLOAT_VECTOR, dim=2, nullable=True),
        Field(name="v", type=DataType.BINARY_VECTOR, dim=8, nullable=True),
        Field(name="v", type=DataType.SPARSE_FLOAT_VECTOR, nullable=True),
        Field(name="v", type=DataType.JSON, nullable=True),
        Field(name="v", type=DataType.ARRAY, element_type=DataType.BOOL, max_capacity=2, nullable=True),
    ],
    ids=lambda field: field.type.value,
)
def test_nullable_fields_may_be_null_or_absent(tmp_path: Path, field: Field) -> None:
    found = read_file(JSON_LINES.reader, write(tmp_path, {**ROW, "v": None}, ROW), schema_of(field))
    assert column(found, "v") == [None, None]


def test_json_fields_take_any_json_and_strings_that_hold_json(tmp_path: Path) -> None:
    schema = schema_of(Field(name="j", type=DataType.JSON))
    values = [{"a": 1}, [1, 2], 3, 2.5, True, '{"b": 2}', "[1]"]
    found = read_file(JSON_LINES.reader, write(tmp_path, *[{**ROW, "j": value} for value in values]), schema)
    assert column(found, "j") == ['{"a":1}', "[1,2]", "3", "2.5", "true", '{"b": 2}', "[1]"]


def test_numbers_of_any_length_are_kept_in_json(tmp_path: Path) -> None:
    big = "123456789012345678901234567890"
    schema = schema_of(Field(name="j", type=DataType.JSON), dynamic=True)
    line = f'{{"id": 1, "vector": [1e20, 100000000000000000000], "j": {{"a": {big}}}, "extra": {big}}}'
    row = read_file(JSON_LINES.reader, write(tmp_path, line), schema).rows[0]
    assert row["j"] == f'{{"a":{big}}}'
    assert row["$meta"] == f'{{"extra":{big}}}'
    assert row["vector"] == [100000002004087734272.0, 100000002004087734272.0]


def test_unknown_keys_go_to_meta_where_the_collection_is_dynamic(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {**ROW, "color": "red", "size": {"w": [1]}},
        {**ROW, "$meta": {"a": 1}, "b": 2.5},
        {**ROW, "$meta": '{"c": null}'},
        {**ROW, "$meta": None},
        ROW,
    )
    found = read_file(JSON_LINES.reader, path, schema_of(dynamic=True))
    assert [json.loads(text) for text in column(found, "$meta")] == [
        {"color": "red", "size": {"w": [1]}},
        {"a": 1, "b": 2.5},
        {"c": None},
        {},
        {},
    ]
    assert found.warnings == []


def test_unknown_keys_are_dropped_and_counted_where_it_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, {**ROW, "color": "red"}, ROW, {**ROW, "color": "blue", "$meta": {}})
    found = read_file(JSON_LINES.reader, path, schema_of())
    assert columns(found) == ["id", "vector"]
    assert [(warning.code, warning.message, warning.count) for warning in found.warnings] == [
        ("column_dropped", "column 'color' is not in the schema and was dropped", 2),
        ("column_dropped", "column '$meta' is not in the schema and was dropped", 1),
    ]


def test_many_unknown_keys_make_no_endless_list_of_warnings(tmp_path: Path) -> None:
    path = write(tmp_path, *[{**ROW, f"key{n}": n} for n in range(300)])
    warnings = read_file(JSON_LINES.reader, path, schema_of()).warnings
    assert len(warnings) == 101
    assert sum(warning.count for warning in warnings) == 300


def test_a_generated_key_is_not_in_the_batches(tmp_path: Path) -> None:
    found = read_file(JSON_LINES.reader, write(tmp_path, {"vector": [1, 2]}), schema_of(auto_id=True))
    assert columns(found) == ["vector"]


@pytest.mark.parametrize(
    "text",
    [
        '{"id":1,"vector":[1,2]}\n{"id":2,"vector":[1,2]}\n',
        '{"id":1,"vector":[1,2]}\r\n\r\n  \n{"id":2,"vector":[1,2]}',
        '\ufeff{"id":1,"vector":[1,2]}\n{"id":2,"vector":[1,2]}\n',
        '{"id":1,"vector":[1,2]}{"id":2,"vector":[1,2]}',
        '{"id":1,"vector":[1,2]},{"id":2,"vector":[1,2]},\n',
        '{"id":1,"vector":[1,2]},\n{"id":2,"vector":[1,2]}\n',
        '{"id":1,"vector":[1,2]}\n,\n{"id":2,"vector":[1,2]}\n',
        '{\n "id": 1,\n "vector": [\n  1,\n  2\n ]\n}\n{\n "id": 2,\n "vector": [1, 2]\n}\n',
    ],
    ids=["lines", "crlf and blanks", "bom", "nothing between", "commas", "comma lines", "lone comma", "indented"],
)
@pytest.mark.parametrize("block_bytes", [1, 7, 64, 1 << 20])
def test_objects_may_follow_each_other_in_any_way(tmp_path: Path, text: str, block_bytes: int) -> None:
    reader = JsonLinesReader(block_bytes=block_bytes)
    assert column(read_file(reader, write(tmp_path, text, end=""), schema_of()), "id") == [1, 2]


def test_a_line_of_several_objects_is_read_among_others(tmp_path: Path) -> None:
    line = json.dumps(ROW)
    found = read_file(
        JSON_LINES.reader, write(tmp_path, ROW, line + line, line + " , " + line + ",", ROW), schema_of()
    )
    assert found.table.num_rows == 6


def test_a_file_is_cut_at_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path, *[{"id": n, "vector": [n, n]} for n in range(100)])
    found = read_file(JSON_LINES.reader, path, schema_of(), split_bytes=100)
    assert found.splits > 10
    assert column(found, "id") == list(range(100))


def test_objects_spread_over_lines_are_cut_between_them(tmp_path: Path) -> None:
    path = write(tmp_path, *[json.dumps({"id": n, "vector": [n, n]}, indent=1) for n in range(20)])
    found = read_file(JSON_LINES.reader, path, schema_of(), split_bytes=100)
    assert found.splits > 5
    assert column(found, "id") == list(range(20))


def test_batches_stay_within_the_budget(tmp_path: Path) -> None:
    schema = schema_of(Field(name="text", type=DataType.VARCHAR, max_length=9000))
    path = write(tmp_path, *[{"id": n, "vector": [n, n], "text": "x" * (n % 2000)} for n in range(3000)])
    found = read_file(JSON_LINES.reader, path, schema, batch_bytes=20_000)
    assert column(found, "id") == list(range(3000))
    assert found.largest_batch <= 22_000
    assert found.batches < 600


@pytest.mark.parametrize("block_bytes", [700, 5_000, 1 << 20])
def test_long_short_and_blank_lines(tmp_path: Path, block_bytes: int) -> None:
    lengths = [500, 300, 0, 500, 1, 500, 300, 300, 255, 256, 257] * 3
    rows = [{"id": number, "vector": [0, 1], "text": "x" * length} for number, length in enumerate(lengths)]
    lines = [text for number, row in enumerate(rows) for text in (json.dumps(row), *[""] * (number % 5 * 40))]
    schema = schema_of(Field(name="text", type=DataType.VARCHAR, max_length=1000))
    path = write(tmp_path, *lines)
    for split_bytes in (1 << 30, 900):
        found = read_file(JsonLinesReader(block_bytes=block_bytes), path, schema, split_bytes=split_bytes)
        assert [(row["id"], len(row["text"])) for row in found.rows] == list(enumerate(lengths))


def test_a_file_of_blank_lines_has_no_rows(tmp_path: Path) -> None:
    assert read_file(JSON_LINES.reader, write(tmp_path, "", "  "), schema_of()).table.num_rows == 0


@pytest.mark.parametrize(
    ("field", "value", "rule", "shown"),
    [
        (BOOL, 1, "the value is number, the field is Bool", "1"),
        (INT8, 128, "out of range for Int8 (-128 to 127)", "128"),
        (INT32, 1.5, "1.5 is not a whole number", "1.5"),
        (INT32, 2.0**40, "out of range for Int32 (-2147483648 to 2147483647)", "1099511627776"),
        (INT64, 2.0**53, INEXACT, "9007199254740992.0"),
        (INT64, 1e300, "out of range for Int64 (-9223372036854775808 to 9223372036854775807)", "1e+300"),
        (INT64, 2**63, NOT_INT64, str(2**63)),
        (INT64, 10**30, NOT_INT64, "1" + 30 * "0"),
        (INT64, "5", "the value is string, the field is Int64", '"5"'),
        (INT64, True, "the value is bool, the field is Int64", "true"),
        (INT64, [1], "the value is array, the field is Int64", "[1]"),
        (FLOAT, 1e39, "out of range for Float (-3.4e38 to 3.4e38)", "1e+39"),
        (DOUBLE, "1.5", "the value is string, the field is Double", '"1.5"'),
        (INT64, None, NULL, None),
        (VECTOR, None, NULL, None),
        (SHORT, "éé", "value length(4) for field x exceeds max_length(3)", "éé"),
        (SHORT, 5, "the value is number, the field is VarChar(3)", "5"),
        (
            JSON,
            "{a}",
            "the text is not JSON: unexpected character, expected a string key: line 1 column 2 (char 1)",
            "{a}",
        ),
        (VECTOR, [1], "the vector has 1 dimensions, the field has 2", None),
        (VECTOR, [[1], [2]], "element 0 should be a number, got array", "[1]"),
        (VECTOR, [[1, 2], []], "element 0 should be a number, got array", "[1,2]"),
        (VECTOR, [1, None], "array element is not allowed to be null value for field 'x'", None),
        (VECTOR, [1, "2"], "element 1 should be a number, got string", '"2"'),
        (VECTOR, [1, True], "element 1 should be a number, got bool", "true"),
        (VECTOR, [1, 1e39], "element 1 is out of range for FloatVector (-3.4e38 to 3.4e38)", None),
        (HALVES, [1, 65520], "element 1 is out of range for Float16Vector (-65504 to 65504)", None),
        (BRAINS, [3.4e38, 1], "element 0 is out of range for BFloat16Vector (-3.4e38 to 3.4e38)", None),
        (VECTOR, "[1,2]", "the value is string, the field is FloatVector(2)", '"[1,2]"'),
        (INT8_VECTOR, [1, 128], "element 1 is out of range for Int8Vector (-128 to 127)", "128"),
        (INT8_VECTOR, [1, 0.5], "0.5 is not a whole number", "0.5"),
        (BITS, [256, 0], "element 0 is out of range for BinaryVector (0 to 255)", "256"),
        (BITS, [1], "the vector has 1 bytes, the field needs 2 (dim 16)", None),
        (SPARSE, [1], "the value is array, the field is SparseFloatVector", "[1]"),
        (SPARSE, {"a": 1}, "the index 'a' is not a whole number", "a"),
        (SPARSE, {"4294967295": 1}, "the index 4294967295 is out of range (0 to 4294967294)", "4294967295"),
        (SPARSE, {"indices": [-1], "values": [1]}, "the index -1 is out of range (0 to 4294967294)", "-1"),
        (
            SPARSE,
            {"indices": [5, 5], "values": [1, 2]},
            "unsorted or same indices in sparse float vector",
            "5",
        ),
        (SPARSE, {"indices": [1, 2], "values": [1]}, "indices and values length mismatch: 2 and 1", None),
        (SPARSE, {"1": -0.5}, "negative value in sparse float vector", "-0.5"),
        (SPARSE, {"1": 1e39}, "out of range for Float (-3.4e38 to 3.4e38)", "1e+39"),
        (BYTES, [1, 2, 3], "array capacity(3) for field x exceeds max_capacity(2)", None),
        (BYTES, [1, 300], "out of range for Int8 (-128 to 127)", "300"),
        (BYTES, [1, None], "array element is not allowed to be null value for field 'x'", None),
        (BYTES, [[1]], "the element is array, the field is Int8", "[1]"),
        (BYTES, {}, "the value is object, the field is Array<Int8>", "{}"),
        (WORDS, ["a", "bc"], "value length(2) for field x exceeds max_length(1)", "bc"),
    ],
)
def test_a_wrong_value_is_told_with_row_and_field(
    tmp_path: Path, field: Field, value: object, rule: str, shown: str | None
) -> None:
    good: dict[DataType, object] = {
        DataType.BOOL: True,
        DataType.VARCHAR: "a",
        DataType.JSON: {},
        DataType.ARRAY: [],
        DataType.SPARSE_FLOAT_VECTOR: {},
    }
    fine = good.get(field.type, [0, 0] if field.type.is_vector else 0)
    error = failure(
        tmp_path, schema_of(field), with_value(field, fine), with_value(field, fine), with_value(field, value)
    )
    assert (error.row, error.field, error.rule, error.value) == (2, "x", rule, shown)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_not_a_number_is_told_with_its_field(tmp_path: Path, word: str) -> None:
    error = failure(tmp_path, schema_of(), ROW, f'{{"id": 2, "vector": [1.0, {word}]}}')
    assert (error.row, error.field) == (1, "vector")
    assert error.rule == f"value '{word}' is not a number or infinity"


def test_a_missing_field(tmp_path: Path) -> None:
    error = failure(tmp_path, schema_of(), ROW, {"id": 2})
    assert (error.row, error.field, error.rule) == (1, "vector", "value of field 'vector' is missed")


def test_a_given_key_that_should_be_generated(tmp_path: Path) -> None:
    error = failure(tmp_path, schema_of(auto_id=True), ROW)
    assert error.rule == "the primary key 'id' is auto-generated, no need to provide"


@pytest.mark.parametrize(
    "line",
    [
        '{"id": 1, "vector": [1, 2], "id": 2}',
        '{"id": 1, "vector": [1, 2], "id": 2, "x": 123456789012345678901234567890}',
        '{"id": 1, "vector": [1, 2], "$meta": {"id2": 1}, "$meta": {}}',
        '{"id": 1, "vector": [1, 2], "a": 1, "$meta": {"a": 2}}',
        '{"id": 1, "vector": [1, 2], "$meta": "{\\"a\\": 2, \\"a\\": 3}"}',
    ],
)
def test_a_key_that_comes_twice(tmp_path: Path, line: str) -> None:
    error = failure(tmp_path, schema_of(dynamic=True), ROW, line)
    assert error.row == 1
    assert error.rule == f"duplicated key is not allowed, key={error.field}"


@pytest.mark.parametrize("meta", ["text", "[1]", [1], 5])
def test_meta_that_is_no_object(tmp_path: Path, meta: object) -> None:
    error = failure(tmp_path, schema_of(dynamic=True), {**ROW, "$meta": meta})
    assert error.field == "$meta"
    assert error.rule.startswith("illegal value for dynamic field, not a JSON")


def test_the_earliest_wrong_row_is_told(tmp_path: Path) -> None:
    lines = [{"id": "no", "vector": [1, 2]}, {"id": 2, "vector": [1]}]
    assert failure(tmp_path, schema_of(), ROW, *lines).row == 1


def test_broken_json_is_told_with_row_and_byte(tmp_path: Path) -> None:
    first = json.dumps(ROW)
    error = failure(tmp_path, schema_of(), first, '{"id": 2 "vector": [1, 2]}')
    assert (error.row, error.offset) == (1, len(first) + 1 + 9)
    assert error.rule == "invalid JSON: Expecting ',' delimiter"


def test_a_file_cut_short_fails(tmp_path: Path) -> None:
    error = failure(tmp_path, schema_of(), json.dumps(ROW) + "\n" + json.dumps(ROW)[:-4])
    assert error.row == 1
    assert error.rule.startswith("invalid JSON")


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    schema = schema_of(Field(name="t", type=DataType.VARCHAR, max_length=9))
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": 1, "vector": [1, 2], "t": "a"}\n{"id": 1, "vector": [1, 2], "t": "a\xffb"}\n')
    with pytest.raises(DataError) as caught:
        read_file(JSON_LINES.reader, path, schema)
    assert (caught.value.row, caught.value.field, caught.value.offset) == (1, "t", 38 + 35)


@pytest.mark.parametrize("line", ["5", '"text"', "null", "[]"], ids=["number", "string", "null", "array"])
def test_rows_that_are_no_objects(tmp_path: Path, line: str, request: pytest.FixtureRequest) -> None:
    error = failure(tmp_path, schema_of(), ROW, line)
    kind = request.node.callspec.id
    assert (error.row, error.rule) == (1, f"each row should be a key-value map, but got type {kind}")


def test_a_json_list_should_be_named_json(tmp_path: Path) -> None:
    error = failure(tmp_path, schema_of(), json.dumps([ROW]))
    assert error.rule == "each row should be a key-value map, but got type array"
    assert ".json;" in (error.remedy or "")


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n"])
def test_a_file_may_have_no_rows(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    found = read_file(JSON_LINES.reader, path, schema_of())
    assert (found.rows, found.warnings) == ([], [])


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    bomb = '{"id": 1, "vector": [1, 2], "x": ' + 100_000 * "[" + 100_000 * "]" + "}"
    assert failure(tmp_path, schema_of(dynamic=True), ROW, bomb).rule == "the JSON is nested more than 128 deep"


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    error = failure(tmp_path, schema_of(dynamic=True), '{"id": 1, "vector": [1, 2], "x": "\\ud800"}')
    assert "surrogate" in error.rule
