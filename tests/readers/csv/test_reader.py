"""CSV files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, ImportRefused
from penstock.readers.csv.reader import CSV, CsvReader
from penstock.readers.csv.table import check_separator
from tests.support.text_files import ALL_TYPES, Found, column, columns, read_file, schema_of

TEXT = Field(name="t", type=DataType.VARCHAR, max_length=20)
NULLABLE_TEXT = Field(name="t", type=DataType.VARCHAR, max_length=20, nullable=True)
COUNT = Field(name="n", type=DataType.INT32, nullable=True)
WIDTH = "the number of fields in the row is not equal to the header: "
NULL = "the field 'x' is not nullable but the file contains null value"
NOT_INT64 = f"out of range for Int64 ({-(2**63)} to {2**63 - 1})"


def x(kind: DataType, **rest: Any) -> Field:
    return Field(name="x", type=kind, **rest)


BOOL = x(DataType.BOOL)
INT8 = x(DataType.INT8)
INT64 = x(DataType.INT64)
INEXACT = "with a fraction or exponent a number is exact below 2^53 only"
FLOAT = x(DataType.FLOAT)
DOUBLE = x(DataType.DOUBLE)
JSON = x(DataType.JSON)
SHORT = x(DataType.VARCHAR, max_length=3)
BYTES = x(DataType.ARRAY, element_type=DataType.INT8, max_capacity=2)
VECTOR = x(DataType.FLOAT_VECTOR, dim=2)
SPARSE = x(DataType.SPARSE_FLOAT_VECTOR)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, text: str | bytes, *fields: Field, dynamic: bool = False, **options: str) -> Found:
    return read_file(CSV.reader, write(folder, text), schema_of(*fields, dynamic=dynamic), options=options)


def failure(folder: Path, text: str | bytes, *fields: Field, dynamic: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        read(folder, text, *fields, dynamic=dynamic)
    assert caught.value.file == "rows.csv"
    return caught.value


def rows(cells: str, *more: str) -> str:
    """A file of ``id,vector,…`` whose rows end in ``cells``; the header's part comes first."""
    head = f"id,vector,{cells}\n"
    return head + "".join(f'{n},"[1, 2]",{each}\n' for n, each in enumerate(more))


def test_every_type_is_read_into_its_canonical_form(tmp_path: Path) -> None:
    cells = {
        "id": "9223372036854775807",
        "vector": "[0.5, 2]",
        "bool": "True",
        "int8": "-128",
        "int16": "32767",
        "int32": "-5",
        "int64": "",
        "float": "0.1",
        "double": "1e300",
        "text": "Zoë, \U0001f600",
        "json": '{"n": 9007199254740993.0000001}',
        "tags": '["x", "y"]',
        "counts": "[1, -2]",
        "half": "[0.1, 65504]",
        "brain": "[0.1, -3]",
        "bytes": "[-128, 127]",
        "bits": "[255, 0]",
        "sparse": '{"7": 0.5, "3": 1}',
    }
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells.values()]
    found = read_file(CSV.reader, write(tmp_path, ",".join(cells) + "\n" + ",".join(quoted)), ALL_TYPES)
    assert found.rows == [
        {
            "id": 2**63 - 1,
            "vector": [0.5, 2.0],
            "bool": True,
            "int8": -128,
            "int16": 32767,
            "int32": -5,
            "int64": None,
            "float": 0.10000000149011612,
            "double": 1e300,
            "text": "Zoë, \U0001f600",
            "json": '{"n": 9007199254740993.0000001}',
            "tags": ["x", "y"],
            "counts": [1, -2],
            "half": [0.0999755859375, 65504.0],
            "brain": [0.10009765625, -3.0],
            "bytes": [-128, 127],
            "bits": [255, 0],
            "sparse": {"indices": [3, 7], "values": [1.0, 0.5]},
        }
    ]


@pytest.mark.parametrize(("words", "value"), [("1 t T TRUE true True", True), ("0 f F FALSE false False", False)])
def test_bools_are_spelled_in_many_ways(tmp_path: Path, words: str, value: bool) -> None:
    found = read(tmp_path, rows("b", *words.split()), Field(name="b", type=DataType.BOOL))
    assert set(column(found, "b")) == {value}


