"""``penstock convert`` in use."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.support.column_files import COLUMN_FILES, table_of
from tests.support.s3 import S3Server

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ]
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    pq.write_table(pa.table({"id": [1, 2, 3], "vector": [[0.0, 1.0]] * 3}), tmp_path / "in.parquet")
    return tmp_path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["convert", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_files_become_import_files(files: Path) -> None:
    code, out, told = run(
        files / "in.parquet", "--schema", files / "schema.json", "--out", files / "out", "--type", "jsonl"
    )
    assert code == 0, told
    written = Path(out.strip())
    assert json.loads(written.read_text().splitlines()[0]) == {"id": 1, "vector": [0.0, 1.0]}
    assert told.strip() == "3 rows in 1 file"


@pytest.mark.parametrize(
    ("options", "rows"),
    [((), '{"id": 1, "vector": [0, 1]}\n'), (("--stdin-type", "csv"), 'id,vector\n1,"[0, 1]"\n')],
)
def test_rows_from_standard_input(files: Path, options: tuple[str, ...], rows: str) -> None:
    arguments = ["convert", "-", "--schema", str(files / "schema.json"), "--out", str(files / "out"), *options]
    done = CliRunner().invoke(cli, arguments, input=rows)
    assert done.exit_code == 0, done.output
    assert pq.read_table(done.stdout.strip()).to_pylist() == [{"id": 1, "vector": [0.0, 1.0]}]
    assert CliRunner().invoke(cli, [*arguments, "-"], input=rows).exit_code == 2


def test_a_chunk_size_and_numpy_sets(files: Path) -> None:
    code, out, told = run(
        files / "in.parquet", "--schema", files / "schema.json", "--out", files / "out", "--type", "numpy",
        "--chunk-size", "20",
    )  # fmt: skip
    assert code == 0, told
    assert [[Path(part).name for part in line.split(",")] for line in out.splitlines()] == [
        ["id.npy", "vector.npy"]
    ] * 2


def test_to_a_bucket(files: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", [str(files / "penstock")])
    bucket = s3.make_bucket()
    code, out, told = run(files / "in.parquet", "--schema", files / "schema.json", "--out", f"s3://{bucket}/a/b")
    assert code == 0, told
    assert out.startswith("a/b/")


def test_columns_are_renamed(files: Path) -> None:
    (files / "other.json").write_text(json.dumps(SCHEMA).replace('"vector"', '"emb"'))
    code, _, told = run(
        files / "in.parquet", "--schema", files / "other.json", "--out", files / "out",
        "--column", "id", "--column", "emb=vector",
    )  # fmt: skip
    assert code == 0, told


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--out", "out"], "Give either --schema FILE or --collection NAME"),
        (["--out", "out", "--schema", "{schema}", "--collection", "docs"], "Give either --schema FILE or"),
        (["--out", "out", "--schema", "nowhere.json"], "File 'nowhere.json' does not exist"),
        (["--out", "gs://bucket/x", "--schema", "{schema}"], "gs:// can't be written"),
        (["--out", "s3:///x", "--schema", "{schema}"], "name a bucket"),
        (["--out", "{out}", "--schema", "{schema}", "--chunk-size", "big"], "is not a size"),
        (["--out", "{out}", "--schema", "{schema}", "--chunk-size", "0"], "is not a size"),
        (["--out", "{out}", "--collection", "docs", "--url", "http://127.0.0.1:9"], "Is the server running?"),
    ],
)
def test_what_goes_wrong_is_told(files: Path, arguments: list[str], text: str) -> None:
    filled = [argument.format(schema=files / "schema.json", out=files / "out") for argument in arguments]
    code, _, told = run(files / "in.parquet", *filled)
    assert code != 0
    assert text in told


def test_a_schema_in_toml(files: Path) -> None:
    fields = (
        '[[fields]]\nfieldName = "id"\ndataType = "Int64"\nisPrimary = true\n'
        '[[fields]]\nfieldName = "vector"\ndataType = "FloatVector"\nelementTypeParams = {dim = 2}\n'
    )
    (files / "schema.toml").write_text(fields)
    code, _, told = run(files / "in.parquet", "--schema", files / "schema.toml", "--out", files / "out")
    assert (code, told.strip()) == (0, "3 rows in 1 file")


def test_a_bad_row_is_told(files: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "vector": [[0.0, 1.0], [0.0]]}), files / "bad.parquet")
    code, _, told = run(files / "bad.parquet", "--schema", files / "schema.json", "--out", files / "out")
    assert code == 1
    assert "bad.parquet', row 1, field 'vector': the vector has 1 dimensions, the field has 2" in told


@pytest.mark.parametrize("extension", [*COLUMN_FILES, "jsonl.gz", "tsv.zst"])
def test_all_formats_are_converted(files: Path, extension: str) -> None:
    table = table_of(3)
    lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
    if extension == "jsonl.gz":
        content = gzip.compress(lines)
    elif extension == "tsv.zst":
        cells = [f'{row["id"]}\t"{row["vector"]}"\t{row["text"]}\n' for row in table.to_pylist()]
        content = bytes(pa.compress("".join(["id\tvector\ttext\n", *cells]).encode(), codec="zstd", asbytes=True))
    else:
        content = COLUMN_FILES[extension](table, 2)
    path = files / f"in.{extension}"
    path.write_bytes(content)
    to = ("--schema", files / "schema.json", "--out", files / "out", "--type", "jsonl")
    code, _, told = run(path, *to)
    assert code == 1
    assert "text" in told
    code, out, told = run(path, *to, "--column", "id", "--column", "vector")
    assert code == 0, told
    rows = [json.loads(line) for line in Path(out.strip()).read_text().splitlines()]
    assert rows == [{"id": number, "vector": [number, number / 2]} for number in range(3)]
