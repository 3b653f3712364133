"""Reading sets of ``.npy`` files, and what is said of those that can't be read."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError
from penstock.readers.base import ReadRequest, SampleRequest, plan_at_once
from penstock.readers.numpy import NUMPY
from penstock.readers.unknown_columns import UnknownColumns
from penstock.sources.roots import ImportRoots
from tests.support.reading import read_all, request_for
from tests.support.s3 import S3Server

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
        Field(name="text", type=DataType.VARCHAR, max_length=100),
    )
)


def saved(folder: Path, arrays: Mapping[str, Any]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [folder / f"{name}.npy" for name in arrays]


def arrays(rows: int) -> dict[str, Any]:
    return {
        "id": np.arange(rows),
        "vector": np.arange(rows * 4, dtype=np.float32).reshape(rows, 4),
        "text": np.array([f"text {n}" for n in range(rows)]),
    }


def read(folder: Path, arrays: Mapping[str, Any], **options: Any) -> pa.Table:
    return read_all(NUMPY.reader, request_for(saved(folder, arrays), SCHEMA, **options)).combine_chunks()


def test_a_set_reads_back_equal_whatever_the_splits_and_batches(tmp_path: Path) -> None:
    values = arrays(1000)
    request = request_for(saved(tmp_path, values), SCHEMA, batch_bytes=1000)
    plans = plan_at_once(NUMPY.reader, request, 10_000)
    assert len(plans) > 3
    assert sum(plan.max_rows for plan in plans) == 1000
    table = read_all(NUMPY.reader, request, 10_000)
    assert table.schema.types == [pa.int64(), pa.list_(pa.float32(), 4), pa.string()]
    assert table["id"].to_numpy().tolist() == values["id"].tolist()
    assert table["vector"].to_pylist() == values["vector"].tolist()
    assert table["text"].to_pylist() == values["text"].tolist()


def test_fortran_order_and_byte_order_are_honoured(tmp_path: Path) -> None:
    values = arrays(1000)
    plain = read(tmp_path, values)
    turned = {"id": values["id"].astype(">i8"), "vector": np.asfortranarray(values["vector"].astype(">f4"))}
    turned["text"] = values["text"].astype(">U9")
    assert read(tmp_path, turned, batch_bytes=1000) == plain


@pytest.mark.parametrize(
    ("array", "arrow"),
    [
        (np.array([True, False, True]), pa.array([True, False, True])),
        (np.array([-1, 2, 3], np.int8), pa.array([-1, 2, 3], pa.int8())),
        (np.array([1, 2, 2**64 - 1], np.uint64), pa.array([1, 2, 2**64 - 1], pa.uint64())),
        (np.array([1.5, -2, 0], np.float16), pa.array([1.5, -2, 0], pa.float16())),
        (np.array([1.5, 1e300, 0]), pa.array([1.5, 1e300, 0])),
        (np.array([[1, 2], [3, 4], [5, 6]], np.uint8), pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.uint8(), 2))),
        (np.array([[1.5], [2.5], [3.5]], np.float16), pa.array([[1.5], [2.5], [3.5]], pa.list_(pa.float16(), 1))),
        (
            np.array([[1.5, 3e38], [2.0, 0], [1, 1]], ml_dtypes.bfloat16),
            pa.array([[1.5, float(ml_dtypes.bfloat16(3e38))], [2.0, 0], [1, 1]], pa.list_(pa.float32(), 2)),
        ),
        (np.array(["é", "", "😀 x"]), pa.array(["é", "", "😀 x"])),
        (np.array(["é".encode(), b"", b"abc"]), pa.array(["é", "", "abc"])),
    ],
)
def test_types(tmp_path: Path, array: Any, arrow: Any) -> None:
    schema = CollectionSchema(fields=(*SCHEMA.fields, Field(name="x", type=DataType.JSON)))
    column = read_all(NUMPY.reader, request_for(saved(tmp_path, arrays(3) | {"x": array}), schema))[
        "x"
    ].combine_chunks()
    assert column.type == arrow.type
    assert column.to_pylist() == arrow.to_pylist()


def test_extensions_in_any_case_and_files_of_python_2(tmp_path: Path) -> None:
    saved(tmp_path, arrays(3))
    (tmp_path / "id.npy").rename(tmp_path / "id.NPY")
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L), }\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + np.zeros(12, np.float32).tobytes()
    (tmp_path / "vector.npy").write_bytes(content)
    request = request_for([tmp_path / "id.NPY", tmp_path / "vector.npy", tmp_path / "text.npy"], SCHEMA)
    assert read_all(NUMPY.reader, request).to_pylist()[2] == {"id": 2, "vector": [0, 0, 0, 0], "text": "text 2"}


def test_files_of_no_field_are_told(tmp_path: Path) -> None:
    values = arrays(10) | {"extra": np.array([None]), "$meta": np.array(["{}"] * 10)}
    request = request_for(saved(tmp_path, values), SCHEMA)
    assert read_all(NUMPY.reader, request).column_names == ["id", "vector", "text"]
    assert request.warnings[0] == JobWarning(
        code="column_dropped", message="file 'extra.npy' names no field of the collection and was left out", count=10
    )
    dynamic = request_for(saved(tmp_path, values), CollectionSchema(fields=SCHEMA.fields, dynamic=True))
    dropping = replace(dynamic, unknown_columns=UnknownColumns.DROP)
    assert read_all(NUMPY.reader, dropping).column_names == ["id", "vector", "text", "$meta"]
    assert len(dropping.warnings) == 1
    with pytest.raises(DataError, match=r"the file 'extra' is not a field of the collection"):
        plan_at_once(NUMPY.reader, replace(dynamic, unknown_columns=UnknownColumns.ERROR), 1000)


def test_files_of_no_field_are_dynamic_values(tmp_path: Path) -> None:
    extra = np.arange(6, dtype=np.float32).reshape(3, 2)
    values = arrays(3) | {"extra": extra, "note": np.array(["a\0b", "\\", "é"]), "$meta": np.array(['{"k": 1}'] * 3)}
    request = request_for(
        saved(tmp_path, values), CollectionSchema(fields=SCHEMA.fields, dynamic=True), batch_bytes=1
    )
    table = read_all(NUMPY.reader, request, 1)
    assert [json.loads(str(each)) for each in table["$meta"].to_pylist()] == [
        {"extra": extra[row].tolist(), "note": note, "k": 1} for row, note in enumerate(["a\0b", "\\", "é"])
    ]


def test_a_missing_file_tells_the_files_and_the_nearest(tmp_path: Path) -> None:
    values = {"id": np.arange(3), "Vector": np.zeros((3, 4), np.float32)}
    request = request_for(saved(tmp_path, values), SCHEMA)
    with pytest.raises(
        DataError, match=r"'vector' is missed\. The file's columns: id, Vector\. Did you mean 'Vector'\?"
    ):
        plan_at_once(NUMPY.reader, request, 1000)


def test_nuls_within_texts_are_kept(tmp_path: Path) -> None:
    """NumPy itself takes those at the end for padding."""
    for texts in (np.array(["a\0b", "\0é", "c\0"]), np.array([b"a\0b", "\0é".encode(), b"c\0"])):
        assert read(tmp_path, arrays(3) | {"text": texts})["text"].to_pylist() == ["a\0b", "\0é", "c"]


def test_a_set_without_rows(tmp_path: Path) -> None:
    request = request_for(saved(tmp_path, arrays(0) | {"text": np.array([], "U5")}), SCHEMA)
    [plan] = plan_at_once(NUMPY.reader, request, 1000)
    assert plan.max_rows == 0
    assert list(NUMPY.reader.read(request, plan.spec)) == []
    sample = NUMPY.reader.sample(SampleRequest(sources=request.sources))
    assert (sample.rows, sample.is_complete, sample.arrow["text"].type) == (0, True, pa.string())


def refused(request: ReadRequest) -> DataError:
    with pytest.raises(DataError) as raised:
        read_all(NUMPY.reader, request)
    assert raised.value.file
    assert raised.value.remedy
    return raised.value


def test_columns_of_different_length(tmp_path: Path) -> None:
    error = refused(request_for(saved(tmp_path, arrays(10) | {"text": np.array(["a"])}), SCHEMA))
    assert error.rule == "imported rows are not aligned, field 'id' with '10' rows, field 'text' with '1' rows"
    assert error.file == "text.npy"


def test_two_files_for_one_field(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a", arrays(3)), saved(tmp_path / "b", arrays(3))
    assert "two files are named 'id'" in refused(request_for([*first, second[0]], SCHEMA)).rule


def test_no_file_is_named_as_a_field(tmp_path: Path) -> None:
    error = refused(request_for(saved(tmp_path, {"ID": np.arange(3)}), SCHEMA))
    assert error.remedy == "Name the files as the fields: id.npy, vector.npy, text.npy"


@pytest.mark.parametrize(
    ("array", "rule"),
    [
        (np.array(["a", None]), "Python objects, which are never unpickled"),
        (np.zeros(2, "M8[s]"), "arrays of type 'datetime64[s]' can't be imported"),
        (np.zeros(2, "c8"), "'complex64' can't"),
        (np.zeros(2, np.longdouble), "'float128' can't"),
        (np.zeros(2, [("a", "i4")]), "can't be imported"),
        (np.zeros(2, "V8"), "can't be imported"),
        (np.array(5), "of shape () and type 'int64' can't"),
        (np.zeros((2, 2, 2)), "of shape (2, 2, 2)"),
        (np.zeros((2, 0)), "of shape (2, 0)"),
        (np.array([["a", "b"]]), "of shape (1, 2) and type '<U1'"),
        (np.zeros((1, (64 << 20) + 1), np.int8), "a row takes 67108865 bytes"),
    ],
)
def test_arrays_that_are_no_columns(tmp_path: Path, array: Any, rule: str) -> None:
    error = refused(request_for(saved(tmp_path, {"id": array}), SCHEMA))
    assert rule in error.rule
    assert (error.file, error.field) == ("id.npy", "id")


@pytest.mark.parametrize("texts", [np.array([b"a", b"b\xff", b"c"]), np.array([65, 0xD800, 67], "u4").view("U1")])
def test_texts_that_are_not_unicode_name_the_row(tmp_path: Path, texts: Any) -> None:
    error = refused(request_for(saved(tmp_path, arrays(3) | {"text": texts}), SCHEMA, batch_bytes=1))
    assert (error.file, error.row, error.field) == ("text.npy", 1, "text")


def with_header(header: bytes, version: bytes = b"\x01\x00", length: int | None = None) -> bytes:
    size = (len(header) if length is None else length).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + header + bytes(100)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUM",
        b"id,vector\n1,2\n" * 10,
        b"\x93NUMPY\x09\x00" + bytes(200),
        with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3000000000000,), }"),
        with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }"),
        with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"),
        with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }"),
        with_header(b"{'descr': '|S0', 'fortran_order': False, 'shape': (4611686018427387904,), }"),
        with_header(b"{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (3,), }"),
        with_header(b"{'descr': ('<U3',), 'fortran_order': False, 'shape': (3,), }"),
        with_header(b"{'descr': '<f4,,<i4', 'fortran_order': False, 'shape': (3,), }"),
        with_header(b"(" * 9000),
        with_header(b"[" * 60_000, b"\x02\x00"),
        with_header(b"{}", b"\x02\x00", length=2**32 - 1),
        with_header(b"{1: 2, 'descr': '<f4'}"),
        with_header(b"\xff\xfe"),
        with_header(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", b"\x03\x00"),
    ],
)
def test_hostile_headers_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "id.npy").write_bytes(content)
    refused(request_for([tmp_path / "id.npy"], SCHEMA))


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    file = saved(tmp_path, {"id": np.arange(1000)})[0]
    file.write_bytes(file.read_bytes()[:-1])
    assert (
        "is cut off: an array of shape (1000,) takes 8128 bytes, it has 8127"
        in refused(request_for([file], SCHEMA)).rule
    )


def test_damaged_files_never_end_in_anything_but_a_clear_error(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array(["text", "b", "c"]))
    random_ = random.Random(7)
    for number in range(500):
        content = bytearray(stream.getvalue())
        for _ in range(random_.choice([1, 3, 10])):
            content[random_.randrange(90 if random_.random() < 0.8 else len(content))] = random_.randrange(256)
        # Another folder each time: ext4 writes a file that replaces another one to the disk at once.
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "text.npy").write_bytes(content)
        with suppress(DataError):
            read_all(NUMPY.reader, request_for([folder / "text.npy"], SCHEMA))


def test_a_set_in_an_object_store(s3: S3Server, tmp_path: Path) -> None:
    values = arrays(20_000)
    values["vector"] = np.asfortranarray(values["vector"])
    local = read(tmp_path, values)
    bucket = s3.make_bucket()
    for file in tmp_path.iterdir():
        s3.put(bucket, f"set/{file.name}", file.read_bytes())
    found = ImportRoots([f"s3://{bucket}"], s3.stores).locate("set/")
    request = request_for(found, SCHEMA, batch_bytes=100_000)
    remote = read_all(NUMPY.reader, request, 500_000).combine_chunks()
    assert remote.select(local.column_names) == local


class Harm:
    """What unpickling would run."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def test_a_pickle_in_a_file_is_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for name, values in (("vector", [Harm(mark), Harm(mark)]), ("text", [Harm(mark), None])):
        np.save(tmp_path / f"{name}.npy", np.array(values, dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match="never unpickled"):
            plan_at_once(NUMPY.reader, request_for([tmp_path / f"{name}.npy"], SCHEMA), 1 << 20)
    assert not mark.exists()
