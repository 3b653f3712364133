"""JSON files that hold one list of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.json.array_reader import JSON, JsonReader
from tests.support.text_files import column, read_file, schema_of

ROWS: list[dict[str, Any]] = [{"id": n, "vector": [n, 0.5]} for n in range(5)]
LIST = json.dumps(ROWS)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "rows.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def failure(
    folder: Path, text: str | bytes, schema: CollectionSchema | None = None, block_bytes: int = 64
) -> DataError:
    """The error, which must not depend on where blocks end."""
    path = write(folder, text)
    errors = []
    for size in (block_bytes, 1 << 20):
        with pytest.raises(DataError) as caught:
            read_file(JsonReader(block_bytes=size), path, schema or schema_of())
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    assert errors[0].file == "rows.json"
    return errors[0]


@pytest.mark.parametrize(
    "text",
    [
        LIST,
        json.dumps({"rows": ROWS}, indent=2),
        json.dumps({"ROWS": ROWS}, separators=(",", ":")),
        "\ufeff  \n" + json.dumps(ROWS, indent="\t") + "\n\n",
        '{ \r\n "r\\u006fws" : ' + LIST + "\n}\n",
    ],
    ids=["list", "pymilvus", "any case", "bom and tabs", "escaped key"],
)
@pytest.mark.parametrize("block_bytes", [1, 2, 3, 17, 1 << 20])
def test_the_rows_stand_in_a_list_or_below_rows(tmp_path: Path, text: str, block_bytes: int) -> None:
    found = read_file(JsonReader(block_bytes=block_bytes), write(tmp_path, text), schema_of())
    assert column(found, "id") == [0, 1, 2, 3, 4]
    assert column(found, "vector")[4] == [4.0, 0.5]
    assert found.warnings == []


ANSWER = {"object": "list", "data": ROWS, "model": "m\\u0022, ]", "usage": {"total_tokens": 5}}


@pytest.mark.parametrize("text", [json.dumps(ANSWER), json.dumps(ANSWER, indent=2), json.dumps({"data": ROWS})])
@pytest.mark.parametrize("block_bytes", [1, 3, 17, 1 << 20])
@pytest.mark.parametrize("split_bytes", [40, 1 << 20])
def test_the_rows_stand_in_the_answer_of_a_service_of_embeddings(
    tmp_path: Path, text: str, block_bytes: int, split_bytes: int
) -> None:
    path = write(tmp_path, text)
    found = read_file(JsonReader(block_bytes=block_bytes), path, schema_of(), split_bytes=split_bytes)
    assert column(found, "id") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rest", ["", ", ", "}}", ', "rows": []}', ', "a": 1', '} {"a": 1}', " 5}"])
def test_nothing_with_rows_follows_the_list_of_an_answer(tmp_path: Path, rest: str) -> None:
    error = failure(tmp_path, '{"data": ' + LIST + rest)
    assert error.rule == "text follows the list of rows"
    assert error.remedy == "Behind the list 'data' only keys without lists may follow, and the '}' of its object"


@pytest.mark.parametrize("text", ["[]", '{"rows": [ ]}', " [\n]\n"])
def test_a_list_may_be_empty(tmp_path: Path, text: str) -> None:
    found = read_file(JSON.reader, write(tmp_path, text), schema_of())
    assert (found.rows, found.warnings) == ([], [])


@pytest.mark.parametrize("block_bytes", range(1, 12))
def test_brackets_quotes_and_backslashes_in_strings_are_text(tmp_path: Path, block_bytes: int) -> None:
    texts = ["}", '"', '\\"', "\\", '\\\\"}{', "[{]}", "a\\", '"\\', "\\\\\\"]
    schema = schema_of(Field(name="t", type=DataType.VARCHAR, max_length=20))
    rows = [{"t": text, "id": 1, "vector": [1, 2]} for text in texts]
    found = read_file(JsonReader(block_bytes=block_bytes), write(tmp_path, json.dumps(rows)), schema)
    assert column(found, "t") == texts


@pytest.mark.parametrize(
    ("before", "rest"),
    [
        (LIST, "{]"),
        (LIST + " \n", LIST),
        (LIST, "x"),
        (json.dumps({"rows": ROWS})[:-1], ', "more": 1}'),
        (json.dumps({"rows": ROWS})[:-1], f', "rows": {LIST}}}'),
        (json.dumps({"rows": ROWS}) + "\n\n", json.dumps({"rows": ROWS})),
        (json.dumps({"rows": ROWS}), "}"),
        (LIST + "\n" * 100_000, "]"),
    ],
)
@pytest.mark.parametrize(("block_bytes", "split_bytes"), [(1, 1 << 30), (64, 50), (1 << 20, 1 << 30), (1 << 20, 90)])
def test_text_after_the_rows_fails_the_file(
    tmp_path: Path, before: str, rest: str, block_bytes: int, split_bytes: int
) -> None:
    """Milvus completes with the first list's rows; the others are lost without a word."""
    with pytest.raises(DataError) as caught:
        read_file(JsonReader(block_bytes), write(tmp_path, before + rest), schema_of(), split_bytes=split_bytes)
    error = caught.value
    assert (error.rule, error.offset, error.value) == ("text follows the list of rows", len(before), rest[0])
    assert "one object per line" in (error.remedy or "")


