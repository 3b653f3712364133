"""HDF5: which datasets are columns, what their types may be, and what lies outside of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.readers.base import ReadRequest
from penstock.readers.columnar import ColumnarReader
from penstock.readers.hdf5 import HDF5
from tests.readers.test_column_formats import DYNAMIC, failure, read_bytes, values
from tests.support.column_files import hdf5_file
from tests.support.in_memory import BytesSource

VECTORS = np.arange(20, dtype=np.float32).reshape(10, 2)
KEYS = np.arange(10)
BENCHMARK = {"distances": np.zeros((4, 100), np.float32), "neighbors": np.zeros((4, 100), np.int32)}
BENCHMARK |= {"test": VECTORS[:4], "train": VECTORS}
ALONE = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="embedding", type=DataType.FLOAT_VECTOR, dim=2),
    ),
    auto_id=True,
)


def test_the_training_vectors_of_a_benchmark_are_imported() -> None:
    found = read_bytes("a.hdf5", hdf5_file(**BENCHMARK), ALONE)
    assert [row["embedding"] for row in found.rows] == VECTORS.tolist()
    [warning] = found.warnings
    assert warning.message == (
        "datasets of the HDF5 file were left out: distances (4 rows), neighbors (4 rows), test (4 rows); "
        "imported: train"
    )


def test_an_option_chooses_the_data_sets() -> None:
    found = read_bytes("a.h5", hdf5_file(**BENCHMARK), ALONE, options={"datasets": "test"})
    assert [row["embedding"] for row in found.rows] == VECTORS[:4].tolist()
    content = hdf5_file(id=KEYS, vector=VECTORS, text=["a"] * 10, more=KEYS)
    found = read_bytes("a.h5", content, DYNAMIC, options={"datasets": "id, vector"})
    assert values(found.rows, "vector", "$meta") == [[vector, "{}"] for vector in VECTORS.tolist()]
    error = failure("a.h5", content, options={"datasets": "vectors"})
    assert error.field == "vectors"
    assert error.remedy == "Its datasets: id (10 rows), more (10 rows), text (10 rows), vector (10 rows)"


def test_fields_choose_the_data_sets_by_their_names() -> None:
    found = read_bytes("a.h5", hdf5_file(id=KEYS, vector=VECTORS, centroids=VECTORS[:3]))
    assert values(found.rows, "id", "vector") == [
        list(pair) for pair in zip(range(10), VECTORS.tolist(), strict=True)
    ]
    assert "centroids (3 rows)" in found.warnings[0].message


def test_unequal_lengths_are_listed() -> None:
    error = failure("a.h5", hdf5_file(id=KEYS, vector=VECTORS[:4]))
    assert error.rule == "the datasets differ in their numbers of rows: id (10 rows), vector (4 rows)"
    assert error.remedy == "Choose those of one length with the option datasets, such as datasets=id,vector"
    assert "a (10 rows), b (4 rows)" in failure("a.h5", hdf5_file(a=VECTORS, b=VECTORS[:4]), ALONE).rule


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "<i8", ">i2"])
def test_numbers_of_all_types(dtype: str) -> None:
    found = read_bytes("a.h5", hdf5_file(id=KEYS, vector=VECTORS.astype(dtype)))
    assert [row["vector"] for row in found.rows] == VECTORS.tolist()


LAYOUTS: dict[str, dict[str, Any]] = {
    "one after the other": {},
    "in chunks": {"chunks": (3, 1)},
    "compressed": {"chunks": (3, 2), "compression": "gzip"},
    "growing": {"maxshape": (None, 2)},
    "with another value for rows that were never written": {"fillvalue": 7},
}


@pytest.mark.parametrize("userblock", [0, 1024])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i2", ">i8", "u1"])
def test_values_are_those_that_hdf5_reads(tmp_path: Path, dtype: str, layout: str, userblock: int) -> None:
    """Those that lie in the file as in memory are read without HDF5."""
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=userblock) as file:
        file["id"] = KEYS
        vectors = file.create_dataset("vector", (10, 2), dtype, **LAYOUTS[layout])
        file["later"] = KEYS
        vectors[:6] = VECTORS[:6]
    with h5py.File(tmp_path / "a.h5") as file:
        expected = file["vector"][:].tolist()
    found = read_bytes("a.h5", (tmp_path / "a.h5").read_bytes(), split_bytes=1)
    assert values(found.rows, "id", "vector") == [list(pair) for pair in zip(range(10), expected, strict=True)]


def test_numbers_of_fewer_bits_than_their_bytes(tmp_path: Path) -> None:
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(20)
    kind.set_offset(4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["vector"] = VECTORS
        space = h5py.h5s.create_simple((10,))
        h5py.Dataset(h5py.h5d.create(file.id, b"id", kind, space))[...] = KEYS - 5
    found = read_bytes("a.h5", (tmp_path / "a.h5").read_bytes())
    assert [row["id"] for row in found.rows] == (KEYS - 5).tolist()


def test_texts_and_values_of_varying_length() -> None:
    lists = np.empty(10, object)
    lists[:] = [np.arange(number) for number in range(10)]
    for texts in (["é"] * 10, np.array(["é".encode()] * 10), np.array(["é".encode()] * 10, "S8")):
        content = hdf5_file(
            id=KEYS,
            vector=VECTORS,
            text=texts,
            flags=KEYS > 4,
            lists=(lists, {"dtype": h5py.vlen_dtype(np.int64)}),
        )
        found = read_bytes("a.h5", content, DYNAMIC)
        assert found.rows[2]["text"] == "é"
        assert found.rows[2]["$meta"] == '{"flags":false,"lists":[0,1]}'


@pytest.mark.parametrize(
    "values", [np.zeros((10, 2, 2)), np.zeros(10, "c8"), np.zeros(10, "g"), np.zeros(10, [("a", "i4")])]
)
def test_types_that_cannot_be_imported_are_named(values: Any) -> None:
    error = failure("a.h5", hdf5_file(id=KEYS, vector=values))
    assert (error.field, "can't be imported" in error.rule) == ("vector", True)


def test_nothing_outside_of_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "other.h5").write_bytes(hdf5_file(vector=VECTORS))
    (tmp_path / "raw").write_bytes(VECTORS.tobytes())
    layout = h5py.VirtualLayout((10, 2), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "vector", (10, 2))
    for number in range(4):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file["id"] = KEYS
            match number:
                case 0:
                    file.create_virtual_dataset("vector", layout)
                case 1:
                    file.create_dataset("vector", (10, 2), "f4", external=[(str(tmp_path / "raw"), 0, 80)])
                case 2:
                    file["vector"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/vector")
                case _:
                    file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
                    file["vector"] = h5py.SoftLink("/link/vector")
        error = failure("a.h5", path.read_bytes())
        assert error.field == "vector"
        assert error.rule in ("the dataset 'vector' lies in another file, which is not read", MISSED)


MISSED = "value of field 'vector' is missed"


def test_values_that_were_never_written_are_a_bomb(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("id", (10**9,), "i8", chunks=(1000,))
        file.create_dataset("vector", (10**9, 2), "f4", chunks=(1000, 2))
    assert "decode to more than 1,000 times" in failure("a.h5", (tmp_path / "a.h5").read_bytes()).rule


def test_large_chunks_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["id"] = KEYS
        file.create_dataset("vector", (10, 2), "f4", chunks=(10**7, 2), maxshape=(None, 2), compression="gzip")
    error = failure("a.h5", (tmp_path / "a.h5").read_bytes())
    assert error.remedy == "Write it with smaller chunks"


def test_rows_of_a_large_tile_are_read_in_steps(tmp_path: Path) -> None:
    keys = np.arange(150_000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("id", data=keys, chunks=(150_000,))
        file["vector"] = np.repeat(keys.astype(np.float32), 128).reshape(-1, 128)
    request = ReadRequest(
        sources=[BytesSource("a.h5", (tmp_path / "a.h5").read_bytes())], schema=ALONE, batch_bytes=1 << 20
    )
    reader = HDF5.reader
    assert isinstance(reader, ColumnarReader)
    with reader.open_file(request) as opened:
        assert len(opened.chunks) == 1
        batches = list(opened.batches(0, ["id", "vector"]))
    assert max(batch.nbytes for batch in batches) <= 8 << 20
    assert pa.Table.from_batches(batches)["id"].to_pylist() == keys.tolist()


def test_without_the_extra_the_error_says_how_to_install_it() -> None:
    program = """
import sys
sys.modules["h5py"] = sys.modules["fastavro"] = None
from importlib import util
find = util.find_spec
util.find_spec = lambda name: None if name in ("h5py", "fastavro") else find(name)
import penstock.extras
penstock.extras.find_spec = util.find_spec
from penstock.errors import MissingExtra
from tests.support.in_memory import BytesSource
from penstock.readers.base import ReadRequest
from penstock.readers.formats import format_of
for name in ("a.h5", "a.avro"):
    try:
        format_of(name).reader.plan(ReadRequest(sources=[BytesSource(name, b"x")], schema=None, batch_bytes=1), 1)
    except MissingExtra as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"file {file!r}: the reader of {title} is not installed (no module {module}): "
        f"pip install 'penstock-import[{extra}]'"
        for file, title, module, extra in (("a.h5", "HDF5", "h5py", "hdf5"), ("a.avro", "Avro", "fastavro", "avro"))
    ]
