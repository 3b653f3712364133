"""Files that are not what their suffix says, or hold nothing: named as what they are, or imported with a warning."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from penstock.domain.schema import DataType, Field
from penstock.errors import DataError
from penstock.readers.base import FormatSpec
from penstock.readers.columns.json_values import WRAPPED_REMEDY
from penstock.readers.csv.reader import CSV
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from tests.support.text_files import read_file, schema_of

ROW = {"id": 1, "vector": [1, 2]}
CONTENTS = {
    JSON: json.dumps([ROW]),
    JSON_LINES: json.dumps(ROW),
    CSV: 'id,vector\n1,"[1, 2]"\n',
}


def failure(folder: Path, format: FormatSpec, content: bytes, *fields: Field, dynamic: bool = False) -> DataError:
    path = folder / f"rows.{format.extensions[0]}"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_file(format.reader, path, schema_of(*fields, dynamic=dynamic))
    assert caught.value.file == path.name
    return caught.value


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("format", CONTENTS)
def test_other_encodings_are_named(tmp_path: Path, format: FormatSpec, encoding: str) -> None:
    error = failure(tmp_path, format, CONTENTS[format].encode(encoding))
    assert error.rule == "the text is UTF-16 or UTF-32, not UTF-8"
    assert error.remedy == "Write the file in UTF-8"


@pytest.mark.parametrize("format", CONTENTS)
def test_compressed_content_is_named(tmp_path: Path, format: FormatSpec) -> None:
    error = failure(tmp_path, format, gzip.compress(CONTENTS[format].encode()))
    assert error.rule == "the content is compressed (gzip), not text"
    assert error.remedy == "Add .gz to the file's name"
    error = failure(tmp_path, format, lzma.compress(CONTENTS[format].encode()))
    assert (error.rule, error.remedy) == ("the content is compressed (xz), not text", "Decompress the file first")


@pytest.mark.parametrize("format", CONTENTS)
def test_other_formats_are_named(tmp_path: Path, format: FormatSpec) -> None:
    assert failure(tmp_path, format, b"PAR1\x15\x04").rule == "the content is Parquet, not text"


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_wrapped_list_named_jsonl(tmp_path: Path, indent: int | None, dynamic: bool) -> None:
    content = json.dumps({"rows": [ROW, ROW]}, indent=indent).encode()
    error = failure(tmp_path, JSON_LINES, content, dynamic=dynamic)
    assert (error.row, error.field) == (0, "id")
    assert error.remedy == WRAPPED_REMEDY


def test_a_wrapped_list_that_is_longer_than_a_row(tmp_path: Path) -> None:
    content = b'{"rows": [' + b",".join([json.dumps(ROW).encode() + b" " * 1000] * 34_000) + b"]}"
    error = failure(tmp_path, JSON_LINES, content)
    assert "longer than 32 MiB" in error.rule
    assert error.remedy == WRAPPED_REMEDY


@pytest.mark.parametrize("word", ["NULL", "None", "NaN", "nan", "N/A", r"\N"])
@pytest.mark.parametrize(
    "type", [DataType.INT32, DataType.DOUBLE, DataType.BOOL, DataType.FLOAT_VECTOR, DataType.JSON]
)
def test_words_for_null_are_hinted_at(tmp_path: Path, type: DataType, word: str) -> None:
    field = Field(name="x", type=type, nullable=True, dim=2 if type.is_vector else None)
    content = f'id,vector,x\n1,"[1, 2]",{word}\n'.encode()
    error = failure(tmp_path, CSV, content, field)
    assert (error.row, error.field, error.value) == (0, "x", word)
    assert error.remedy == f"If it means null, set the option nullkey to {word!r}"
    found = read_file(CSV.reader, tmp_path / "rows.csv", schema_of(field), options={"nullkey": word})
    assert found.rows[0]["x"] is None


def test_the_hint_speaks_of_fields_that_take_no_null(tmp_path: Path) -> None:
    field = Field(name="x", type=DataType.INT32)
    error = failure(tmp_path, CSV, b'id,vector,x\n1,"[1, 2]",NULL\n', field)
    assert error.remedy == "If it means null, set the option nullkey to 'NULL' and make the field nullable"


NEAR_ID = "Did you mean 'ID'? Names must match exactly, or import with --column id=ID (option mapping)."


@pytest.mark.parametrize(
    ("header", "remedy"),
    [
        ("ID,vector", f"The header's columns: ID, vector. {NEAR_ID}"),
        ("key,vector", "The header's columns: key, vector. Import with --column id=key (option mapping)."),
        ("vector", "The header's columns: vector."),
        ("id;vector", "The header has one column: is ';' the separator (option sep), and not ','?"),
        ("ID", f"The header's columns: ID. {NEAR_ID}"),
    ],
)
def test_a_header_without_a_field_is_told_with_all_names(tmp_path: Path, header: str, remedy: str) -> None:
    error = failure(tmp_path, CSV, f"{header}\n".encode())
    assert (error.rule, error.remedy) == ("value of field 'id' is missed", remedy)


def test_a_row_without_a_field_is_told_with_all_keys(tmp_path: Path) -> None:
    for format, content in ((JSON_LINES, {"id": 1, "Vector": [1]}), (JSON, [{"id": 1, "Vector": [1]}])):
        error = failure(tmp_path, format, json.dumps(content).encode())
        assert error.rule == "value of field 'vector' is missed"
        assert error.remedy == (
            "The keys of the row: id, Vector. Did you mean 'Vector'? Names must match exactly, or import with "
            "--column vector=Vector (option mapping)."
        )
