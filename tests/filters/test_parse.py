"""Filter texts: what they become, and how they are refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidFilter
from penstock.filters import parse
from penstock.filters.ast import (
    And,
    Arithmetic,
    ArithmeticOp,
    ArrayColumn,
    Column,
    Compare,
    CompareColumns,
    CompareOp,
    Constant,
    Contains,
    Element,
    Exists,
    Filter,
    In,
    IsNull,
    JsonPath,
    Length,
    Like,
    Not,
    Or,
    PhraseMatch,
    TextMatch,
    field_names,
)
from penstock.filters.parse import MAX_LENGTH

FIELDS = (
    Field(name="id", type=DataType.INT64, primary=True),
    Field(name="age", type=DataType.INT8, nullable=True),
    Field(name="size", type=DataType.INT64),
    Field(name="price", type=DataType.FLOAT),
    Field(name="score", type=DataType.DOUBLE),
    Field(name="name", type=DataType.VARCHAR, max_length=64),
    Field(
        name="prose",
        type=DataType.VARCHAR,
        max_length=64,
        params={"enable_analyzer": "true", "enable_match": "true", "analyzer_params": '{"type": "english"}'},
    ),
    Field(name="sold", type=DataType.BOOL),
    Field(name="doc", type=DataType.JSON, nullable=True),
    Field(name="tags", type=DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=8, max_length=64),
    Field(name="sizes", type=DataType.ARRAY, element_type=DataType.INT8, max_capacity=8),
    Field(name="vector", type=DataType.FLOAT_VECTOR, dim=4),
)
SCHEMA = CollectionSchema(fields=FIELDS)
DYNAMIC = CollectionSchema(fields=FIELDS, dynamic=True)

AGE = Column("age", DataType.INT8)
SIZE = Column("size", DataType.INT64)
PRICE = Column("price", DataType.FLOAT)
NAME = Column("name", DataType.VARCHAR)
EQ, NE, LT, LE, GT, GE = CompareOp


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("size == 1", Compare(EQ, SIZE, 1)),
        ("1 < size", Compare(GT, SIZE, 1)),
        ("1 < size <= 5", And((Compare(GT, SIZE, 1), Compare(LE, SIZE, 5)))),
        ("5 >= size > 1", And((Compare(LE, SIZE, 5), Compare(GT, SIZE, 1)))),
        ("size != score", CompareColumns(NE, SIZE, Column("score", DataType.DOUBLE))),
        ("name in ['a', \"b\",]", In(NAME, ("a", "b"))),
        ("name NOT  IN []", Not(In(NAME, ()))),
        ("name LIKE 'a%'", Like(NAME, "a%")),
        ("age is null", IsNull(AGE)),
        ("age IS NOT NULL", Not(IsNull(AGE))),
        ("size is null", Constant(False)),
        ("size is not null", Constant(True)),
        ("tags[1] == 'x'", Compare(EQ, Element("tags", DataType.VARCHAR, 1), "x")),
        ('doc["a"]["b"][0] == 1.5', Compare(EQ, JsonPath("doc", ("a", "b", 0)), 1.5)),
        ('doc["a"] is not null', Exists(JsonPath("doc", ("a",)))),
        ('exists doc["a"]', Exists(JsonPath("doc", ("a",)))),
        ("EXISTS doc", Exists(JsonPath("doc"))),
        ('doc["a"] == [1, [2]]', Compare(EQ, JsonPath("doc", ("a",)), (1, (2,)))),
        ("array_length(tags) > 2", Compare(GT, Length(ArrayColumn("tags", DataType.VARCHAR)), 2)),
        ("ARRAY_CONTAINS(tags, 'x')", Contains(ArrayColumn("tags", DataType.VARCHAR), ("x",), every=True)),
        ("array_contains_any(sizes, [1, 300])", Contains(ArrayColumn("sizes", DataType.INT8), (1,), every=False)),
        ("array_contains_all(sizes, [1, 300])", Contains(ArrayColumn("sizes", DataType.INT8), (), every=False)),
        ('json_contains(doc["a"], [1])', Contains(JsonPath("doc", ("a",)), ((1,),), every=True)),
        ('json_contains_any(doc["a"], [1])', Contains(JsonPath("doc", ("a",)), (1,), every=False)),
        ("size + 1 == 3", Compare(EQ, Arithmetic(ArithmeticOp.ADD, SIZE, 1), 3)),
        ("3 == 2 * size", Compare(EQ, Arithmetic(ArithmeticOp.MULTIPLY, SIZE, 2), 3)),
        ("~size == 0", Compare(EQ, Arithmetic(ArithmeticOp.BIT_XOR, SIZE, -1), 0)),
        ("(size & 4) == 4", Compare(EQ, Arithmetic(ArithmeticOp.BIT_AND, SIZE, 4), 4)),
        ("size << 1 > 2", Compare(GT, Arithmetic(ArithmeticOp.SHIFT_LEFT, SIZE, 1), 2)),
    ],
)
def test_forms(text: str, tree: Filter) -> None:
    assert parse(text, SCHEMA) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        (
            "size == 017 and size == 0x1F && size == 0b101",
            And(tuple(Compare(EQ, SIZE, each) for each in (15, 31, 5))),
        ),
        ("score == .5 or score == 5. || score == 0x1p-2", [0.5, 5.0, 0.25]),
        ("score == 1e-3", [0.001]),
        ("size == - 9223372036854775808", Compare(EQ, SIZE, -(2**63))),
        (r"name == '\x41\102\u00e9\n\'\"\\'", Compare(EQ, NAME, "AB\u00e9\n'\"\\")),
        (r"name == r'\d'", Compare(EQ, NAME, r"\d")),
        ("name == '\u4e2d'", Compare(EQ, NAME, "\u4e2d")),
        ("sold == True", Compare(EQ, Column("sold", DataType.BOOL), True)),
    ],
)
def test_literals(text: str, tree: Filter | list[float]) -> None:
    if isinstance(tree, list):
        parts: tuple[Filter, ...] = tuple(Compare(EQ, Column("score", DataType.DOUBLE), each) for each in tree)
        tree = parts[0] if len(parts) == 1 else Or(parts)
    assert parse(text, SCHEMA) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 == 7", True),
        ("-2 ** 2 == -4", True),
        ("2 ** -1 == 0.5", True),
        ("7 / -2 == -3", True),
        ("-7 % 3 == -1", True),
        ("1 << 2 + 1 == 8", True),
        ("'a' < 'b'", True),
        ("true", True),
        ("FALSE", False),
        ("not (1 < 2)", False),
        ("1 < 2 or size == 1", True),
        ("size == 1 and false", False),
    ],
)
def test_constants_are_folded(text: str, value: bool) -> None:
    assert parse(text, SCHEMA) == Constant(value)


def test_and_binds_tighter_than_or_and_both_are_flat() -> None:
    one, two, three, four = (Compare(EQ, SIZE, each) for each in (1, 2, 3, 4))
    assert parse("size == 1 or size == 2 and size == 3 or size == 4", SCHEMA) == Or((one, And((two, three)), four))
    assert parse("size == 1 and (size == 2 and true) and not not (size == 3)", SCHEMA) == And((one, two, three))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("age > 1.5", Compare(GT, AGE, 1)),
        ("age >= 1.5", Compare(GT, AGE, 1)),
        ("age < -1.5", Compare(LE, AGE, -2)),
        ("age == 2.0", Compare(EQ, AGE, 2)),
        ("age == 1.5", Compare(GT, AGE, 127)),
        ("age != 1.5", Compare(LE, AGE, 127)),
        ("age < 300", Compare(LE, AGE, 127)),
        ("age < -300", Compare(GT, AGE, 127)),
        ("age > 1e300", Compare(GT, AGE, 127)),
        ("price == 0.1", Compare(EQ, PRICE, 0.10000000149011612)),
        ("price == 1", Compare(EQ, PRICE, 1.0)),
        ("price < 1e300", Compare(LT, PRICE, float("inf"))),
        ("age in [1, 1, 300]", In(AGE, (1,))),
    ],
)
def test_values_take_the_type_of_the_field(text: str, tree: Filter) -> None:
    assert parse(text, SCHEMA) == tree


def test_unknown_names_are_dynamic_keys() -> None:
    color = JsonPath("$meta", ("color",))
    assert parse("color == 'red'", DYNAMIC) == Compare(EQ, color, "red")
    assert parse("$meta['color'] == 'red'", DYNAMIC) == Compare(EQ, color, "red")
    assert parse("color[0]['x'] == 1", DYNAMIC) == Compare(EQ, JsonPath("$meta", ("color", 0, "x")), 1)
    assert parse("color is null", DYNAMIC) == Not(Exists(color))


@pytest.mark.parametrize(
    ("text", "params", "tree"),
    [
        ("age > {low}", {"low": 3}, Compare(GT, AGE, 3)),
        ("name in {names}", {"names": ["a", "b"]}, In(NAME, ("a", "b"))),
        ("name in {names}", {"names": []}, In(NAME, ())),
        ("name like {pattern}", {"pattern": "a%"}, Like(NAME, "a%")),
        (
            'json_contains_any(doc["a"], {some})',
            {"some": [1, "x"]},
            Contains(JsonPath("doc", ("a",)), (1, "x"), False),
        ),
    ],
)
def test_templates(text: str, params: dict[str, Any], tree: Filter) -> None:
    assert parse(text, SCHEMA, params) == tree


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "null"), ({"a": 1}, "an object"), ([None], "null"), (b"x", "bytes")]
)
def test_template_values_that_are_no_constants(value: object, kind: str) -> None:
    with pytest.raises(InvalidFilter, match=f"the template value x is {kind}"):
        parse("size == {x}", SCHEMA, {"x": value})


def test_a_template_without_a_value() -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse("size == {x}", SCHEMA, {"y": 1})
    assert caught.value.message == "the value of expression template variable name {x} is not found"


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_text_is_no_filter(text: str) -> None:
    assert parse(text, SCHEMA) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("size = 1", "line 1:5 unexpected '='; write == for equal"),
        ("size ==\n  and", "line 2:2 unexpected 'and'"),
        ("size ==", "line 1:7 the expression ends too early"),
        ("size == 1 And age == 2", "line 1:10 unexpected 'And'"),
        ("name == 'a", "the string is not closed"),
        ("name == '\\d'", "invalid escape \\d"),
        ("size == 9223372036854775808", "out of the range of Int64"),
        ("size == 099", "invalid integer 099"),
        ("score == 1e999", "out of the range of Double"),
        ("size", "predicate is not a boolean expression"),
        ("sold", "write sold == true"),
        ("1 + 1", "predicate is not a boolean expression"),
        ("not size == 1", "'not' can only be applied to a condition"),
        ("(size == 1) == true", "a condition can't be compared"),
        ("missing == 1", "field missing not exist"),
        ("name == 1", "comparisons between VarChar and Int64 are not supported"),
        ("size == 'x'", "comparisons between Int64 and VarChar are not supported"),
        ("size == name", "comparisons between Int64 and VarChar are not supported"),
        ("sold < true", "the operator < is not supported on Bool"),
        ("size == null", "write `is null`"),
        ("vector == 1", "the vector field vector can't stand in a filter"),
        ("tags == ['a']", "comparisons between Array and Array are not supported"),
        ("tags['a'] == 'x'", "takes one index"),
        ("tags[0] is null", "not on an element of an array"),
        ("size[0] == 1", "has no parts"),
        ("doc == 1", "name a path in it"),
        ("doc[a] == 1", "json key must be enclosed in double quotes or single quotes"),
        ('doc["a"] == doc["b"]', "scalar fields only"),
        ("exists size", "exists operations are supported on JSON fields"),
        ("size in [1.5]", "value '1.5' in list cannot be casted to Int64"),
        ("name in ['a', 1]", "value '1' in list cannot be casted to VarChar"),
        ("size in 5", "must be a list"),
        ("size in [age]", "a list holds constants only"),
        ("size like 'a'", "like operation on non-string field"),
        ("name like 'a\\\\'", "lone escape character"),
        ("array_contains(sizes, 'x')", "cannot be casted to Int8"),
        ("array_contains_any(sizes, 1)", "operation element must be an array"),
        ("array_contains(size, 1)", "supported on Array and JSON fields only"),
        ("array_length(size) == 1", "takes one Array field or JSON path"),
        ("size + age == 1", "one field and one constant"),
        ("size + 1 + 1 == 3", "complicated arithmetic"),
        ("5 - size == 1", "must stand on the right"),
        ("size / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulo by zero"),
        ("size << 64 == 1", "shift count"),
        ("score % 2 == 1", "integers only"),
        ("name + 1 == 1", "not supported on VarChar"),
        ("size ** 2 == 4", "takes constants only"),
        ("10 ** 400 > size", "not a finite number"),
        ("1 < size > 2", "one direction"),
        ("1 < size < 2 < 3", "three parts"),
        ("text_match(name, 'a b', minimum_should_match=2)", 'field "name" does not enable match'),
        ("phrase_match(name, 'a b')", 'field "name" does not enable match'),
        ("text_match(size, 'a')", "text match operation on non-string is unsupported"),
        ("phrase_match(tags, 'a')", "phrase match operation on non-string is unsupported"),
        ("text_match(prose, 'a', minimum_should_match=0)", "minimum_should_match should be >= 1, got 0"),
        ("text_match(prose, 'a', minimum_should_match=1001)", "minimum_should_match should be <= 1000, got 1001"),
        ("text_match(prose, 'a', 2)", "a VarChar field, a string, and optionally minimum_should_match"),
        ("text_match(prose, 1)", "a VarChar field, a string, and optionally minimum_should_match"),
        ("phrase_match(prose, 'a', minimum_should_match=2)", "is an option of text_match only"),
        ("phrase_match(prose, 'a', -1)", '"slop" should not be a negative interger'),
        ("phrase_match(prose, 'a', 4294967296)", '"slop" exceeds the range of "uint32"'),
        ("phrase_match(prose, 'a', 0.5)", '"slop" should be a const integer expression'),
        ("phrase_match(prose, 'a', 1, 2)", "a VarChar field, a string, and optionally a slop"),
        ("random_sample(0.1)", "random_sample is not supported"),
        ("ST_CONTAINS(name, 'x')", "ST_CONTAINS is not supported"),
        ("name =~ 'a.*'", "=~ is not supported"),
        ("name > ISO '2024-01-01'", "field 'name' is not a timestamptz datatype"),
        ("element_filter(tags, $[a] > 1)", "element_filter is not supported"),
        ("foo(name)", "foo is not supported"),
    ],
)
def test_refusals_quote_the_text_and_say_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(text, SCHEMA)
    assert caught.value.message.startswith(f"cannot parse expression: {text}, error: ")
    assert problem in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "size == 1" + ")" * 10_000,
        "not " * 10_000 + "(size == 1)",
        "!" * 10_000 + "true",
        "not (" * 10_000 + "size == 1" + ")" * 10_000,
        "size == " + "-" * 10_000 + "1",
        "[" * 10_000,
        'exists doc["a"]' + '["a"]' * 10_000 + " ==",
        "size in [" + "9" * 5_000 + "]",
        "size == 1 or " * (MAX_LENGTH // 10) + "true",
    ],
    ids=range(9),
)
def test_pathological_texts_are_refused_shortly(text: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(text, SCHEMA)
    assert len(caught.value.message) < 1_500


def test_the_deepest_text_that_is_let_through() -> None:
    text = "size == 1"
    for level in range(16):
        text = f"age == {level} or not ({text} and size > {level})"
    assert isinstance(parse(text, SCHEMA), Or)


@pytest.mark.parametrize("item", ["{}", "-{}.5", "'k{}'", '"\\\\{}"'])
def test_long_lists_keep_every_item(item: str) -> None:
    texts = [item.format(index) for index in range(1, 20_001)]
    tree = parse(f"$meta['k'] in [ {' , '.join(texts)} ]", DYNAMIC)
    assert isinstance(tree, In)
    assert len(tree.values) == 20_000
    short = parse(f"$meta['k'] in [{texts[-1]}]", DYNAMIC)
    assert isinstance(short, In)
    assert tree.values[-1:] == short.values


def test_trees_are_values() -> None:
    text = 'size in [1] and (name like "a%" or not (doc["a"] == [1])) and array_length(tags) > 1 and color == 1'
    tree = parse(text, DYNAMIC)
    assert tree is not None
    assert pickle.loads(pickle.dumps(tree)) == tree
    assert hash(tree) == hash(parse(text, DYNAMIC))
    assert field_names(tree) == {"size", "name", "doc", "tags", "$meta"}


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ('doc["a"] == 1', 'doc["a"] == true'),
        ('doc["a"] == 0.0', 'doc["a"] == false'),
        ('doc["a"] in [1, 2]', 'doc["a"] in [true, 2]'),
        ('json_contains(doc["a"], 1)', 'json_contains(doc["a"], true)'),
        ('json_contains(doc["a"], [[1], 2])', 'json_contains(doc["a"], [[true], 2])'),
        ("size / 2 == 1", "size / 2.0 == 1"),
        ('not (doc["a"] == 1 and size > 1)', 'not (doc["a"] == true and size > 1)'),
    ],
)
def test_trees_with_constants_of_other_types_differ(text: str, other: str) -> None:
    """Python takes 1, 1.0 and True for equal. Searches with equal filters share their work."""
    assert parse(text, SCHEMA) == parse(text, SCHEMA)
    assert parse(text, SCHEMA) != parse(other, SCHEMA)


def test_conditions_on_words_have_the_terms_of_the_fields_analyzer() -> None:
    prose, english = Column("prose", DataType.VARCHAR), '{"type": "english"}'
    assert parse("text_match(prose, 'The dogs, the DOGS ran')", SCHEMA) == TextMatch(
        prose, ("dog", "ran"), 1, english
    )
    matched = parse("TEXT_MATCH(prose, {text}, minimum_should_match = 2)", SCHEMA, {"text": "a b c"})
    assert matched == TextMatch(prose, ("b", "c"), 2, english)
    assert parse("phrase_match(prose, 'end of the world', 3)", SCHEMA) == PhraseMatch(
        prose, ((0, "end"), (3, "world")), 3, english
    )
    assert field_names(matched) == {"prose"}
    assert parse("minimum_should_match == 1", DYNAMIC) is not None
