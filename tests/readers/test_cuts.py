"""A text file that is cut into splits gives what it gives in one piece: rows, warnings, and the first error."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.domain.jobs import merge_warnings
from penstock.domain.schema import DataType, Field
from penstock.errors import DataError, TaskCancelled
from penstock.readers.base import Reader, ReadRequest, plan_at_once
from penstock.readers.csv.reader import CsvReader
from penstock.readers.json.array_reader import JsonReader
from penstock.readers.json.lines_reader import JsonLinesReader
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from tests.support.examples import examples
from tests.support.text_files import schema_of

SCHEMA = schema_of(
    Field(name="text", type=DataType.VARCHAR, max_length=20, nullable=True),
    Field(name="note", type=DataType.JSON, nullable=True),
)
WHOLE = 1 << 30


def outcome(reader: Reader, content: bytes, extension: str, split_bytes: int, batch_bytes: int = 1 << 20) -> Any:
    """Rows and warnings, or the text of the error that a job would end with; and the number of splits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data.{extension}"
        path.write_bytes(content)
        source = open_source(Location(uri=path.as_uri(), name=path.name, size=len(content)))
        request = ReadRequest(sources=[source], schema=SCHEMA, batch_bytes=batch_bytes)
        tables: list[pa.RecordBatch] = []
        rows = splits = 0
        try:
            plans = plan_at_once(reader, request, split_bytes)
            assert sum(plan.size for plan in plans) == len(content)
            splits = len(plans)
            for plan in plans:
                before = rows
                for batch in reader.read(request, plan.spec):
                    tables.append(batch.batch)
                    rows += batch.batch.num_rows
                assert rows - before <= plan.max_rows
        except DataError as error:
            # As staging does: earlier splits were read to their end, so that their rows are known.
            at = error if error.row is None or not splits else error.at(row=before + error.row)
            return str(at), splits
        warned = sorted(
            (warning.code, warning.message, warning.count) for warning in merge_warnings([request.warnings])
        )
        return (pa.Table.from_batches(tables).to_pylist() if tables else [], warned), splits


def assert_alike(make: Any, content: bytes, extension: str, split_bytes: int, block_bytes: int) -> None:
    expected, _ = outcome(make(1 << 20), content, extension, WHOLE)
    found, _ = outcome(make(block_bytes), content, extension, split_bytes, batch_bytes=400)
    assert found == expected


texts = st.text(st.sampled_from('ab\\"{}[],:\n\r é\u2028'), max_size=12)
notes = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {"id": st.integers(0, 9), "vector": st.just([0.5, 1])},
    optional={"text": texts, "note": notes, "other": notes},
)
layouts = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])
mutations = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["insert", "replace", "cut", "truncate"]), st.sampled_from(
        [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b"\n", b"x", b"1", b" " * 70, b"\\\\\\", b"\xff", b"null"]
    )),
    max_size=2,
)  # fmt: skip


