"""Exports of other vector stores, read by the option ``from_format``: their fields become columns."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pytest

from penstock.domain.arrow_schema import PARTITION_COLUMN
from penstock.domain.schema import META_FIELD, CollectionSchema, DataType, Field
from penstock.errors import DataError, ImportRefused
from penstock.imports.checks import check_options
from penstock.inference.infer import InferOptions, infer_schema
from penstock.readers.base import ReadRequest, SampleRequest
from penstock.readers.formats import PRESETS, format_named
from penstock.readers.input_files import detect
from penstock.readers.origins import text_of_origin
from tests.readers.test_column_formats import Reading, read
from tests.support.in_memory import BytesSource
from tests.support.inference import parquet

SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.VARCHAR, primary=True, max_length=64),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="title", type=DataType.VARCHAR, max_length=64, nullable=True),
    ),
    dynamic=True,
)
EXPECTED: list[dict[str, Any]] = [
    {"id": "a", "vector": [1.0, 2.0], "title": "One", META_FIELD: {"year": 1999}},
    {"id": "b", "vector": [3.0, 4.0], "title": None, META_FIELD: {}},
]
POINTS = [
    {"id": "a", "version": 3, "vector": [1, 2], "payload": {"title": "One", "year": 1999}},
    {"id": "b", "vector": {"vector": [3, 4]}, "payload": None},
]
OBJECTS = [
    {"uuid": "a", "properties": {"title": "One", "year": 1999}, "vector": {"default": [1, 2]}},
    {"id": "b", "properties": {}, "vectors": None, "vector": [3, 4]},
]
COLUMNS = {
    "ids": ["a", "b"],
    "embeddings": [[1, 2], [3, 4]],
    "documents": ["One", None],
    "metadatas": [{"year": 1999}, None],
    "uris": None,
    "included": ["embeddings"],
}
COPY = "id\tvector\ttitle\tyear\na\t[1,2]\tOne\t1999\nb\t[3,4]\t\\N\t\\N\n"
CHROMA = {"vector": "embedding", "title": "document"}


BATCH = [
    {
        "id": "r1",
        "custom_id": "q1",
        "response": {"body": {"data": [{"index": 0, "embedding": [1, 2]}]}},
        "error": None,
    },
    {
        "id": "r2",
        "custom_id": "q2",
        "response": {"body": {"data": [{"index": 0, "embedding": [3, 4]}, {"index": 1, "embedding": [5, 6]}]}},
        "error": None,
    },
]
FAILED = {"custom_id": "q3", "response": {"status_code": 400, "body": {"error": {"message": "too long"}}}}


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def reading(
    preset: str,
    name: str,
    content: bytes,
    schema: CollectionSchema = SCHEMA,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Reading:
    return read(BytesSource(name, content), schema, options={"from_format": preset, **options})


def rows_of(found: Reading) -> list[dict[str, Any]]:
    rows = [{**row, META_FIELD: json.loads(row[META_FIELD])} for row in found.rows]
    for row in rows:
        del row[PARTITION_COLUMN]
    return rows


def failure(preset: str, name: str, content: bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        reading(preset, name, content)
    return caught.value


def schema_with(names: dict[str, str]) -> CollectionSchema:
    """The schema with columns of other names for its fields, as a mapping makes it."""
    fields = [
        Field(
            name=names.get(field.name, field.name),
            type=field.type,
            primary=field.primary,
            dim=field.dim,
            max_length=field.max_length,
            nullable=field.nullable,
        )
        for field in SCHEMA
    ]
    return CollectionSchema(fields=tuple(fields), dynamic=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", dumped({"result": {"points": POINTS, "next_page_offset": None}, "status": "ok", "time": 0.1})),
        ("a.json", dumped({"usage": None, "status": "ok", "result": {"points": POINTS}})),
        ("a.json", dumped({"points": POINTS})),
        ("a.json", b"\xef\xbb\xbf " + dumped(POINTS)),
        ("a.jsonl", lines(*POINTS)),
        ("a.jsonl.gz", gzip.compress(lines(*POINTS))),
    ],
)
def test_points_of_qdrant(name: str, content: bytes) -> None:
    rows = rows_of(reading("qdrant", name, content))
    assert rows[0][META_FIELD].pop("version") == 3
    assert rows == EXPECTED


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", dumped({"deprecations": None, "objects": OBJECTS})), ("a.jsonl", lines(*OBJECTS))],
)
def test_objects_of_weaviate(name: str, content: bytes) -> None:
    assert rows_of(reading("weaviate", name, content)) == EXPECTED


def test_named_and_sparse_vectors_are_columns() -> None:
    fields = (
        SCHEMA["id"],
        Field(name="image", type=DataType.FLOAT_VECTOR, dim=2),
        Field(name="words", type=DataType.SPARSE_FLOAT_VECTOR),
    )
    point = {"id": "a", "vector": {"image": [1, 2], "words": {"indices": [7, 3], "values": [0.5, 1]}}}
    (row,) = reading("qdrant", "a.jsonl", lines(point), CollectionSchema(fields=fields)).rows
    assert row["image"] == [1, 2]
    assert row["words"] == {"indices": [3, 7], "values": [1.0, 0.5]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", dumped(COLUMNS)),
        (
            "a.jsonl",
            lines(
                {"id": "a", "embedding": [1, 2], "document": "One", "metadata": {"year": 1999}},
                {"id": "b", "embedding": [3, 4], "document": None, "metadata": None},
            ),
        ),
    ],
)
def test_collections_of_chroma(name: str, content: bytes) -> None:
    rows = rows_of(reading("chroma", name, content, schema_with(CHROMA)))
    assert [[row["id"], row["embedding"], row["document"], row[META_FIELD]] for row in rows] == [
        list(row.values()) for row in EXPECTED
    ]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (COPY, {}),
        (COPY.replace("\n", "\r\n"), {}),
        (COPY.partition("\n")[2] + "\\.\n", {"column_names": "id,vector,title,year"}),
        (
            (
                "--\n-- PostgreSQL database dump\n--\nSET a = 1;\n\n"
                "COPY public.docs (id, vector, title, year) FROM stdin;\n"
                f"{COPY.partition(chr(10))[2]}\\.\n\n\n-- done\n"
            ),
            {},
        ),
    ],
)
def test_tables_of_pgvector(content: str, options: dict[str, str]) -> None:
    rows = rows_of(reading("pgvector", "docs.copy", content.encode(), options=options))
    expected = [{**row, META_FIELD: {key: str(value) for key, value in row[META_FIELD].items()}} for row in EXPECTED]
    assert rows == expected


@pytest.mark.parametrize("table", ['public."My docs (old)"', '"a ""b"".c"."D"', "docs"])
def test_names_of_pgvector_that_are_quoted_in_sql(table: str) -> None:
    names = {"a,b": '"a,b"', 'say "hi"': '"say ""hi"""', "Year (AD)": '"Year (AD)"', "größe": '"größe"', "x": "x"}
    columns = ", ".join(["id", "vector", "title", *names.values()])
    content = f"--\nCOPY {table} ({columns}) FROM stdin;\na\t[1,2]\tOne\t1\t2\t3\t4\t5\n\\.\n"
    (row,) = rows_of(reading("pgvector", "a.sql", content.encode()))
    values = dict(zip(names, "12345", strict=True))
    assert row == {"id": "a", "vector": [1.0, 2.0], "title": "One", META_FIELD: values}


