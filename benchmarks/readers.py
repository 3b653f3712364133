"""Processor time of reading and checking files, without a server and a store.

    python -m benchmarks.readers [CASE…]
    PYTHONPATH=../other-checkout/src python -m benchmarks.readers    # another version, for pairs in turns

Prints the least user time of three reads per case, in seconds: vectors of 768 dimensions in every format, rows of
all kinds of scalars with eight dynamic values. ``renamed`` maps both columns of the vectors' files to fields of other
names, ``cast`` the key to a VarChar, too: each should take less than 5 % more. ``path`` takes a number, and a vector,
out of a column of JSON text.
"""

from __future__ import annotations

import csv
import json
import random
import resource
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.files import WRITERS
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.imports.good_rows import BatchConformer
from penstock.imports.mapped_batches import MappedBatches
from penstock.imports.mapping_options import column_mapping_of
from penstock.readers.base import FormatSpec, ReadRequest, plan_at_once
from penstock.readers.formats import EXTENSIONS
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.validation import Conformer

VECTOR_ROWS = {
    "jsonl": 3_000,
    "jsonl.gz": 3_000,
    "json": 3_000,
    "csv": 3_000,
    "parquet": 60_000,
    "npy": 60_000,
    "npz": 60_000,
    "arrow": 60_000,
    "h5": 60_000,
    "fvecs": 60_000,
}
MIXED_ROWS = 20_000
ID = Field(name="id", type=DataType.INT64, primary=True)
VECTORS = CollectionSchema(fields=(ID, Field(name="vector", type=DataType.FLOAT_VECTOR, dim=768)))
KEYLESS = CollectionSchema(fields=VECTORS.fields, auto_id=True)
RENAMED = CollectionSchema(
    fields=(replace(ID, name="key"), Field(name="embedding", type=DataType.FLOAT_VECTOR, dim=768))
)
CAST = CollectionSchema(fields=(replace(ID, name="key", type=DataType.VARCHAR, max_length=20), RENAMED.fields[1]))
NAMES: dict[str, Any] = {"key": "id", "embedding": "vector"}
AS_TEXT: dict[str, Any] = {"key": {"column": "id", "cast": "Int64"}}
MIXED = CollectionSchema(
    fields=(
        ID,
        Field(name="title", type=DataType.VARCHAR, max_length=200),
        Field(name="price", type=DataType.FLOAT),
        Field(name="tags", type=DataType.ARRAY, element_type=DataType.INT64, max_capacity=16),
        Field(name="doc", type=DataType.JSON),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=32),
    ),
    dynamic=True,
)


PATH_ROWS, PATH_DIM = 50_000, 32
PATHS = {
    "doc.years[0]": Field(name="year", type=DataType.INT64),
    "doc.embedding.values": Field(name="vector", type=DataType.FLOAT_VECTOR, dim=PATH_DIM),
}


def mixed_rows() -> list[dict[str, Any]]:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghij klmnop", k=rng.randint(5, 60))) for _ in range(500)]
    return [
        {
            "id": number,
            "title": rng.choice(words),
            "price": rng.random() * 100,
            "tags": [rng.randint(0, 99) for _ in range(5)],
            "doc": {"a": rng.choice(words), "b": [1, 2, {"c": 0.5}]},
            "vector": [round(rng.random(), 6) for _ in range(32)],
            **{f"text{column}": rng.choice(words) for column in range(5)},
            "count": number,
            "score": rng.random(),
            "nested": {"x": 1, "y": "z"},
        }
        for number in range(MIXED_ROWS)
    ]


def write_mixed(folder: Path) -> None:
    rows = mixed_rows()
    (folder / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (folder / "mixed.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(
                [json.dumps(value) if isinstance(value, list | dict) else value for value in row.values()]
            )
    fields = [field.name for field in MIXED]
    texts = [
        {
            **{name: row[name] for name in fields},
            "doc": json.dumps(row["doc"]),
            "$meta": json.dumps({key: value for key, value in row.items() if key not in fields}),
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(texts), folder / "mixed.parquet")


def write_nested(path: Path) -> None:
    """Two columns: a key, and JSON texts of some 400 bytes, half of them a vector."""
    rng = random.Random(1)
    texts = [
        json.dumps(
            {
                "source": "a" * rng.randint(5, 60),
                "years": [rng.randint(1900, 2025), 2000],
                "embedding": {"model": "m", "values": [round(rng.random(), 6) for _ in range(PATH_DIM)]},
            }
        )
        for _ in range(PATH_ROWS)
    ]
    pq.write_table(pa.table({"id": pa.array(range(PATH_ROWS)), "doc": texts}), path)


def user_seconds(
    spec: FormatSpec, paths: Sequence[Path], schema: CollectionSchema, options: Mapping[str, str] | None = None
) -> float:
    sources = [open_source(Location(uri=path.as_uri(), name=path.name, size=path.stat().st_size)) for path in paths]
    mapping = column_mapping_of(options or {}, schema)
    request = ReadRequest(
        sources=sources, schema=mapping.source_schema(schema), batch_bytes=8 << 20, options=options or {}
    )
    reader = spec.reader
    ranges = plan_at_once(reader, request, 64 << 20)
    conformer = Conformer(schema, [0], 1 if schema.auto_id else None)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for file_range in ranges:
        steps = BatchConformer(
            schema=schema,
            values={},
            mapping=mapping,
            mapped=MappedBatches(mapping, schema),
            conformer=conformer,
            skips_bad_rows=request.skips_bad_rows,
        )
        for _ in steps.batches(iter(reader.read(request, file_range.spec))):
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - start


def main() -> None:
    pa.set_memory_pool(pa.system_memory_pool())  # as workers do
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases: dict[str, tuple[FormatSpec, list[Path], CollectionSchema, Mapping[str, str]]] = {}
        for suffix, rows in VECTOR_ROWS.items():
            path = folder / f"vectors.{suffix}"
            WRITERS[suffix](path, rows, 768)
            paths = sorted(path.iterdir()) if path.is_dir() else [path]
            schema = KEYLESS if suffix == "fvecs" else VECTORS
            cases[f"{suffix}-768"] = (EXTENSIONS[suffix], paths, schema, {})
            if suffix == "fvecs":
                continue
            cases[f"{suffix}-768-renamed"] = (EXTENSIONS[suffix], paths, RENAMED, {"mapping": json.dumps(NAMES)})
            cases[f"{suffix}-768-cast"] = (EXTENSIONS[suffix], paths, CAST, {"mapping": json.dumps(NAMES | AS_TEXT)})
        write_mixed(folder)
        for suffix in ("jsonl", "csv", "parquet"):
            cases[f"{suffix}-mixed"] = (EXTENSIONS[suffix], [folder / f"mixed.{suffix}"], MIXED, {})
        write_nested(folder / "nested.parquet")
        for nested, field in PATHS.items():
            options = {"mapping": json.dumps({field.name: {"path": nested}})}
            schema = CollectionSchema(fields=(ID, field))
            cases[f"parquet-path-{field.name}"] = (
                EXTENSIONS["parquet"],
                [folder / "nested.parquet"],
                schema,
                options,
            )
        chosen = sys.argv[1:]
        for case, arguments in cases.items():
            if chosen and case not in chosen:
                continue
            seconds = min(user_seconds(*arguments) for _ in range(3))
            print(f"{case:20} {seconds:.3f}")


if __name__ == "__main__":
    main()
