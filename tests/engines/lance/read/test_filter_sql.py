"""What Lance selects by the SQL of a filter is what the reference evaluator says, for odd rows of every type."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.engines.lance.layout.names import stored_name
from penstock.engines.lance.read import batch_filter, filter_pushdown
from penstock.engines.lance.read.batch_filter import matching
from penstock.engines.lance.read.filter_pushdown import NEAREST_WEIGHT, split
from penstock.engines.lance.read.filter_sql import to_sql
from penstock.errors import InvalidFilter
from penstock.filters import parse
from tests.support.examples import examples
from tests.support.filter_oracle import evaluate


def scalar(name: str, kind: DataType, **options: Any) -> Field:
    return Field(name=name, type=kind, nullable=True, **options)


def array(name: str, kind: DataType) -> Field:
    return Field(name=name, type=DataType.ARRAY, element_type=kind, max_capacity=9, max_length=99, nullable=True)


SCHEMA = CollectionSchema(
    fields=(
        Field(name="id", type=DataType.INT64, primary=True),
        scalar("flag", DataType.BOOL),
        scalar("tiny", DataType.INT8),
        scalar("whole", DataType.INT64),
        scalar("single", DataType.FLOAT),
        scalar("real", DataType.DOUBLE),
        scalar("_rowid", DataType.VARCHAR, max_length=99),
        scalar("doc", DataType.JSON),
        array("flags", DataType.BOOL),
        array("tinies", DataType.INT8),
        array("singles", DataType.FLOAT),
        array("reals", DataType.DOUBLE),
        array("words", DataType.VARCHAR),
        Field(name="vector", type=DataType.FLOAT_VECTOR, dim=2),
    ),
    dynamic=True,
)

BIG = 2**53 + 1
TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "a%b",
    "a_b",
    "a\\b",
    'it\'s "x"',
    "é中😀",
    "line\nbreak",
    "\x01\t",
    "5",
    "1.5",
    "true",
    "[1]",
    "/",
]
WHOLES = [0, 1, -1, 2, 3, 5, -7, 127, -128, BIG - 1, BIG, -BIG, 2**63 - 1, -(2**63)]
TINIES = [0, 1, -1, 2, 3, 5, -7, 127, -128]
REALS = [0.0, -0.0, 0.1, 0.5, 1.5, -1.5, 2.0, 5.0, 1e300, 5e-324, float(2**53), -123456.75]
SINGLES = [float(np.float32(value)) for value in REALS if abs(value) < 1e38]
JSON_SCALARS: list[Any] = [None, True, False, *TEXTS, *WHOLES, *REALS, 2**64 - 1, 10**25]
JSON_VALUES: list[Any] = [
    *JSON_SCALARS,
    {},
    {"b": 1},
    {"b": {"c": [1, 5, "a"]}},
    {"0": 5},
    [],
    [[]],
    [5],
    ["5"],
    [5.0, "5"],
    [[5]],
    [[1, 2], 5],
    [1, 2],
    [1, 2, []],
    [[1, 2, []]],
    [[1, 2, 3], [1.0, 2]],
    [[[1], 2], ["a", 1.5]],
    [None, {}, {"a": 5}, "a", True],
    ["true", "é中😀", "line\nbreak", 'it\'s "x"'],
    [1.5, BIG, -0.0],
    ["1.5", 1.6, 0.1],
    [[True, [1]], [False]],
]
KEYS = ["a", "k 1", "", 'it\'s "q"', "é中", "0", "$x", "back\\slash"]


def pick(pool: Sequence[Any], number: int) -> list[Any]:
    """A column of ``number`` values: all of the pool, some nulls, in an order of its own."""
    values = [*pool, None]
    generator = np.random.default_rng(len(pool))
    return [
        values[index] for index in generator.permutation(math.ceil(number / len(values)) * len(values)) % len(values)
    ][:number]


def rows(number: int = 160) -> list[dict[str, Any]]:
    arrays: dict[str, list[Any]] = {
        "flags": [[], [True], [True, False]],
        "tinies": [[], [1], [1, 2, 3], [127, -128], [5, 5], [0]],
        "singles": [[], [SINGLES[2]], [0.0], [-0.0, 1.5], [2.0, 5.0]],
        "reals": [[], [0.1], [0.0, 1e300], [-0.0], [1.5, 2.0]],
        "words": [[], ["a"], ["a", "b"], ["a%b", "a\\b", 'it\'s "x"'], ["é中😀", ""]],
    }
    columns = {
        "flag": pick([True, False], number),
        "tiny": pick(TINIES, number),
        "whole": pick(WHOLES, number),
        "single": pick(SINGLES, number),
        "real": pick(REALS, number),
        "_rowid": pick(TEXTS, number),
        **{name: pick(values, number) for name, values in arrays.items()},
    }
    documents: list[Any] = [None, {}, [], 5, "a", [5, [1, 2]], {"a": {"a": {"": "a"}}}]
    documents += [{key: value} for value in JSON_VALUES for key in KEYS[:1]]
    documents += [{key: value, "a": {key: value}} for value in (5, "a", None, [5]) for key in KEYS]
    made = []
    for index in range(number):
        row = {name: values[index] for name, values in columns.items()}
        document = documents[index % len(documents)]
        meta = {"a": JSON_VALUES[(index * 7) % len(JSON_VALUES)]} if index % 5 else {}
        made.append({"id": index, **row, "doc": document, "$meta": meta})
    return made


ROWS = rows()


def to_table(made: list[dict[str, Any]]) -> pa.Table:
    arrow = {
        "id": pa.int64(),
        "flag": pa.bool_(),
        "tiny": pa.int8(),
        "whole": pa.int64(),
        "single": pa.float32(),
        "real": pa.float64(),
        "_rowid": pa.string(),
        "flags": pa.list_(pa.bool_()),
        "tinies": pa.list_(pa.int8()),
        "singles": pa.list_(pa.float32()),
        "reals": pa.list_(pa.float64()),
        "words": pa.list_(pa.string()),
    }
    columns = {stored_name(name): pa.array([row[name] for row in made], kind) for name, kind in arrow.items()}
    for name in ("doc", "$meta"):
        texts = [None if row[name] is None else json.dumps(row[name]) for row in made]
        columns[name] = pa.array(texts, pa.json_())
    return pa.table(columns)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> lance.LanceDataset:
    """Rows in several fragments, no index."""
    folder = tmp_path_factory.mktemp("plain")
    return lance.write_dataset(to_table(ROWS), str(folder / "rows"), max_rows_per_file=50)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> lance.LanceDataset:
    """The same rows with every kind of scalar index that an engine may make."""
    folder = tmp_path_factory.mktemp("indexed")
    dataset = lance.write_dataset(to_table(ROWS), str(folder / "rows"))
    for name in ("id", "whole", "single", "real", "_rowid"):
        dataset.create_scalar_index(stored_name(name), "BTREE")
    for name in ("flag", "tiny"):
        dataset.create_scalar_index(name, "BITMAP")
    for name in ("tinies", "words"):
        dataset.create_scalar_index(name, "LABEL_LIST")
    return dataset


def selected(dataset: lance.LanceDataset, text: str, most: int = NEAREST_WEIGHT) -> list[int]:
    """By the scanner's filter as far as it may weigh ``most``, and on its batches beyond that."""
    pushed, rest = split(parse(text, SCHEMA), most)
    where = None if pushed is None else to_sql(pushed, SCHEMA)
    found: list[Any] = []
    if rest is None:
        found = dataset.to_table(columns=["id"], filter=where)["id"].to_pylist()
    else:
        for batch in matching(dataset, where, rest, {"id": "id"}):
            found += batch["id"].to_pylist()
    return sorted(found)