def test_an_unquoted_null_key_is_null_and_a_quoted_one_is_text(tmp_path: Path) -> None:
    text = rows("t,n", ",", '"",""', "x,5")
    found = read(tmp_path, text, NULLABLE_TEXT, COUNT)
    assert column(found, "t") == [None, "", "x"]
    assert column(found, "n") == [None, None, 5]


def test_the_null_key_can_be_any_text(tmp_path: Path) -> None:
    found = read(tmp_path, rows("t,n", r"\N,\N", ",1"), NULLABLE_TEXT, COUNT, nullkey=r"\N")
    assert column(found, "t") == [None, ""]
    assert column(found, "n") == [None, 1]


def test_a_default_takes_the_place_of_null(tmp_path: Path) -> None:
    with_default = Field(name="t", type=DataType.VARCHAR, max_length=9, nullable=True, default="none")
    number = Field(name="n", type=DataType.INT8, default=7)
    assert column(read(tmp_path, rows("t", "", "x"), with_default, number), "t") == ["none", "x"]
    assert column(read(tmp_path, rows("n", "", "1"), with_default, number), "n") == [7, 1]


def test_a_text_that_is_never_null_may_be_empty(tmp_path: Path) -> None:
    assert column(read(tmp_path, rows("t", "", '""'), TEXT), "t") == ["", ""]


def test_absent_columns_become_null(tmp_path: Path) -> None:
    assert column(read(tmp_path, 'id,vector\n1,"[1,2]"\n', NULLABLE_TEXT), "t") == [None]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_the_separator_can_be_chosen(tmp_path: Path, separator: str) -> None:
    text = separator.join(["id", "vector", "t"]) + "\r\n" + separator.join(["1", '"[1,2]"', '"a"",\nb"']) + "\r\n"
    assert column(read(tmp_path, text, TEXT, sep=separator), "t") == ['a",\nb']


@pytest.mark.parametrize(("text", "separator"), [("", ","), (";", ";"), ("\t", "\t"), ("||", "|")])
def test_only_the_first_character_of_sep_counts(text: str, separator: str) -> None:
    assert check_separator(text) == separator


@pytest.mark.parametrize("text", ["\0", "\n", "\r", '"', "\ufffd", "§"])
def test_separators_that_are_refused(text: str) -> None:
    with pytest.raises(ImportRefused, match="unsupported csv separator"):
        check_separator(text)


@pytest.mark.parametrize(
    "text",
    [
        'id,vector\n1,"[1,2]"\n2,"[1,2]"',
        '\ufeffid,vector\r\n1,"[1,2]"\r\n2,"[1,2]"\r\n',
        '\ufeff"id","vector"\n\n1,"[1,2]"\n\n\n2,"[1,2]"\n\n',
        'vector,id\r"[1,2]",1\r"[1,2]", 2 \r',
    ],
    ids=["no last line end", "bom", "blank lines", "old line ends"],
)
def test_lines_may_end_in_any_way(tmp_path: Path, text: str) -> None:
    assert column(read(tmp_path, text), "id") == [1, 2]


def test_a_byte_order_mark_behind_the_header_belongs_to_its_cell(tmp_path: Path) -> None:
    found = read(tmp_path, 't,id,vector\n\ufeffa,1,"[1,2]"\n\ufeffa,2,"[1,2]"\n', TEXT)
    assert column(found, "t") == ["\ufeffa", "\ufeffa"]


@pytest.mark.parametrize("text", ["id,vector", "id,vector\n", "\ufeffid,vector\r\n\r\n"])
def test_a_header_alone_has_no_rows(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).rows == []


def test_unknown_columns_go_to_meta_as_text_where_the_collection_is_dynamic(tmp_path: Path) -> None:
    text = rows("color,size,$meta", 'red,5,"{""a"": 1}"', ',"",', "blue,,{}")
    found = read(tmp_path, text, dynamic=True)
    assert [json.loads(each) for each in column(found, "$meta")] == [
        {"color": "red", "size": "5", "a": 1},
        {"size": ""},
        {"color": "blue"},
    ]


