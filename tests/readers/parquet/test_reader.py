"""Reading Parquet files, and what is said of those that can't be read."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.domain.jobs import JobWarning
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import DataError, SourceUnavailable
from penstock.readers.base import plan_at_once
from penstock.readers.parquet.reader import PARQUET
from penstock.readers.unknown_columns import UnknownColumns
from penstock.sources.base import Location
from penstock.sources.roots import ImportRoots
from tests.support.reading import read_all, request_for
from tests.support.s3 import S3Server

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
        Field(name="text", type=DataType.VARCHAR, max_length=1000, nullable=True),
    )
)


def rows(count: int, text: int = 20) -> pa.Table:
    random_ = random.Random(count)
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "vector": pa.array([[float(n + k) for k in range(4)] for n in range(count)], pa.list_(pa.float32())),
            "text": pa.array(
                [None if n % 7 == 0 else random_.randbytes(text // 2).hex() for n in range(count)], pa.string()
            ),
        }
    )


def written(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


def test_a_file_reads_back_equal(tmp_path: Path) -> None:
    table = rows(1000)
    file = written(tmp_path / "a.parquet", table)
    assert read_all(PARQUET.reader, request_for([file], SCHEMA)).combine_chunks() == table


def test_row_groups_are_joined_to_splits_of_about_the_bytes_asked_for(tmp_path: Path) -> None:
    table = rows(10_000)
    file = written(tmp_path / "a.parquet", table, row_group_size=100)
    request = request_for([file], SCHEMA, batch_bytes=5_000)
    plans = plan_at_once(PARQUET.reader, request, 50_000)

    assert 5 < len(plans) < 12
    assert [plan.spec["row_groups"][0] for plan in plans[1:]] == [plan.spec["row_groups"][1] for plan in plans[:-1]]
    assert sum(plan.max_rows for plan in plans) == 10_000
    assert sum(plan.size for plan in plans) <= file.stat().st_size
    assert len(plan_at_once(PARQUET.reader, request, 1)) == 100
    for split_bytes in (1, 100_000):
        assert read_all(PARQUET.reader, request, split_bytes).combine_chunks() == table


def test_batches_keep_to_their_bytes_even_where_long_texts_stand_together(tmp_path: Path) -> None:
    short, long = rows(20_000, text=0), rows(2_000, text=1000)
    file = written(tmp_path / "a.parquet", pa.concat_tables([short, long]))
    request = request_for([file], SCHEMA, batch_bytes=100_000)
    [plan] = plan_at_once(PARQUET.reader, request, 1 << 30)
    sizes = [each.batch.nbytes for each in PARQUET.reader.read(request, plan.spec)]
    assert max(sizes) <= 100_000
    assert len(sizes) < 200
    request = request_for([file], SCHEMA, batch_bytes=1)
    assert {each.batch.num_rows for each in PARQUET.reader.read(request, {"row_groups": [0, 1]})} == {1}


def test_values_packed_into_nothing_are_counted_as_what_they_unpack_to(tmp_path: Path) -> None:
    """A million equal vectors take some bytes in a dictionary, and 16 MB in Arrow."""
    table = pa.table(
        {
            "id": pa.array(np.arange(1_000_000)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4_000_000, np.float32)), 4),
        }
    )
    file = written(tmp_path / "a.parquet", table)
    request = request_for([file], SCHEMA, batch_bytes=1 << 20)
    [plan] = plan_at_once(PARQUET.reader, request, 1 << 30)
    sizes = [each.batch.nbytes for each in PARQUET.reader.read(request, plan.spec)]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) > 20_000_000


def test_types_are_handed_on_as_the_file_has_them(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),
            "vector": pa.array([[1, 2, 3, 4], [5, 6, 7, 8]], pa.list_(pa.float64(), 4)),
            "text": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    request = request_for([written(tmp_path / "a.parquet", table)], SCHEMA)
    types = read_all(PARQUET.reader, request).schema.types
    assert types == [
        pa.int32(),
        pa.list_(pa.field("element", pa.float64()), 4),
        pa.dictionary(pa.int32(), pa.string()),
    ]

    nested = CollectionSchema(fields=(*SCHEMA.fields, Field(name="sparse", type=DataType.SPARSE_FLOAT_VECTOR)))
    sparse: Any = pa.array([{"indices": [1], "values": [0.5]}, {"indices": [], "values": []}])
    request = request_for([written(tmp_path / "b.parquet", table.append_column("sparse", sparse))], nested)
    assert read_all(PARQUET.reader, request)["sparse"].to_pylist() == sparse.to_pylist()


def test_unknown_columns_are_kept_dropped_or_refused(tmp_path: Path) -> None:
    table = rows(10).append_column("id.extra", pa.array(range(10))).append_column("$meta", pa.array(["{}"] * 10))
    file = written(tmp_path / "a.parquet", table, row_group_size=5)
    request = request_for([file], SCHEMA)
    assert read_all(PARQUET.reader, request, split_bytes=1).column_names == ["id", "vector", "text"]
    message = "column 'id.extra' is not a field of the collection and was left out"
    assert request.warnings[0] == JobWarning(code="column_dropped", message=message, count=5)
    assert [warning.count for warning in request.warnings] == [5, 5, 5, 5]

    dynamic = request_for([file], CollectionSchema(fields=SCHEMA.fields, dynamic=True))
    assert read_all(PARQUET.reader, dynamic).column_names == ["id", "vector", "text", "$meta"]
    assert dynamic.warnings == []
    dropping = replace(dynamic, unknown_columns=UnknownColumns.DROP)
    assert read_all(PARQUET.reader, dropping).column_names == ["id", "vector", "text", "$meta"]
    assert [warning.message for warning in dropping.warnings] == [f"{message}, as unknown_columns=drop says"]
    with pytest.raises(DataError, match=r"the column 'id\.extra' is not a field of the collection\. The fields: id,"):
        plan_at_once(PARQUET.reader, replace(dynamic, unknown_columns=UnknownColumns.ERROR), 1000)


def test_a_file_without_rows_gives_no_batches(tmp_path: Path) -> None:
    for number, table in enumerate((rows(0), pa.table({}), pa.table({"other": pa.array([], pa.int64())}))):
        request = request_for([written(tmp_path / f"{number}.parquet", table)], SCHEMA)
        [plan] = plan_at_once(PARQUET.reader, request, 1000)
        assert plan.max_rows == 0
        assert list(PARQUET.reader.read(request, plan.spec)) == []
        assert request.warnings == []


def test_a_file_without_any_known_column(tmp_path: Path) -> None:
    request = request_for([written(tmp_path / "a.parquet", pa.table({"Id": [1]}))], SCHEMA)
    with pytest.raises(
        DataError, match=r"no column of the file is a field.*Name the columns as the fields: id, vector"
    ):
        plan_at_once(PARQUET.reader, request, 1000)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    request = request_for([written(tmp_path / "a.parquet", table)], SCHEMA)
    with pytest.raises(DataError, match=r"field 'id': there is multi field with name: id. Give each column"):
        plan_at_once(PARQUET.reader, request, 1000)


def broken(tmp_path: Path, content: bytes) -> str:
    file = tmp_path / "bad.parquet"
    file.write_bytes(content)
    request = request_for([file], SCHEMA)
    with pytest.raises(DataError) as raised:
        read_all(PARQUET.reader, request)
    assert raised.value.file == "bad.parquet"
    assert raised.value.remedy
    return raised.value.rule


def test_broken_files_say_what_is_wrong(tmp_path: Path) -> None:
    good = written(tmp_path / "good.parquet", rows(1000)).read_bytes()
    assert broken(tmp_path, b"") == "the file is empty (0 bytes)"
    assert broken(tmp_path, b"id,vector\n1,2\n") == "the file is not a Parquet file"
    assert broken(tmp_path, b"PAR1") == "the Parquet file is cut off: its footer is missing after 4 bytes"
    for part in (len(good) // 2, len(good) - 1):
        assert "is cut off: its footer is missing" in broken(tmp_path, good[:part])
    huge = (2**31 - 1).to_bytes(4, "little")
    assert "its footer claims 2147483647 bytes" in broken(tmp_path, good[:-8] + huge + b"PAR1")
    assert "can't be read" in broken(tmp_path, good[:-200] + bytes(192) + good[-8:])
    assert broken(tmp_path, good[:-4] + b"PARE") == "the Parquet file is encrypted"


def test_damage_in_the_middle_names_the_row(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "a.parquet", rows(1000), row_group_size=500).read_bytes())
    start = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1).column(0).dictionary_page_offset
    assert start
    content[start : start + 50] = b"\xff" * 50
    (tmp_path / "a.parquet").write_bytes(content)
    request = request_for([tmp_path / "a.parquet"], SCHEMA)
    [plan] = plan_at_once(PARQUET.reader, request, 1 << 30)
    batches = PARQUET.reader.read(request, plan.spec)
    assert next(batches).batch.num_rows == 500
    with pytest.raises(
        DataError, match=r"file 'a\.parquet', row 500: the Parquet file can't be read from this row on"
    ):
        next(batches)


def test_damaged_files_never_end_in_anything_but_a_clear_error(tmp_path: Path) -> None:
    good = written(tmp_path / "good.parquet", rows(200), row_group_size=100, compression="none").read_bytes()
    random_ = random.Random(7)
    for number in range(300):
        content = bytearray(good)
        for _ in range(random_.choice([1, 3, 30])):
            content[random_.randrange(len(content))] = random_.randrange(256)
        # Another one each time: ext4 writes a file that replaces another one to the disk at once.
        bad = tmp_path / f"{number}.parquet"
        bad.write_bytes(content)
        with suppress(DataError):
            read_all(PARQUET.reader, request_for([bad], SCHEMA))


def test_an_encrypted_file_is_told(tmp_path: Path) -> None:
    import pyarrow.parquet.encryption as pe

    class Keys(pe.KmsClient):
        def __init__(self, _: object) -> None:
            super().__init__()

        def wrap_key(self, key: bytes, _: str) -> bytes:  # type: ignore[override]
            return key.hex().encode()

        def unwrap_key(self, key: bytes, _: str) -> bytes:  # type: ignore[override]
            return bytes.fromhex(key.decode())

    factory = pe.CryptoFactory(Keys)
    for plain_footer in (True, False):
        config = pe.EncryptionConfiguration(
            "footer", column_keys={"k": ["id", "text"]}, plaintext_footer=plain_footer
        )
        properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
        with pq.ParquetWriter(tmp_path / "a.parquet", rows(1).schema, encryption_properties=properties) as writer:
            writer.write_table(rows(10))
        assert broken(tmp_path, (tmp_path / "a.parquet").read_bytes()) == "the Parquet file is encrypted"


def test_a_file_in_an_object_store(s3: S3Server, tmp_path: Path) -> None:
    table = rows(50_000)
    bucket = s3.make_bucket()
    s3.put(bucket, "a.parquet", written(tmp_path / "a.parquet", table, row_group_size=20_000).read_bytes())
    roots = ImportRoots([f"s3://{bucket}"], s3.stores)
    request = request_for(roots.locate("a.parquet"), SCHEMA, batch_bytes=200_000)
    assert read_all(PARQUET.reader, request, 1_000_000).combine_chunks() == table


NOWHERE = {"endpoint": "http://127.0.0.1:1", "access_key_id": "key", "secret_access_key": "secret"}


def test_a_store_that_fails_is_not_taken_for_a_broken_file() -> None:
    down = Location(uri="s3://b/a.parquet", name="a.parquet", size=1000, credentials=NOWHERE)
    with pytest.raises(SourceUnavailable):
        plan_at_once(PARQUET.reader, request_for([down], SCHEMA), 1000)


MEASURE = """
import resource, sys
from pathlib import Path
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.readers.base import plan_at_once
from penstock.readers.unknown_columns import UnknownColumns
from penstock.readers.parquet.reader import PARQUET
from tests.support.reading import request_for

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

schema = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=768),
    )
)
request = request_for([Path(sys.argv[1])], schema, batch_bytes=4 << 20)
before, rows = peak(), 0
for plan in plan_at_once(PARQUET.reader, request, 1 << 30):
    for each in PARQUET.reader.read(request, plan.spec):
        rows += each.batch.num_rows
print(rows, peak() - before)
"""


def test_memory_does_not_grow_with_a_row_group(tmp_path: Path) -> None:
    """A row group of 120 MB takes less than 80 MiB to read."""
    values = np.random.default_rng(1).random(40_000 * 768, np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), 768).cast(pa.list_(pa.float32()))
    written(tmp_path / "big.parquet", pa.table({"id": pa.array(np.arange(40_000)), "vector": vectors}))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "big.parquet")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    count, grown = map(int, done.stdout.split())
    assert count == 40_000
    assert grown < 80