def expected(text: str) -> list[int]:
    tree = parse(text, SCHEMA)
    assert tree is not None
    return [row["id"] for row in ROWS if evaluate(tree, row) is True]


# Texts of filters, built bottom up.


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def constant(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(constant, value)) + "]"
    return quoted(value) if isinstance(value, str) else repr(value)


def constants(pool: Sequence[Any]) -> st.SearchStrategy[str]:
    return st.sampled_from([constant(value) for value in pool])


def lists(pool: Sequence[Any]) -> st.SearchStrategy[str]:
    return st.lists(constants(pool), max_size=4).map(lambda items: f"[{', '.join(items)}]")


def joined(*parts: Any) -> st.SearchStrategy[str]:
    strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map(" ".join)


OPS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
EQUALITY = st.sampled_from(["==", "!="])
NUMBERS = [*WHOLES, *REALS, 300, -1000, 1.25]
STEPS = st.one_of(
    joined(st.sampled_from(["+", "-", "*"]), constants([0, 1, -1, 3, 2**40])),
    joined("/", constants([1, -1, 2, -3, 2**40])),
)
INTEGER_STEPS = st.one_of(
    STEPS,
    joined("%", constants([1, -1, 2, -3, 2**40])),
    joined(st.sampled_from(["&", "|", "^"]), constants([0, 1, 6, -1, -2, 0b1011001, 2**62, -(2**62)])),
    joined(st.sampled_from(["<<", ">>"]), constants([0, 1, 3, 62, 63])),
)
FLOAT_STEPS = joined(st.sampled_from(["+", "-", "*", "/"]), constants([0.5, -1.5, 3]))
PATTERNS = st.lists(
    st.sampled_from(["a", "b", "%", "_", "\\%", "\\_", "\\\\", '"', "n", "u", "é", "/", "1"]), max_size=4
).map("".join)
INTEGERS = st.sampled_from(["tiny", "whole", "tinies[0]", "tinies[1]"])
FLOATS = st.sampled_from(["single", "real", "singles[0]", "reals[0]"])
STRINGS = st.sampled_from(["_rowid", "words[0]", "words[5]"])
BOOLS = st.sampled_from(["flag", "flags[1]"])
PATHS = st.one_of(
    st.sampled_from(
        ['doc["a"]', "a", '$meta["a"]', 'doc["a"]["b"]', 'doc["a"][0]', "doc[1]", 'a["b"]["c"]', "a[0][0]"]
    ),
    st.sampled_from(KEYS).map(lambda key: f"doc[{quoted(key)}]"),
    st.sampled_from([key for key in KEYS if key != "0"]).map(lambda key: f'doc["a"][{quoted(key)}]'),
)
JSON_ORDERED = [*TEXTS, *WHOLES, *REALS]
JSON_LISTS: list[Any] = [[], [5], [1, 2], [1.0, 2], [[1, 2]], [[1], 2], ["a", 1.5], [True, [1]], [1.5, BIG, 0]]
CONTAINED = [*JSON_ORDERED, True, False, *filter(None, JSON_LISTS)]
NULLABLE = [each.name for each in SCHEMA if each.nullable]