def test_unknown_columns_are_dropped_and_counted_where_it_is_not(tmp_path: Path) -> None:
    found = read(tmp_path, rows("color,$meta", "red,", "blue,"))
    assert columns(found) == ["id", "vector"]
    assert [(warning.message, warning.count) for warning in found.warnings] == [
        ("column 'color' is not in the schema and was dropped", 2),
        ("column '$meta' is not in the schema and was dropped", 2),
    ]


def test_batches_stay_within_the_budget(tmp_path: Path) -> None:
    text = rows("t", *["x" * (n % 20) for n in range(3000)])
    path = write(tmp_path, text)
    found = read_file(CsvReader(block_bytes=5000), path, schema_of(TEXT), batch_bytes=4000)
    assert column(found, "id") == list(range(3000))
    assert found.largest_batch <= 4000


@pytest.mark.parametrize(
    ("field", "cell", "rule", "shown"),
    [
        (BOOL, "yes", "the value is text, the field is Bool", "yes"),
        (INT8, "128", "out of range for Int8 (-128 to 127)", "128"),
        (INT64, "9223372036854775808", NOT_INT64, "9223372036854775808"),
        (INT64, "1.5", "1.5 is not a whole number", "1.5"),
        (
            INT64,
            "9007199254740993.0",
            INEXACT,
            "9007199254740993.0",
        ),
        (INT64, "0x10", "the value is text, the field is Int64", "0x10"),
        (INT64, "--5", "the value is text, the field is Int64", "--5"),
        (INT64, "1_000", "the value is text, the field is Int64", "1_000"),
        (INT64, "9" * 30, "out of range for Int64 (-9223372036854775808 to 9223372036854775807)", "9" * 30),
        (INT64, "", NULL, None),
        (FLOAT, "1e39", "out of range for Float (-3.4e38 to 3.4e38)", "1e39"),
        (FLOAT, "nan", "value 'NaN' is not a number or infinity", "nan"),
        (DOUBLE, "inf", "value 'Inf' is not a number or infinity", "inf"),
        (DOUBLE, "abc", "the value is text, the field is Double", "abc"),
        (SHORT, "éé", "value length(4) for field x exceeds max_length(3)", "éé"),
        (
            JSON,
            "{a}",
            "the text is not JSON: unexpected character, expected a string key: line 1 column 2 (char 1)",
            "{a}",
        ),
        (JSON, "null", NULL, None),
        (VECTOR, "[1]", "the vector has 1 dimensions, the field has 2", "[1]"),
        (VECTOR, '"[[1,2],[]]"', "element 0 should be a number, got array", "[1,2]"),
        (VECTOR, '"[1,2"', "invalid JSON: Expecting ',' delimiter", "[1,2"),
        (VECTOR, '"[1,NaN]"', "value 'NaN' is not a number or infinity", "NaN"),
        (VECTOR, '"1,2"', "invalid JSON: Extra data", "1,2"),
        (BYTES, '"[1,300]"', "out of range for Int8 (-128 to 127)", "300"),
        (SPARSE, '"{""1"": -1}"', "negative value in sparse float vector", "-1.0"),
    ],
)
def test_a_wrong_cell_is_told_with_row_and_field(
    tmp_path: Path, field: Field, cell: str, rule: str, shown: str | None
) -> None:
    good = {DataType.VARCHAR: "a", DataType.JSON: "{}", DataType.ARRAY: "[]", DataType.SPARSE_FLOAT_VECTOR: "{}"}
    fine = good.get(field.type, '"[0,0]"' if field.type.is_vector else "0")
    error = failure(tmp_path, rows("x", fine, fine, cell), field)
    assert (error.row, error.field, error.rule, error.value) == (2, "x", rule, shown)


@pytest.mark.parametrize(
    ("text", "row", "rule"),
    [
        ('id,vector\n1,"[1,2]"\n2\n', 1, WIDTH + "1 fields, the header has 2"),
        ('id,vector\n1,"[1,2]"\n\n2,"[1,2]",x\n', 1, WIDTH + "3 fields, the header has 2"),
        ('id,vector\n1,"[1,2]"\n2,"[1,2]\n3,[1]\n', 1, "the quoted cell that begins here is never closed"),
        ('id,vector\n1,"[1,2]"\n2,"[1,2]\n3,"[1,2]"\n', 1, "text follows the closing quote of a cell"),
        ('id,vector\n1,"[1,2]"\n2,[1"2]\n', 1, "a quote stands inside a cell that is not quoted"),
        ('id,vector\n1,"[1,2]"x\n', 0, "text follows the closing quote of a cell"),
        ('id,vector\n1,"[1,2]"\n2,\xff\n', 1, "a vector"),
    ],
)
def test_broken_csv_is_told_with_its_row(tmp_path: Path, text: str, row: int, rule: str) -> None:
    error = failure(tmp_path, text.encode("latin-1"))
    assert error.row == row
    if rule != "a vector":
        assert error.rule == rule


