"""``entities/query`` and ``entities/get``: which rows, which fields, how many, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.data_planes import DataPlane

ALLOW = {"Accept-Type-Allow-Int64": "true"}
ROWS = 20


@pytest.fixture(scope="module")
def docs(plane: DataPlane) -> str:
    """Twenty rows: ``n`` is null for every fifth, ``word`` a text, ``list`` 0 to 4 numbers, ``j`` a document."""
    name = plane.collection(
        {"fieldName": "n", "dataType": "Int32", "nullable": True},
        {"fieldName": "word", "dataType": "VarChar", "elementTypeParams": {"max_length": 20}},
        {
            "fieldName": "list",
            "dataType": "Array",
            "elementDataType": "Int64",
            "elementTypeParams": {"max_capacity": 8},
        },
        {"fieldName": "j", "dataType": "JSON"},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        dynamic=True,
    )
    plane.put(
        name,
        [
            {
                "id": i,
                "n": None if i % 5 == 4 else i * 10,
                "word": f"word {i}",
                "list": list(range(i % 5)),
                "j": {"a": {"b": i}, "tags": ["x", i]} if i % 2 else {"a": f"text {i}"},
                "v": [i, 0.1],
                **({"color": "red", "size": i} if i % 4 == 0 else {}),
            }
            # Backwards: answers are ordered by the key all the same.
            for i in reversed(range(ROWS))
        ],
    )
    return name


def ids(plane: DataPlane, docs: str, filter: str = "", **more: Any) -> list[int]:
    rows = plane.call("entities/query", collectionName=docs, filter=filter, outputFields=["id"], **more)
    assert all(row.keys() == {"id"} for row in rows)
    return [int(row["id"]) for row in rows]


# Fields


def test_a_row_with_all_its_fields(plane: DataPlane, docs: str) -> None:
    told = plane.reply("entities/query", {"collectionName": docs, "filter": "id in [8, 9]"})
    assert told == {
        "code": 0,
        "cost": 0,
        "data": [
            {
                "id": "8",
                "n": 80,
                "word": "word 8",
                "list": {"Data": {"LongData": {"data": [0, 1, 2]}}},
                "j": '{"a":"text 8"}',
                "v": [8.0, 0.1],
                "color": "red",
                "size": 8,
            },
            {
                "id": "9",
                "n": None,
                "word": "word 9",
                "list": {"Data": {"LongData": {"data": [0, 1, 2, 3]}}},
                "j": '{"a":{"b":9},"tags":["x",9]}',
                "v": [9.0, 0.1],
            },
        ],
    }


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["*"], {"id", "n", "word", "list", "j", "v", "color", "size"}),
        ([], {"id"}),
        (["id"], {"id"}),
        (["v"], {"id", "v"}),
        (["word", "word", "color"], {"id", "word", "color"}),
        (['$meta["color"]'], {"id", "color"}),
        (["$meta['size']"], {"id", "size"}),
        (["$meta"], {"id", "color", "size"}),
        (["color", "*"], {"id", "n", "word", "list", "j", "v", "color", "size"}),
        (["no such key"], {"id"}),
    ],
)
def test_output_fields(plane: DataPlane, docs: str, names: list[str], keys: set[str]) -> None:
    for action, asked in (("query", {"filter": "id == 4"}), ("get", {"id": 4})):
        (row,) = plane.call(f"entities/{action}", collectionName=docs, outputFields=names, **asked)
        assert row.keys() == keys


def test_a_dynamic_key_is_shown_where_a_row_has_it(plane: DataPlane, docs: str) -> None:
    rows = plane.call("entities/query", collectionName=docs, filter="id < 2", outputFields=["color"])
    assert rows == [{"id": "0", "color": "red"}, {"id": "1"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ('j["a"]', 'not support getting subkeys of json field yet: j["a"]: invalid parameter'),
        ('color["x"]', "not support getting subkeys of json field yet"),
        ("sum(n)", "sum(n) in outputFields is not supported by this server: invalid parameter"),
        ("COUNT(n)", "COUNT(n) in outputFields is not supported by this server"),
    ],
)
def test_output_fields_that_are_not_served(plane: DataPlane, docs: str, name: str, text: str) -> None:
    code, told = plane.error("entities/query", collectionName=docs, outputFields=["id", name])
    assert (code, text in told) == (1100, True), told


def test_an_unknown_field_without_dynamic_ones(plane: DataPlane) -> None:
    docs = plane.quick(params={"enableDynamicField": False})
    for action in ("query", "get", "search"):
        assert plane.error(
            f"entities/{action}", collectionName=docs, outputFields=["x"], id=1, data=[[1, 2]], filter="id > 0"
        ) == (1100, "field x not exist: invalid parameter")


def test_int64_as_numbers_for_those_who_say_so(plane: DataPlane, docs: str) -> None:
    for word, key in (("true", 4), ("1", 4), ("T", 4), ("false", "4"), ("yes", "4")):
        headers = {"accept-type-allow-int64": word}
        (row,) = plane.call("entities/get", headers, collectionName=docs, id=4, outputFields=["n", "size"])
        assert row == {"id": key, "n": None, "size": 4}


# Counting


@pytest.mark.parametrize("name", ["count(*)", " COUNT( * ) ", "Count(*)"])
def test_count(plane: DataPlane, docs: str, name: str) -> None:
    asked = {"collectionName": docs, "outputFields": [name], "limit": 1}
    assert plane.call("entities/query", **asked) == [{"count(*)": str(ROWS)}]
    assert plane.call("entities/query", ALLOW, **asked, filter=" ") == [{"count(*)": ROWS}]
    assert plane.call("entities/query", **asked, filter="id < 3") == [{"count(*)": "3"}]
    assert plane.call("entities/query", **asked, filter="false") == [{"count(*)": "0"}]


def test_count_stands_alone(plane: DataPlane, docs: str) -> None:
    assert plane.error("entities/query", collectionName=docs, outputFields=["count(*)", "id"]) == (
        1100,
        "count entities with other output fields is not supported: invalid parameter",
    )


# Limit and offset


def test_pages(plane: DataPlane, docs: str) -> None:
    assert ids(plane, docs) == list(range(ROWS))
    assert ids(plane, docs, limit=3) == [0, 1, 2]
    assert ids(plane, docs, limit=3, offset=18) == [18, 19]
    assert ids(plane, docs, limit=3, offset=100) == []
    assert ids(plane, docs, limit=3, offset=-1) == [0, 1, 2]
    assert ids(plane, docs, "id >= 5", limit=2, offset=1) == [6, 7]


def test_a_hundred_rows_unless_said(plane: DataPlane) -> None:
    docs = plane.quick()
    plane.put(docs, [{"id": i, "vector": [1, i]} for i in range(150)])
    assert ids(plane, docs) == list(range(100))
    for limit in (0, -5):
        # No limit at all; then there is no offset either, but a filter there must be.
        assert ids(plane, docs, "id >= 0", limit=limit, offset=7) == list(range(150))
        assert plane.error("entities/query", collectionName=docs, limit=limit) == (
            1100,
            "empty expression should be used with limit: invalid parameter",
        )
    hits = plane.call("entities/search", collectionName=docs, data=[[1, 1]])
    assert len(hits) == 100


@pytest.mark.parametrize(
    ("limit", "offset", "window"), [(16385, 0, 16385), (16384, 1, 16385), (1, 16384, 16385), (2**31, 0, 2**31)]
)
def test_the_widest_window(plane: DataPlane, docs: str, limit: int, offset: int, window: int) -> None:
    code, text = plane.error("entities/query", collectionName=docs, limit=limit, offset=offset)
    assert code == 1100
    assert text.startswith(
        f"invalid max query result window, (offset+limit) should be in range [1, 16384], but got {window}: invalid"
    )
    assert ids(plane, docs, limit=16383, offset=1) == list(range(1, ROWS))


@pytest.mark.parametrize("wrong", [{"limit": "5"}, {"limit": 1.5}, {"offset": "1"}, {"outputFields": "id"}])
def test_wrong_json_types(plane: DataPlane, docs: str, wrong: dict[str, Any]) -> None:
    code, text = plane.error("entities/query", collectionName=docs, **wrong)
    assert (code, text.startswith("can only accept json format request, error: json: cannot unmarshal")) == (
        1801,
        True,
    )


# Filters


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("id == 3", [3]),
        ("id in [3, 5, 99]", [3, 5]),
        ("id not in [3, 5] and id < 6", [0, 1, 2, 4]),
        ("2 < id <= 4", [3, 4]),
        ("n == 30 or word == 'word 4'", [3, 4]),
        ("n is null", [4, 9, 14, 19]),
        ("n is not null and id > 16", [17, 18]),
        ("not (n > 20) and id < 6", [0, 1, 2]),  # null is unknown, and so is its negation
        ("n != 30 and id < 6", [0, 1, 2, 5]),
        ('word like "word 1_"', list(range(10, 20))),
        ('word LIKE "%7"', [7, 17]),
        ("n % 100 == 50", [5, 15]),
        ("id + 1 == 5", [4]),
        ("list[2] == 2 and id < 9", [3, 4, 8]),
        ("array_contains(list, 3)", [4, 9, 14, 19]),
        ("array_contains_all(list, [1, 2]) and id < 9", [3, 4, 8]),
        ("array_length(list) == 0", [0, 5, 10, 15]),
        ('j["a"]["b"] == 7', [7]),
        ('j["a"]["b"] > 15', [17, 19]),
        ('j["a"] == "text 8"', [8]),
        ('json_contains(j["tags"], 5)', [5]),
        ('exists j["tags"] and id < 4', [1, 3]),
        ('color == "red" and size > 10', [12, 16]),
        ('$meta["size"] == 8', [8]),
        ("exists size", [0, 4, 8, 12, 16]),
        ("true", list(range(ROWS))),
        ("1 > 2", []),
    ],
)
def test_filters(plane: DataPlane, docs: str, filter: str, found: list[int]) -> None:
    assert ids(plane, docs, filter) == found
    rows = plane.call("entities/query", collectionName=docs, filter=filter, outputFields=["count(*)"])
    assert rows == [{"count(*)": str(len(found))}]
    hits = plane.call("entities/search", collectionName=docs, data=[[1, 0]], filter=filter)
    assert sorted(int(hit["id"]) for hit in hits) == found


@pytest.mark.parametrize(
    ("filter", "why"),
    [
        ("id = 3", "line 1:3 unexpected '='; write == for equal"),
        ("id == ", "the expression ends too early"),
        ("id == 'x'", "comparisons between Int64 and VarChar are not supported"),
        ("id in [1.5]", "value '1.5' in list cannot be casted to Int64"),
        ("not id == 1", "'not' can only be applied to a condition"),
        ("v == 1", "the vector field v can't stand in a filter"),
        ("n + id == 3", "one field and one constant"),
        ("text_match(word, 'a')", 'field "word" does not enable match'),
        ("random_sample(0.1)", "random_sample is not supported"),
    ],
)
def test_filters_that_are_refused(plane: DataPlane, docs: str, filter: str, why: str) -> None:
    for action in ("query", "search"):
        code, text = plane.error(f"entities/{action}", collectionName=docs, filter=filter, data=[[1, 2]])
        assert code == 1100
        assert text.startswith(f"failed to create query plan: cannot parse expression: {filter}, error: ")
        assert why in text
        assert text.endswith(": invalid parameter")


def test_a_name_that_is_no_field_without_dynamic_ones(plane: DataPlane) -> None:
    docs = plane.quick(params={"enableDynamicField": False})
    code, text = plane.error("entities/query", collectionName=docs, filter="color == 'red'")
    assert (code, "error: field color not exist" in text) == (1100, True)


@pytest.mark.parametrize(
    ("filter", "values", "found"),
    [
        ("id in {ids}", {"ids": [3, 5.0, 99]}, [3, 5]),
        ("id == {one}", {"one": 4.0}, [4]),
        ("word == {word}", {"word": 'word 4" or true or "'}, []),
        ("word in {words}", {"words": ["word 4", "x"]}, [4]),
        ("word like {pattern}", {"pattern": "%1_"}, list(range(10, 20))),
        ("array_contains_any(list, {some})", {"some": [3]}, [4, 9, 14, 19]),
        ('j["a"]["b"] in {mixed}', {"mixed": [1, "x", True]}, [1]),
        ("id in {none}", {"none": []}, []),
    ],
)
def test_template_values(plane: DataPlane, docs: str, filter: str, values: dict[str, Any], found: list[int]) -> None:
    assert ids(plane, docs, filter, exprParams=values) == found


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "the value of expression template variable name {x} is not found"),
        ({"x": None}, "the template value x is null"),
        ({"x": {}}, "the template value x is an object"),
        ({"x": [[1], None]}, "the template value x is null"),
    ],
)
def test_template_values_that_are_refused(plane: DataPlane, docs: str, values: dict[str, Any], why: str) -> None:
    code, text = plane.error("entities/query", collectionName=docs, filter="id == {x}", exprParams=values)
    assert (code, why in text) == (1100, True), text


# Get


def test_keys_come_in_every_form(plane: DataPlane, docs: str) -> None:
    def got(key: Any) -> list[str]:
        rows = plane.call("entities/get", collectionName=docs, id=key, outputFields=["id"])
        return [row["id"] for row in rows]

    assert got(3) == got("3") == got([3]) == got(["3"]) == ["3"]
    assert got([5, "3", 5, 99]) == ["3", "5"]
    assert got(0) == ["0"]
    assert got([]) == got(-1) == []


@pytest.mark.parametrize("wrong", [1.5, True, "x", "1_0", [1, None], [[1]], {"a": 1}, 2**63, "9" * 30])
def test_what_is_no_key(plane: DataPlane, docs: str, wrong: Any) -> None:
    code, text = plane.error("entities/get", collectionName=docs, id=wrong)
    assert code == 1806
    assert text.startswith("please check the primary key and its' type can only in [int, string], error: ")


def test_a_key_there_must_be(plane: DataPlane, docs: str) -> None:
    for given in ({}, {"id": None}, {"id": ""}):
        code, text = plane.error("entities/get", collectionName=docs, **given)
        assert (code, "Field validation for 'Id' failed" in text or "'ID'" in text) == (1802, True), text


def test_keys_that_are_texts(plane: DataPlane) -> None:
    docs = plane.quick(idType="VarChar", primaryFieldName="like", params={"max_length": 20})
    keys = ["a", 'say "hi"', "it's", "back\\slash", "naïve ☕", "7"]
    plane.put(docs, [{"like": key, "vector": [1, 2]} for key in keys])
    rows = plane.call("entities/get", collectionName=docs, id=[*keys[:5], 7], outputFields=[])
    assert sorted(row["like"] for row in rows) == sorted(keys)
    assert plane.error("entities/get", collectionName=docs, id=[1.5])[0] == 1806


def test_many_keys(plane: DataPlane) -> None:
    docs = plane.quick()
    plane.put(docs, [{"id": i, "vector": [1, i]} for i in range(3000)])
    keys = list(range(0, 60_000, 2))
    rows = plane.call("entities/get", collectionName=docs, id=keys, outputFields=["id"])
    assert [int(row["id"]) for row in rows] == list(range(0, 3000, 2))
    assert len(ids(plane, docs, "id in {keys}", exprParams={"keys": keys}, limit=16384)) == 1500


# The rest


@pytest.mark.parametrize("action", ["query", "get", "search"])
def test_unknown_collections(plane: DataPlane, action: str) -> None:
    assert plane.error(f"entities/{action}", collectionName="nope", id=1, data=[[1, 2]]) == (
        100,
        "can't find collection[database=default][collection=nope]",
    )
    code, text = plane.error(f"entities/{action}", id=1, data=[[1, 2]])
    assert (code, "'CollectionName' failed on the 'required' tag" in text) == (1802, True)


@pytest.mark.parametrize("action", ["query", "get", "search"])
def test_consistency_levels(plane: DataPlane, docs: str, action: str) -> None:
    asked = {"collectionName": docs, "id": 1, "data": [[1, 2]], "limit": 1}
    assert plane.call(f"entities/{action}", **asked, consistencyLevel="Eventually")
    code, text = plane.error(f"entities/{action}", **asked, consistencyLevel="eventually")
    assert code == 1100
    assert text.startswith(
        "consistencyLevel can only be [Strong, Session, Bounded, Eventually, Customized], default:"
    )


@pytest.mark.parametrize("key", ["orderByFields", "groupByFields"])
def test_parts_of_a_query_that_are_not_served(plane: DataPlane, docs: str, key: str) -> None:
    assert plane.error("entities/query", collectionName=docs, **{key: ["n:desc"]}) == (
        1100,
        f"{key} is not supported by this server: invalid parameter",
    )
    assert plane.call("entities/query", collectionName=docs, **{key: []}, limit=1)