CONDITIONS: st.SearchStrategy[str] = st.one_of(
    joined(st.one_of(INTEGERS, FLOATS), OPS, constants(NUMBERS)),
    joined(constants(NUMBERS), OPS, st.one_of(INTEGERS, FLOATS)),
    joined("(", INTEGERS, INTEGER_STEPS, ")", OPS, constants(NUMBERS)),
    joined("(", INTEGERS, FLOAT_STEPS, ")", OPS, constants(NUMBERS)),
    joined("(", FLOATS, st.one_of(FLOAT_STEPS, STEPS), ")", OPS, constants(NUMBERS)),
    joined(STRINGS, OPS, constants(TEXTS)),
    joined(BOOLS, EQUALITY, constants([True, False])),
    joined(
        *[st.sampled_from(["tiny", "whole", "single", "real"]), OPS, st.sampled_from(["whole", "single", "real"])]
    ),
    joined("_rowid", OPS, "_rowid"),
    joined(INTEGERS, st.sampled_from(["in", "not in"]), lists([*WHOLES, 300])),
    joined(FLOATS, st.sampled_from(["in", "not in"]), lists(NUMBERS)),
    joined(STRINGS, st.sampled_from(["in", "not in"]), lists(TEXTS)),
    joined(BOOLS, st.sampled_from(["in", "not in"]), lists([True, False])),
    joined(st.one_of(STRINGS, PATHS), "like", PATTERNS.map(quoted)),
    joined(st.one_of(st.sampled_from(NULLABLE), PATHS), st.sampled_from(["is null", "is not null"])),
    joined("exists", st.one_of(PATHS, st.just("doc"))),
    joined(PATHS, OPS, constants(JSON_ORDERED)),
    joined(PATHS, EQUALITY, constants([True, False, *JSON_LISTS])),
    joined(PATHS, st.sampled_from(["in", "not in"]), lists([*JSON_ORDERED, True, False])),
    joined("(", PATHS, st.one_of(INTEGER_STEPS, FLOAT_STEPS), ")", OPS, constants(NUMBERS)),
    joined("json_contains(", st.one_of(PATHS, st.just("doc")), ",", constants(CONTAINED), ")"),
    joined(
        st.sampled_from(["json_contains_any(", "json_contains_all("]),
        PATHS,
        ",",
        lists(CONTAINED),
        ")",
    ),
    *[
        joined(st.sampled_from(["array_contains_any(", "ARRAY_CONTAINS_ALL("]), name, ",", lists(pool), ")")
        for name, pool in (
            ("flags", [True, False]),
            ("tinies", [*TINIES, 300]),
            ("singles", REALS),
            ("reals", [*REALS, 1]),
            ("words", TEXTS),
        )
    ],
    joined("array_contains( tinies ,", constants(TINIES), ")"),
    joined(
        "array_length(",
        st.one_of(PATHS, st.sampled_from(["tinies", "words"])),
        ")",
        OPS,
        constants([0, 1, 2, -1, 1.5]),
    ),
    joined(constants([-1, 0, 1.5]), "<", INTEGERS, "<=", constants([2, 5.5, BIG])),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        joined("not (", inner, ")"), joined("(", inner, st.sampled_from(["and", "or", "&&", "||"]), inner, ")")
    ),
    max_leaves=5,
)