def mutated(content: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    for where, how, what in changes:
        at = int(where * len(content))
        until = {"insert": at, "replace": at + len(what), "cut": at + 7, "truncate": len(content)}[how]
        content = content[:at] + (b"" if how in ("cut", "truncate") else what) + content[until:]
    return content


ROW = {"id": 1, "vector": [1, 2]}


@settings(max_examples=examples(50, 150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(rows, max_size=12),
    layouts,
    st.sampled_from(["list", "rows", "bom", "rest"]),
    mutations,
    st.integers(1, 200),
    st.integers(1, 64),
)
@example([ROW | {"text": "\\" * 19}] * 4, {}, "list", [], 1, 1)
def test_json(data: list[Any], layout: Any, kind: str, changes: Any, split_bytes: int, block_bytes: int) -> None:
    text = json.dumps({"rows": data} if kind == "rows" else data, **layout)
    text = {"bom": "\ufeff" + text, "rest": text + '\n ]} "more" {"id": 1}, ['}.get(kind, text)
    assert_alike(JsonReader, mutated(text.encode(), changes), "json", split_bytes, block_bytes)


@settings(max_examples=examples(50, 150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(rows, max_size=12),
    layouts,
    st.sampled_from(["\n", "\r\n", ",", "", " , \n"]),
    mutations,
    st.integers(1, 200),
    st.integers(1, 64),
)
@example([ROW], {"indent": 4}, "", [(0.0, "insert", b'"')], 1, 1)
def test_json_lines(
    data: list[Any], layout: Any, between: str, changes: Any, split_bytes: int, block_bytes: int
) -> None:
    content = mutated(between.join(json.dumps(datum_, **layout) for datum_ in data).encode(), changes)
    assert_alike(JsonLinesReader, content, "jsonl", split_bytes, block_bytes)


@pytest.mark.parametrize(
    ("text", "splits"),
    [
        (json.dumps([ROW] * 40), 10),
        (json.dumps({"rows": [ROW] * 40}, indent=2), 10),
        (json.dumps([ROW | {"text": '}, {"[\\'}] * 40), 10),
        (json.dumps([ROW | {"note": [{"a": [{}, {}]}]}] * 40), 10),
        (json.dumps([ROW | {"note": "x" * 9000}]), 2),
        (json.dumps([ROW] * 4) + " " * 4000, 1),
        ("[" + " " * 4000 + "]", 1),
    ],
    ids=["compact", "pymilvus", "brackets in texts", "nested", "one long row", "a long rest", "no rows"],
)
def test_json_is_cut_behind_rows(text: str, splits: int) -> None:
    expected, _ = outcome(JsonReader(), text.encode(), "json", WHOLE)
    found, cuts = outcome(JsonReader(), text.encode(), "json", len(text) // 10)
    assert found == expected
    assert cuts == splits


@pytest.mark.parametrize(
    ("reader", "text"), [(JsonReader(), json.dumps([ROW] * 9)), (CsvReader(), "id,vector\n" * 9)]
)
def test_a_look_through_a_file_can_be_stopped(tmp_path: Path, reader: Reader, text: str) -> None:
    path = tmp_path / "data"
    path.write_text(text)
    source = open_source(Location(uri=path.as_uri(), name=path.name, size=len(text)))
    survey = reader.plan(ReadRequest(sources=[source], schema=SCHEMA, batch_bytes=1 << 20), 20)
    assert not isinstance(survey, Sequence)

    def stop(done: int) -> None:
        raise TaskCancelled(f"stopped at {done}")

    with pytest.raises(TaskCancelled, match="stopped at 0"):
        survey.scan(source, survey.spans[1], stop)


def test_a_string_that_is_never_closed_is_not_cut() -> None:
    text = json.dumps([ROW] * 20)[:-1] + ', {"text": "' + json.dumps([ROW] * 20)
    found, cuts = outcome(JsonReader(), text.encode(), "json", 40)
    assert "row 20" in found
    assert 5 < cuts < 25


def test_a_row_deeper_than_the_survey_follows_is_not_cut_within() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    text = json.dumps([ROW | {"note": deep}, *[ROW] * 20])
    expected, _ = outcome(JsonReader(), text.encode(), "json", WHOLE)
    assert outcome(JsonReader(), text.encode(), "json", 10)[0] == expected


cells = st.sampled_from(
    [
        "",
        "a",
        '"a"',
        '"a,""b"""',
        '"x\ny"',
        '"x\r\ny"',
        '"\n\n"',
        '"é "',
        '"1"',
        "2",
        '"[1, 2]"',
        '"[1]"',
        "null",
        '"1e40"',
    ]
)
lines = st.tuples(st.sampled_from(["1", '"2"', "x"]), st.just('"[0.5, 1]"') | cells, cells, cells).map(",".join)


@settings(max_examples=examples(60, 200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(lines, max_size=12),
    st.sampled_from(["id,vector,text,note", '"id","vector","text","other\n"', "\ufeffid,vector,text,note"]),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    mutations,
    st.integers(1, 200),
    st.integers(1, 64),
)
@example([], "id,vector,text,note", "", [(1.0, "insert", b'\na\r",\n')], 1, 1)
def test_csv(data: list[str], header: str, between: str, changes: Any, split_bytes: int, block_bytes: int) -> None:
    content = mutated(between.join([header, *data]).encode(), changes)
    assert_alike(CsvReader, content, "csv", split_bytes, block_bytes)


def test_a_line_of_many_rows_has_ids_for_all_of_them() -> None:
    row = '{"id":1,"vector":[0,0]}'
    text = f"{row}\n" * 3 + row * 100 + f"\n{row}" * 3
    for splits in range(1, 12):
        found, _ = outcome(JsonLinesReader(), text.encode(), "jsonl", len(text) // splits)
        assert found == outcome(JsonLinesReader(), text.encode(), "jsonl", WHOLE)[0]


@pytest.mark.parametrize(
    ("text", "splits"),
    [
        ("id,vector\n" + '1,"[1, 2]"\n' * 40, 10),
        ("id,vector,text\r\n" + '1,"[1, 2]","a\n,""\nb"\r\n' * 40, 10),
        ("id,vector\r" + '1,"[1, 2]"\r' * 40, 10),
        ('id,vector,note\n1,"[1, 2]","[' + "1,\n" * 2000 + '1]"\n', 1),
        ('id,vector\n1,"[1, 2]' + '1,"[1, 2]\n' * 40, 10),
        ('id,vector\n1,"[1, 2]\n' + "1,2\n" * 100, 1),
    ],
    ids=["plain", "line breaks in cells", "old line ends", "one long row", "misplaced quotes", "never closed"],
)
def test_csv_is_cut_behind_rows(text: str, splits: int) -> None:
    expected, _ = outcome(CsvReader(), text.encode(), "csv", WHOLE)
    found, cuts = outcome(CsvReader(), text.encode(), "csv", len(text) // 10)
    assert found == expected
    assert cuts == splits