@pytest.mark.parametrize("split_bytes", [50, 1 << 30])
def test_a_root_object_that_is_never_closed_fails_the_file(tmp_path: Path, split_bytes: int) -> None:
    text = '{"rows":' + LIST + " \n"
    with pytest.raises(DataError) as caught:
        read_file(JsonReader(64), write(tmp_path, text), schema_of(), split_bytes=split_bytes)
    assert (caught.value.rule, caught.value.offset) == ("the '}' after the list of rows is missing", len(text))


@pytest.mark.parametrize(
    ("text", "rule", "offset"),
    [
        ("", "the file is empty", None),
        ("  \n ", "invalid JSON format, the content should be started with '{' or '['", 0),
        ("id,vector", "invalid JSON format, the content should be started with '{' or '['", 0),
        ('{"items": []}', "invalid JSON format, the root key should be 'rows', but get 'items'", 0),
        ("{}", "invalid JSON format, the root key should be 'rows'", 0),
        ("{'rows': []}", "invalid JSON format, the root key should be 'rows'", 0),
        ('{"rows": {}}', "invalid JSON format, the value of 'rows' should be a list", 9),
        ('{"rows"', "invalid JSON format, the content should be started with '{' or '['", 0),
    ],
)
def test_files_that_begin_wrongly(tmp_path: Path, text: str, rule: str, offset: int | None) -> None:
    error = failure(tmp_path, text, block_bytes=3)
    assert (error.rule, error.offset) == (rule, offset)


def test_json_lines_named_json_are_told_what_to_do(tmp_path: Path) -> None:
    error = failure(tmp_path, "\n".join(json.dumps(row) for row in ROWS))
    assert error.remedy == "A .json file holds a list of objects; name a file with one object per line .jsonl"


@pytest.mark.parametrize(
    ("rest", "rule"),
    [
        ("5]", "each row should be a key-value map, but got type number"),
        ('"x{"]', "each row should be a key-value map, but got type string"),
        ('null, {"id": 1}]', "each row should be a key-value map, but got type null"),
        ("[1]]", "each row should be a key-value map, but got type array"),
        ("]", "invalid JSON: a comma stands before the closing ']'"),
        (', {"id": 1}]', "invalid JSON: expected a row or the end of the rows"),
        ("}", "invalid JSON: unexpected '}'"),
        ("oops", "the file ends before the list of rows does: rows list should end with ']'"),
        ("", "the file ends before the list of rows does: rows list should end with ']'"),
    ],
)
def test_what_is_no_row_is_told_with_its_number(tmp_path: Path, rest: str, rule: str) -> None:
    error = failure(tmp_path, LIST[:-1] + ", " + rest)
    assert (error.row, error.rule) == (5, rule)


def test_rows_without_a_comma_between(tmp_path: Path) -> None:
    error = failure(tmp_path, LIST[:-1] + json.dumps(ROWS[0]) + "]")
    assert (error.row, error.rule) == (5, "invalid JSON: a comma is missing between two rows")


def test_a_file_cut_inside_a_row_fails(tmp_path: Path) -> None:
    error = failure(tmp_path, LIST[:-8])
    assert error.row == 4
    assert error.offset == LIST.rindex("{")
    assert error.rule == "the file ends inside a row: it is truncated, or a bracket or quote is missing"


def test_broken_json_is_told_with_row_and_byte(tmp_path: Path) -> None:
    text = LIST.replace('"id": 3', '"id" 3')
    error = failure(tmp_path, text)
    assert (error.row, error.offset) == (3, text.index('"id" 3') + 5)
    assert error.rule == "invalid JSON: Expecting ':' delimiter"


def test_a_missing_quote_is_told_where_it_shows(tmp_path: Path) -> None:
    text = LIST.replace('"vector": [3,', '"vector: [3,')
    error = failure(tmp_path, text)
    assert error.row == 3
    assert error.rule.startswith("invalid JSON")
    assert text.index('"vector: [3,') <= (error.offset or 0) <= text.index('"vector: [3,') + 40


def test_a_wrong_value_is_told_with_its_row(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": 5, "vector": [1, 2, 3]}]
    error = failure(tmp_path, json.dumps(rows))
    assert (error.row, error.field, error.rule) == (5, "vector", "the vector has 3 dimensions, the field has 2")
    assert error.offset == json.dumps(rows).rindex("{")


def test_a_row_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    with path.open("wb") as file:
        file.write(b'[{"id": 1, "vector": [1, 2], "x": "')
        for _ in range(40):
            file.write(b"x" * (1 << 20))
    with pytest.raises(DataError, match="a row is longer than 32 MiB, or a bracket or quote is missing"):
        read_file(JSON.reader, path, schema_of())


@pytest.mark.parametrize("inner", ["[", '{"a":'])
def test_deep_nesting_is_refused(tmp_path: Path, inner: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[inner]
    bomb = '[{"id": 1, "vector": [1, 2], "x": ' + 5000 * inner + "1" + 5000 * closing + "}]"
    error = failure(tmp_path, bomb, schema_of(dynamic=True))
    assert (error.row, error.rule) == (0, "the JSON is nested more than 128 deep")


def test_batches_stay_within_the_budget(tmp_path: Path) -> None:
    rows = [{"id": n, "vector": [n, n]} for n in range(5000)]
    found = read_file(JSON.reader, write(tmp_path, json.dumps(rows)), schema_of(), batch_bytes=16_000)
    assert column(found, "id") == list(range(5000))
    assert found.largest_batch <= 16_000