@settings(max_examples=examples(100, 300), deadline=None, derandomize=True)
@given(text=FILTERS)
def test_lance_selects_what_the_evaluator_says(
    plain: lance.LanceDataset, indexed: lance.LanceDataset, text: str
) -> None:
    rows = expected(text)
    assert selected(plain, text) == rows
    assert selected(indexed, text) == rows
    assert selected(plain, text, most=0) == rows


@settings(max_examples=examples(100, 300), deadline=None, derandomize=True)
@given(text=FILTERS)
def test_batches_select_what_the_evaluator_says(plain: lance.LanceDataset, text: str) -> None:
    """As if each list and pattern were a long one, and JSON looked at often: none of them is said in SQL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_filter, "_FEW_JSON_CONDITIONS", -1)
        for name in ("_MAX_SQL_VALUES", "_MAX_SQL_CONTAINED", "_MAX_SQL_PATTERN"):
            patch.setattr(filter_pushdown, name, -1)
        assert selected(plain, text, most=0) == expected(text)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, database=None)
@given(text=FILTERS)
def test_lance_selects_what_the_evaluator_says_at_length(
    plain: lance.LanceDataset, indexed: lance.LanceDataset, text: str
) -> None:
    rows = expected(text)
    assert selected(plain, text) == rows
    assert selected(indexed, text) == rows


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("whole > 1.5 and _rowid == 'it\\'s'", "`whole` > 1 and `$_rowid` = 'it''s'"),
        ("not (flag == true or tiny in [1, 300])", "`flag` <> true and `tiny` not in (1)"),
        ("tiny < 300", "`tiny` <= 127"),
        ("whole == -9223372036854775808", "`whole` = cast('-9223372036854775808' as bigint)"),
        ("single == 0.1", "`single` = cast(0.10000000149011612 as float)"),
        ("_rowid like 'a%\\\\%'", "`$_rowid` like 'a%\\%'"),
        ("tinies[0] == 3", "array_element(`tinies`, 1) = 3"),
        ("(whole & 6) == 2", "(((`whole` >> 1) - ((`whole` >> 3) << 2)) << 1) = 2"),
        ("color == 'red'", """json_extract(`$meta`, '$."color"') = '"red"'"""),
        ('doc["a"][0] > 1', """try_cast(json_extract(`doc`, '$."a"[0]') as double) > 1.0"""),
        ("true", "true"),
        ("id is null", "false"),
    ],
)
def test_the_sql(text: str, sql: str) -> None:
    tree = parse(text, SCHEMA)
    assert tree is not None
    assert to_sql(tree, SCHEMA).replace("cast(`whole` as bigint)", "`whole`") == sql


def write(folder: Path, documents: list[str | None]) -> lance.LanceDataset:
    table = pa.table({"id": pa.array(range(len(documents))), "doc": pa.array(documents, pa.json_())})
    return lance.write_dataset(table, str(folder / "documents"))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('doc["a"] == 5', [0, 1]),
        ('doc["a"] != 5', [2]),
        ('not (doc["a"] == 5)', [2]),
        ('doc["a"] == 9007199254740993', [2]),
        ('doc["a"] == "5"', [3]),
        ('doc["a"] >= ""', [3]),
        ('doc["a"] in [5, "5"]', [0, 1, 3]),
        ('doc["a"] not in [5]', [2]),
        ('doc["a"] like "_"', [3]),
        ('json_contains(doc["a"], 5)', [4]),
        ('json_contains(doc["a"], "5")', [5]),
        ('json_contains(doc["a"], [5])', [6]),
        ('not json_contains(doc["a"], 5)', [5, 6]),
        ('json_contains_any(doc["a"], [5, "5"])', [4, 5]),
        ('doc["a"] == [5]', [4]),
        ('array_length(doc["a"]) == 1', [4, 5, 6]),
        ('exists doc["a"]', [0, 1, 2, 3, 4, 5, 6]),
        ('doc["a"] is null', [7, 8, 9, 10]),
        ("doc is null", [10]),
    ],
)
def test_json_of_mixed_types(tmp_path: Path, text: str, ids: list[int]) -> None:
    values = ["5", "5.0", "9007199254740993", '"5"', "[5]", '["5"]', "[[5]]", "null", "{}"]
    documents = [f'{{"a": {value}}}' for value in values]
    assert selected(write(tmp_path, [*documents, "{}", None]), text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('doc["a"] == 9007199254740993', [1]),
        ('doc["a"] > 9007199254740992', [1, 3]),
        ('doc["a"] in [9007199254740993, 9223372036854775807]', [1, 3]),
        ('doc["a"] not in [9007199254740993]', [0, 2, 3]),
        ('doc["a"] - 1 == 9007199254740992', [1]),
        ('json_contains(doc["b"], 9007199254740993)', [1]),
    ],
)
def test_json_integers_that_no_double_holds(tmp_path: Path, text: str, ids: list[int]) -> None:
    documents = [f'{{"a": {each}, "b": [{each}]}}' for each in (2**53, 2**53 + 1, -(2**63), 2**63 - 1)]
    assert selected(write(tmp_path, list(documents)), text) == ids


def test_filters_as_deep_as_the_parser_lets_through(plain: lance.LanceDataset) -> None:
    inner = 'not json_contains(doc["a"], [[1]])'
    for level in range(14):
        inner = f"tiny {'>' if level % 2 else '<'} {level} and ({inner} or not (whole > {level} and flag == true))"
    assert selected(plain, inner) == expected(inner)


def test_long_lists(plain: lance.LanceDataset) -> None:
    text = f"id in [{', '.join(map(str, range(100, 30_000)))}] and doc is not null"
    assert selected(plain, text) == [row["id"] for row in ROWS if row["id"] >= 100 and row["doc"] is not None]


def test_a_filter_made_for_another_schema_is_refused() -> None:
    tree = parse("tiny == 1 or color == 2", SCHEMA)
    assert tree is not None
    other = CollectionSchema(fields=(SCHEMA["id"], SCHEMA["tiny"], SCHEMA["vector"]))
    with pytest.raises(InvalidFilter, match=r"\$meta"):
        to_sql(tree, other)


@pytest.mark.parametrize(
    "text",
    [
        'json_contains(doc["a"], [1, 2, []])',
        'json_contains_any(doc["a"], [["", 1], [[]], []])',
        'doc["a"] == [[1, 2, []]]',
        'doc["a"] != [""]',
    ],
)
def test_lists_that_no_json_path_can_name(plain: lance.LanceDataset, text: str) -> None:
    assert selected(plain, text) == expected(text)