def test_escapes_and_sparse_vectors_of_pgvector() -> None:
    fields = (*SCHEMA.fields, Field(name="words", type=DataType.SPARSE_FLOAT_VECTOR))
    texts = ["tab\there", 'a "quote"', "line\nend", "back\\slash", "\\N", "{1:2}/3 no vector", ""]
    escaped = [text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").encode() for text in texts]
    body = b"".join(b"%d\t[1,2]\t%s\t{1:0.5,8:2}/9\n" % (number, text) for number, text in enumerate(escaped))
    content = b"id\tvector\ttitle\twords\n" + body
    found = reading("pgvector", "docs.txt", content, CollectionSchema(fields=fields))
    assert [row["title"] for row in found.rows] == texts
    assert found.rows[0]["words"] == {"indices": [0, 7], "values": [0.5, 2.0]}


def test_batches_of_openai() -> None:
    fields = (
        Field(name="id", type=DataType.INT64, primary=True),
        Field(name="custom_id", type=DataType.VARCHAR, max_length=64),
        Field(name="embedding", type=DataType.FLOAT_VECTOR, dim=2),
    )
    found = reading("openai", "a.jsonl", lines(*BATCH), CollectionSchema(fields=fields, auto_id=True, dynamic=True))
    assert [(row["custom_id"], row["embedding"]) for row in found.rows] == [
        ("q1", [1.0, 2.0]),
        ("q2", [3.0, 4.0]),
        ("q2", [5.0, 6.0]),
    ]
    assert [json.loads(row[META_FIELD])["index"] for row in found.rows] == [0, 0, 1]


def pinecone(metadata: list[str | None], **columns: Any) -> bytes:
    vectors = pa.array([[1, 2], [3, 4]], pa.list_(pa.float32()))
    return parquet({"id": ["a", "b"], "values": vectors, "metadata": metadata, **columns})


def test_records_of_pinecone() -> None:
    content = pinecone(['{"title": "One", "year": 1999}', None])
    rows = rows_of(reading("pinecone", "a.parquet", content, schema_with({"vector": "values"})))
    assert [[row["id"], list(row["values"]), row["title"], row[META_FIELD]] for row in rows] == [
        list(row.values()) for row in EXPECTED
    ]


def test_a_sample_of_pinecone_has_as_many_values_of_each_key_and_says_where_keys_are_left_out() -> None:
    keys = json.dumps({f"k{number}": number for number in range(20)})
    sources = [BytesSource("a.parquet", pinecone([keys, '{"k0": 5}']))]
    reader = detect(["a.parquet"], "pinecone").reader
    assert reader.sample(SampleRequest(sources=sources)).has_all_columns
    few = reader.sample(SampleRequest(sources=sources, max_columns=10, max_bytes=len(keys)))
    assert not few.has_all_columns
    assert len(few.columns["k9"]) == len(few.columns["id"]) == few.rows


def test_bad_metadata_of_pinecone_rejects_its_row() -> None:
    content = pinecone(['{"title": 5}', '{"title": "Two"}'])
    request = ReadRequest(
        sources=[BytesSource("a.parquet", content)],
        schema=schema_with({"vector": "values"}),
        batch_bytes=1 << 20,
        options={"on_error": "skip_row"},
    )

    (batch,) = detect(["a.parquet"], "pinecone").reader.read(request, {"row_groups": [0, 1]})

    assert batch.batch.column("id").to_pylist() == ["b"]
    assert batch.batch.column("title").to_pylist() == ["Two"]
    assert batch.row_numbers.tolist() == [1]
    (reject,) = batch.rejects
    assert (reject.row, [error.field for error in reject.errors]) == (0, ["title"])
    assert json.loads(text_of_origin(reject.origin) or "")["metadata"] == '{"title": 5}'


@pytest.mark.parametrize(
    ("preset", "name", "content", "rule"),
    [
        ("openai", "a.jsonl", lines({"id": 1}), "no key 'custom_id'"),
        ("openai", "a.jsonl", lines(FAILED), 'the request "q3" of the batch failed'),
        ("openai", "a.jsonl", lines({"custom_id": "a", "response": None}), "no list of embeddings"),
        ("qdrant", "a.json", b"", "the file is empty"),
        ("qdrant", "a.json", b"PAR1" * 9, "Parquet"),
        ("qdrant", "a.json", b"x", "the file begins with 'x', no export of Qdrant does"),
        ("qdrant", "a.jsonl", lines({"vector": [1, 2]}), "no key 'id', which every record of Qdrant has"),
        ("qdrant", "a.jsonl", lines(POINTS[0]) + b'{"id": "b", "vector"', "ends inside a row"),
        ("qdrant", "a.jsonl", lines({"id": 1, "payload": {"id": 2}}), "two values for one column"),
        ("qdrant", "a.json", dumped({"points": POINTS, "more": [1]}), "text follows the list of records"),
        ("qdrant", "a.json", dumped({"points": POINTS})[:-1], "text follows the list of records"),
        ("weaviate", "a.json", dumped(POINTS), "no key 'properties'"),
        ("chroma", "a.json", dumped(POINTS), "no list 'ids'"),
        ("chroma", "a.json", dumped({**COLUMNS, "documents": ["One"]}), "the lists differ in length: 'documents'"),
        ("chroma", "a.json", dumped({**COLUMNS, "metadatas": [1, None]}), "the metadata of the row is not an object"),
        ("chroma", "a.json", dumped({**COLUMNS, "metadatas": [{"id": 1}, None]}), "two values for one column"),
        ("pgvector", "a.tsv", COPY.partition("\n")[2].encode(), "the first line holds values, not the names"),
        ("pgvector", "a.sql", b"-- a dump\nINSERT INTO docs VALUES (1);\n", "the file has no rows of COPY"),
        ("pgvector", "a.sql", b"COPY a (id) FROM stdin;\n1\n", "the line \\. is missing"),
        ("pgvector", "a.sql", b"COPY a (id) FROM stdin;\n\\.\nCOPY b (id) FROM stdin;\n", "several tables: a and b"),
        ("pinecone", "a.parquet", pinecone(["[1]", None]), "each row should be a key-value map"),
        ("pinecone", "a.parquet", pinecone([None, None], other=[1, 2]), "other"),
    ],
)
def test_other_files_are_refused(preset: str, name: str, content: bytes, rule: str) -> None:
    error = failure(preset, name, content)
    assert rule in str(error)
    assert error.file == name


@pytest.mark.parametrize("preset", PRESETS)
def test_extensions_are_those_of_the_preset(preset: str) -> None:
    with pytest.raises(ImportRefused, match=f"Exports of {preset}"):
        detect(["a.npy"], preset)
    assert format_named(PRESETS[preset][0].name) is PRESETS[preset][0]


@pytest.mark.parametrize("preset", PRESETS)
def test_broken_files_give_rows_or_an_error_of_data(preset: str) -> None:
    name, content = {
        "chroma": ("a.json", dumped(COLUMNS)),
        "openai": ("a.jsonl", lines(*BATCH)),
        "pgvector": ("a.sql", f"--\nCOPY a (id, vector, title) FROM stdin;\n{COPY}\\.\n".encode()),
        "pinecone": ("a.parquet", pinecone(['{"title": "One", "year": 1999}', None])),
        "qdrant": ("a.json", dumped({"result": {"points": POINTS}})),
        "weaviate": ("a.json", dumped({"objects": OBJECTS})),
    }[preset]
    random = Random(7)
    errors: list[DataError] = []
    for _ in range(150):
        broken = bytearray(content)
        for _ in range(random.randint(1, 3)):
            broken[random.randrange(len(broken))] = random.choice(b'{}[]",:\\\t\n\0\xff9a')
        try:
            reading(preset, name, bytes(broken[: random.choice([None, random.randrange(len(broken))])]))
        except DataError as error:
            errors.append(error)
    assert len(errors) > 50
    assert {error.file for error in errors} == {name}


def test_options_are_checked() -> None:
    with pytest.raises(ImportRefused, match="from_format must be one of chroma, openai, pgvector, pinecone"):
        check_options({"from_format": "oracle"})
    with pytest.raises(ImportRefused, match="column_names is a list of different names"):
        check_options({"column_names": "id,id"})


@pytest.mark.parametrize(
    ("preset", "name", "content", "columns"),
    [
        ("qdrant", "a.jsonl", lines(*POINTS), {"id", "vector", "title", "year"}),
        ("weaviate", "a.jsonl", lines(*OBJECTS), {"id", "vector", "title", "year"}),
        ("chroma", "a.json", dumped(COLUMNS), {"id", "embedding", "document", "year"}),
        ("pinecone", "a.parquet", pinecone(['{"title": "x", "year": 1}', None]), {"id", "values", "title", "year"}),
        ("pgvector", "a.tsv", COPY.encode(), {"id", "vector", "title", "year"}),
    ],
)
def test_schemas_are_inferred(preset: str, name: str, content: bytes, columns: set[str]) -> None:
    request = SampleRequest(sources=[BytesSource(name, content)], options={"from_format": preset})
    inferred = infer_schema({name: detect([name], preset).reader.sample(request)}, InferOptions())
    assert columns <= {field.field.name for field in inferred.fields}
    assert inferred.schema.primary.name == "id"
