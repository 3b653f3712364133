"""What the options ``mapping`` and ``drop_columns`` may say of a collection's fields."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.functions import Function, FunctionType
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import ImportRefused
from penstock.imports.column_mapping import Renamed
from penstock.imports.mapping_options import MAX_OPTION_BYTES, column_mapping_of

ID = Field(name="id", type=DataType.INT64, primary=True)
VECTOR = Field(name="vector", type=DataType.FLOAT_VECTOR, dim=3)
TITLE = Field(name="title", type=DataType.VARCHAR, max_length=50)
PRICE = Field(name="price", type=DataType.DOUBLE)
NOTE = Field(name="note", type=DataType.VARCHAR, max_length=50, nullable=True)
SCHEMA = CollectionSchema(fields=(ID, VECTOR, TITLE, PRICE, NOTE), dynamic=True)


def refused(schema: CollectionSchema = SCHEMA, drop: Any = None, **mapping: Any) -> str:
    options = {"mapping": json.dumps(mapping)} | ({} if drop is None else {"drop_columns": json.dumps(drop)})
    with pytest.raises(ImportRefused) as caught:
        column_mapping_of(options, schema)
    return str(caught.value)


def test_what_can_not_be_mapped_is_refused() -> None:
    assert "names 'vectr', which is not a field of the collection. Did you mean 'vector'?" in refused(vectr="emb")
    assert "gives the column 'a' to two fields, 'vector' and 'title'" in refused(vector="a", title="a")
    assert "column 'title' to the field 'note', but 'title' is a field too" in refused(note="title")
    assert 'give it a constant: {"note": {"value": null}}' in refused(title="note")
    assert "column 'a' to the field 'title', and options.drop_columns drops it" in refused(drop=["a"], title="a")
    assert "drops the column 'title', whose field needs values" in refused(drop=["title"])
    assert "must be" in refused(title=5)
    assert "must be" in refused(title={"column": "a", "columns": ["a"]})
    assert "must be" in refused(title="")
    assert "columns can be read as Bool, Int8" in refused(title={"column": "a", "cast": "Text"})
    assert "Int64 can't be cast to the field 'vector'" in refused(vector={"column": "a", "cast": "Int64"})
    assert "from 2 columns; it has 3 dimensions" in refused(vector={"columns": ["a", "b"]})
    assert "can't be made from columns" in refused(title={"columns": ["a", "b"]})
    assert "gives the column 'a' to two fields" in refused(vector={"columns": ["a", "a", "b"]})
    assert "the primary key 'id' can't be a constant" in refused(id={"value": 1})
    assert "the constant of the field 'price' is not valid" in refused(price={"value": "cheap"})
    assert "the constant of the field 'title' is not valid" in refused(title={"value": None})
    assert "the constant of the field 'vector' is not valid" in refused(vector={"value": [[1, 2], 3]})
    for path in ("a", ".a", "a..b", "a[x]", "a[-1]", 5, "a" + ".b" * 33):
        assert "path" in refused(title={"path": path})
    assert "the constant of the field 'title' is not valid" in refused(title={"value": "x" * 51})
    assert "'$meta' is the dynamic field" in refused(title="$meta")
    assert "drop_columns is a JSON list of column names" in refused(drop=[1])
    automatic = CollectionSchema(fields=(ID, VECTOR), auto_id=True)
    assert "names the field 'id', whose values the server makes" in refused(automatic, id="key")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('["a"]', "is the JSON text of an object from fields to columns"),
        ('{"title": "a", "title": "b"}', "names 'title' twice: a field has one source"),
        ('{"price": {"value": NaN}}', "NaN is not a JSON number"),
        ('{"price": {"value": 1e999}}', "is not valid JSON"),
        ('{"title": "\\ud800"}', "is not valid JSON"),
        ("x" * (MAX_OPTION_BYTES + 1), "at most 1,048,576 are allowed"),
    ],
)
def test_texts_that_are_no_mapping_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ImportRefused, match=reason):
        column_mapping_of({"mapping": text}, SCHEMA)


def test_the_last_of_many_fields_twice_is_found_at_once() -> None:
    keys = [f"k{number}" for number in range(50_000)]
    text = "{" + ",".join(f'"{key}":"c"' for key in [*keys, keys[-1]]) + "}"
    started = time.process_time()
    with pytest.raises(ImportRefused, match="names 'k49999' twice"):
        column_mapping_of({"mapping": text}, SCHEMA)
    assert time.process_time() - started < 2  # a count for each key took half a minute


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=8,
)
SPECS = JSON_VALUES | st.dictionaries(
    st.sampled_from(["column", "columns", "cast", "path", "value"]), JSON_VALUES, min_size=1, max_size=2
)


@given(st.dictionaries(st.sampled_from(SCHEMA.names), SPECS), st.lists(st.sampled_from([*SCHEMA.names, "x"])))
@settings(max_examples=200, deadline=None)
def test_any_mapping_is_taken_or_refused(mapping: dict[str, Any], drop: list[str]) -> None:
    try:
        taken = column_mapping_of({"mapping": json.dumps(mapping), "drop_columns": json.dumps(drop)}, SCHEMA)
    except ImportRefused:
        return
    names = taken.source_schema(SCHEMA).names
    assert len(set(names)) == len(names)
    assert not taken.excluded & set(names)


@pytest.mark.parametrize("depth", [100, 300, 600, 900])
def test_deeply_nested_constants_are_refused(depth: int) -> None:
    with pytest.raises(ImportRefused):
        column_mapping_of({"mapping": f'{{"note": {{"value": {"[" * depth}{"]" * depth}}}}}'}, SCHEMA)


def test_outputs_of_functions_can_not_be_mapped() -> None:
    text = Field(name="text", type=DataType.VARCHAR, max_length=9, params={"enable_analyzer": "true"})
    output = Field(name="terms", type=DataType.SPARSE_FLOAT_VECTOR, function_output=True)
    function = Function(name="f", type=FunctionType.BM25, inputs=("text",), outputs=("terms",))
    schema = CollectionSchema(fields=(ID, text, output), functions=(function,))
    assert "whose values the server makes" in refused(schema, terms="a")
    assert column_mapping_of({"mapping": '{"text": "a"}'}, schema).sources == {"text": Renamed("a")}