def test_a_bare_quote_does_not_end_the_file_early(tmp_path: Path) -> None:
    error = failure(tmp_path, rows("t", "a", '5" disk', "c"), TEXT)
    assert (error.row, error.rule) == (1, "a quote stands inside a cell that is not quoted")
    assert error.remedy == 'Put the cell between quotes and write a quote inside of it as ""'


@pytest.mark.parametrize(
    ("text", "rule", "field"),
    [
        ("", "the file is empty", None),
        ("\n\n", "the file has no header", None),
        ("id,vector,id\n", "the header names the column 'id' twice", "id"),
        ("id;vector\n1;2\n", "value of field 'id' is missed", "id"),
        ("id\n1\n", "value of field 'vector' is missed", "vector"),
        ('id,"vector\n', "the header can't be read: unexpected end of data", None),
        (b"id,vector,\xff\n", "the header is not valid UTF-8", None),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, text: str | bytes, rule: str, field: str | None) -> None:
    error = failure(tmp_path, text)
    assert (error.rule, error.field) == (rule, field)


def test_a_given_key_that_should_be_generated(tmp_path: Path) -> None:
    schema = CollectionSchema(fields=schema_of().fields, auto_id=True)
    with pytest.raises(DataError, match="the primary key 'id' is auto-generated, no need to provide"):
        read_file(CSV.reader, write(tmp_path, "id,vector\n"), schema)


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    error = failure(tmp_path, rows("t", "a", "b").encode().replace(b"b\n", b"b\xff\n"), TEXT)
    assert (error.row, error.field, error.rule) == (1, "t", "field 't' contains invalid UTF-8 data")


@pytest.mark.parametrize("meta", ['"{""color"": 1}"', "text", "[1]"])
def test_meta_that_can_not_be_taken(tmp_path: Path, meta: str) -> None:
    error = failure(tmp_path, rows("color,$meta", "red,", f"blue,{meta}"), dynamic=True)
    assert error.row == 1
    assert error.rule.startswith(("duplicated key is not allowed, key=color", "illegal value for dynamic field"))


@pytest.mark.parametrize("block_bytes", [1, 100, 4000])
def test_a_row_longer_than_a_row_may_be_is_refused(tmp_path: Path, block_bytes: int) -> None:
    path = write(tmp_path, rows("t", "a", '"' + "\n" * 9000))
    with pytest.raises(DataError, match="row 1, byte 25: a row is longer than 4000 bytes, or the quote"):
        read_file(CsvReader(block_bytes=block_bytes, max_row_bytes=4000), path, schema_of(TEXT))


@pytest.mark.parametrize(
    "long", ["x" * 300, "x\n," * 100, 'x""y' * 100, '""' + "x" * 300, "x" * 300 + '""', "\0" * 300]
)
def test_long_cells_are_what_they_are(tmp_path: Path, long: str) -> None:
    text = rows("t,n,other", f'"{long}",1,', f'a,2,"{long}"', f'"",3,{"y" * 300}', ",,")
    found = read(tmp_path, text, Field(name="t", type=DataType.VARCHAR, max_length=500), COUNT, dynamic=True)
    plain = long.replace('""', '"')
    assert column(found, "t") == [plain, "a", "", ""]
    assert [json.loads(each) for each in column(found, "$meta")] == [{}, {"other": plain}, {"other": "y" * 300}, {}]


def test_a_row_of_the_wrong_width_is_shown(tmp_path: Path) -> None:
    error = failure(tmp_path, rows("t", "a", f'"{"x" * 300}",b'), TEXT)
    assert (error.row, error.rule) == (1, WIDTH + "4 fields, the header has 3")
    assert "xxxxx" in str(error.value)
