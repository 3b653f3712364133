"""Filters that are as large as they may be, or larger: every operator, written in the text and as template values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.filters.ast_builder import MAX_DEPTH, MAX_MATCHED_TEXT
from penstock.filters.limits import (
    MAX_CONDITIONS,
    MAX_JSON_CONDITIONS,
    MAX_KEYS,
    MAX_NESTED_LISTS,
    MAX_PATTERN,
    MAX_PHRASE,
    MAX_TEXT_CONDITIONS,
    MAX_VALUES,
)

__all__ = ["ROWS", "SCHEMA", "Sized", "largest", "odd_filters", "row", "too_large"]

ROWS = 40
_LONG = 12_000
"""Numbers in a JSON list of 64 kB."""

_VARCHAR = {"max_length": 8192}
_ANALYZED = {**_VARCHAR, "enable_analyzer": True, "enable_match": True}
SCHEMA: Mapping[str, Any] = {
    "autoID": False,
    "enableDynamicField": True,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "real", "dataType": "Double"},
        {"fieldName": "name", "dataType": "VarChar", "elementTypeParams": _VARCHAR},
        {"fieldName": "prose", "dataType": "VarChar", "elementTypeParams": _ANALYZED},
        {"fieldName": "doc", "dataType": "JSON"},
        {
            "fieldName": "tags",
            "dataType": "Array",
            "elementDataType": "Int64",
            "elementTypeParams": {"max_capacity": 9},
        },
        {
            "fieldName": "words",
            "dataType": "Array",
            "elementDataType": "VarChar",
            "elementTypeParams": {"max_capacity": 9, "max_length": 99},
        },
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ],
}


def row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "real": number + 0.5,
        "name": "a" * 5000 if number == 1 else f"n{number}",
        "prose": "a b " * 2000 if number == 1 else f"N{number} words",
        "doc": {
            "a": number,
            "s": "a" * 5000 if number == 1 else f"n{number}",
            "list": [number, f"n{number}", [number]],
            "long": list(range(_LONG if number == 2 else number)),
        },
        "tags": [number, number + 1],
        "words": [f"n{number}", "x"],
        "vector": [number, 1],
        "color": number,
    }


@dataclass(frozen=True, slots=True)
class Sized:
    """A filter with the values of its templates, and the ids of the rows it selects."""

    name: str
    text: str
    ids: Sequence[int] = ()
    params: Mapping[str, Any] = field(default_factory=dict)


_LISTS: Mapping[str, tuple[str, Callable[[int], list[Any]], Sequence[int]]] = {
    "in integers": ("id in {}", lambda n: list(range(5, n + 5)), range(5, ROWS)),
    "not in integers": ("id not in {}", lambda n: list(range(5, n + 5)), range(5)),
    "in floats": ("real in {}", lambda n: [i + 0.5 for i in range(5, n + 5)], range(5, ROWS)),
    "in strings": ("name in {}", lambda n: [f"n{i}" for i in range(n)], [i for i in range(ROWS) if i != 1]),
    "element in": ("tags[1] in {}", lambda n: list(range(5, n + 5)), range(4, ROWS)),
    "json in integers": ('doc["a"] in {}', lambda n: list(range(5, n + 5)), range(5, ROWS)),
    "json not in": ('doc["a"] not in {}', lambda n: list(range(5, n + 5)), range(5)),
    "json in large": ('doc["a"] in {}', lambda n: [*range(2**60, 2**60 + n - 1), 7], [7]),
    "json in mixed": ("color in {}", lambda n: ["x", True, *range(3, n + 1)], range(3, ROWS)),
    "json equal": ('doc["long"] == {}', lambda n: list(range(n)), []),
    "json equal its list": ('doc["long"] == {}', lambda n: list(range(min(n, _LONG))), [2]),
    "json unequal": ('doc["long"] != {}', lambda n: list(range(n)), range(ROWS)),
    "json equal nested": ('doc["list"] == {}', lambda n: [list(range(n - 1))], []),
    "json_contains": ('json_contains(doc["list"], {})', lambda n: list(range(n)), []),
    "json_contains_any": ('json_contains_any(doc["list"], {})', lambda n: list(range(5, n + 5)), range(5, ROWS)),
    "json_contains_all": ('json_contains_all(doc["long"], {})', lambda n: list(range(n)), []),
    "json_contains_all of a list": ('json_contains_all(doc["long"], {})', lambda n: list(range(min(n, _LONG))), [2]),
    "array_contains_any": ("array_contains_any(tags, {})", lambda n: list(range(5, n + 5)), range(4, ROWS)),
    "array_contains_all": ("array_contains_all(tags, {})", lambda n: list(range(n)), []),
    "not array_contains_any": ("not array_contains_any(tags, {})", lambda n: list(range(5, n + 5)), range(4)),
    "array_contains_any of strings": (
        "array_contains_any(words, {})",
        lambda n: [f"n{i}" for i in range(5, n + 5)],
        range(5, ROWS),
    ),
}
"""What takes a list: the text around it, the list of a size, and the ids (where the size is above 13,000)."""

_CONDITIONS: Mapping[str, tuple[str, str, Sequence[int]]] = {
    "or of comparisons": (" or ", "id == {}", range(ROWS)),
    "or of others": (" or ", "real > {}.25", range(ROWS)),
    "and of comparisons": (" and ", "id != {}", []),
    "or of elements": (" or ", "tags[0] == {}", range(ROWS)),
    "and of likes": (" and ", 'not (name like "%q{}%")', range(ROWS)),
    "or of lists": (" or ", "id in [{}, 3]", range(ROWS)),
    "or of contains": (" or ", "array_contains_any(words, ['n{}', 'y'])", range(ROWS)),
    "or of steps": (" or ", "id + 1 == {}", range(ROWS)),
}
_JSON_CONDITIONS: Mapping[str, tuple[str, str, Sequence[int]]] = {
    "or of json": (" or ", 'doc["a"] == {}', range(ROWS)),
    "or of paths": (" or ", 'doc["k{}"] > 1', []),
    "or of strings": (" or ", 'doc["s"] == "n{}"', [i for i in range(ROWS) if i != 1]),
    "and of orders": (" and ", 'doc["s"] > "{}"', range(ROWS)),
    "and of exists": (" and ", "not exists k{}", range(ROWS)),
    "or of json lists": (" or ", 'doc["list"] == [{0}, "n{0}", [{0}]]', range(ROWS)),
    "or of lengths": (" or ", 'array_length(doc["long"]) == {}', [i for i in range(ROWS) if i != 2]),
    "or of json likes": (" or ", 'doc["s"] like "n{}"', [i for i in range(ROWS) if i != 1]),
    "and of steps": (" and ", 'doc["a"] + {} >= 0', range(ROWS)),
    "or of contains": (" or ", 'json_contains_any(doc["list"], [{}, "y"])', range(ROWS)),
}


def _list_filters(size: int, names: Sequence[str] = tuple(_LISTS)) -> Iterator[Sized]:
    for name in names:
        text, values, ids = _LISTS[name]
        # Of a list that is a value itself both count, the list and what is in it.
        whole = name in ("json equal", "json unequal", "json equal nested", "json_contains")
        items = values(size - whole)
        yield Sized(f"{name} by template", text.replace("{}", "{values}"), ids, {"values": items})
        # The text of large integers is longer than a filter may be, and other than flat lists have to be shorter.
        if name not in ("json in large", "json in mixed"):
            yield Sized(f"{name} by text", text.replace("{}", json.dumps(items)), ids)


def _chain(word: str, condition: str, number: int) -> str:
    return word.join(condition.replace("{}", str(index)).replace("{0}", str(index)) for index in range(number))


def _chains(number: int, json_number: int) -> Iterator[Sized]:
    for name, (word, condition, ids) in _CONDITIONS.items():
        yield Sized(name, _chain(word, condition, number), ids)
    for name, (word, condition, ids) in _JSON_CONDITIONS.items():
        yield Sized(name, _chain(word, condition, json_number), ids)


def _nested(depth: int, number: int) -> str:
    """Brackets inside each other, each of them around a chain."""
    text = "id == 0"
    for level in range(depth):
        chain = " or ".join(f"id == {index} and real < {index + 1}" for index in range(number // depth // 2 - 1))
        text = f"({text} or {chain}) {'and' if level % 2 else 'or'} id < 99"
    return text


def largest(
    values: int = MAX_VALUES, conditions: int = MAX_CONDITIONS, json_conditions: int = MAX_JSON_CONDITIONS
) -> list[Sized]:
    """The largest of each kind that is still served; with other numbers, filters of the same names."""
    runs = 0x5555_5555_5555_5555
    keys = '["a"]' * MAX_KEYS
    return [
        *_list_filters(values),
        *_chains(conditions, json_conditions),
        Sized("nested", _nested(MAX_DEPTH, MAX_CONDITIONS), range(ROWS)),
        Sized("negated", "not (" * (MAX_DEPTH // 2) + "id == 3" + ")" * (MAX_DEPTH // 2), [3]),
        Sized("masks", " or ".join([f"(id & {runs}) == 1"] * 15), [i for i in range(ROWS) if i & 0x55 == 1]),
        Sized("json mask", f'(doc["a"] ^ {0x1111_1111_1111_1111}) == 0', []),
        Sized("keys", f"doc{keys} == 1 or exists doc{keys} or id == 4", [4]),
        Sized("like", f'name like "{"a" * (MAX_PATTERN - 1)}%"', [1]),
        Sized("like runs", f'name like "{"%a" * (MAX_PATTERN // 2)}"', [1]),
        Sized("like places", f'name like "{"_" * (MAX_PATTERN - 1)}%"', [1]),
        Sized("like runs of places", f'name like "{"a_%" * (MAX_PATTERN // 3)}"', [1]),
        Sized("json like", f'doc["s"] like "{"%a" * (MAX_PATTERN // 2)}"', [1]),
        Sized("json like places", f'doc["s"] like "{"_" * (MAX_PATTERN - 1)}%"', [1]),
        Sized("short likes", f'doc["s"] like "{"_" * 64}%" or name like "{"_%" * 32}"', [1]),
        Sized("like by template", "name like {p}", [1], {"p": "%a" * (MAX_PATTERN // 2)}),
        Sized(
            "lists among the values",
            'json_contains_any(doc["list"], {values})',
            range(3, ROWS),
            {"values": [[index] for index in range(3, MAX_NESTED_LISTS + 3)]},
        ),
        Sized("deep values", 'doc["list"] == {deep}', [], {"deep": _deep(MAX_DEPTH)}),
        Sized("deep list", f'doc["list"] != {json.dumps(_deep(MAX_DEPTH))}', range(ROWS)),
        Sized(
            "text matches",
            " or ".join(f"text_match(prose, 'n{index} x')" for index in range(MAX_TEXT_CONDITIONS)),
            [index for index in range(MAX_TEXT_CONDITIONS) if index != 1],
        ),
        Sized("long text match", f"text_match(prose, '{_words(MAX_MATCHED_TEXT)}')", _PLAIN),
        Sized("minimum", "text_match(prose, 'n7 words', minimum_should_match=2)", [7]),
        Sized("phrases", " or ".join([_phrase(MAX_PHRASE, 40)] * MAX_TEXT_CONDITIONS), [1]),
        Sized("exact phrases", " or ".join([_phrase(MAX_PHRASE, 0)] * MAX_TEXT_CONDITIONS), [1]),
        Sized("index", "tags[2147483648] == 1 or tags[9223372036854775807] == 1 or id == 2", [2]),
        Sized("long string", f'name == "{"a" * 3_000_000}" or doc["s"] == "{"a" * 900_000}"', []),
    ]


_PLAIN = [index for index in range(ROWS) if index != 1]


def _words(characters: int) -> str:
    return " ".join(f"n{index}" for index in range(characters // 3 + 1))[:characters]


def _phrase(words: int, slop: int) -> str:
    """A phrase of row 1, which has its words at every other place."""
    return f"phrase_match(prose, '{'a b ' * (words // 2)}', {slop})"


def too_large(
    values: int = MAX_VALUES + 2,
    conditions: int = MAX_CONDITIONS + 1,
    json_conditions: int = MAX_JSON_CONDITIONS + 1,
    very_many: int = 3000,
) -> list[Sized]:
    """One more than is served, and very much more; with other numbers, filters of the same names."""
    masks = " or ".join(["(id & 6148914691236517205) == 1"] * 16)
    return [
        *(
            filter_
            for filter_ in _list_filters(values)
            if "its list" not in filter_.name and "of a list" not in filter_.name
        ),
        *_chains(conditions, json_conditions),
        *_chains(very_many, very_many),
        Sized("masks", masks),
        Sized("nested", _nested(MAX_DEPTH + 1, MAX_CONDITIONS)),
        Sized("keys", "doc" + '["a"]' * (MAX_KEYS + 1) + " == 1"),
        Sized("many keys", "doc" + '["a"]' * 20_000 + " == 1"),
        Sized("like", f'name like "{"a" * (MAX_PATTERN + 1)}"'),
        Sized("text matches", " or ".join(["text_match(prose, 'a')"] * (MAX_TEXT_CONDITIONS + 1))),
        Sized("phrase", _phrase(MAX_PHRASE + 2, 1)),
        Sized("long text match", "text_match(prose, {p})", params={"p": _words(MAX_MATCHED_TEXT + 1)}),
        Sized("very long text match", "text_match(prose, {p})", params={"p": _words(2_000_000)}),
        Sized("long like", "name like {p}", params={"p": "a%" * 50_000}),
        Sized("long json like", 'doc["s"] like {p}', params={"p": "_" * 100_000}),
        Sized(
            "lists among the values",
            'json_contains_any(doc["list"], {values})',
            params={"values": [[index] for index in range(MAX_NESTED_LISTS + 1)]},
        ),
        *(
            Sized(f"values {depth} deep", text, params={"deep": _deep(depth)})
            for depth in (MAX_DEPTH + 2, 300, 900)
            for text in ('doc["list"] == {deep}', "id in {deep}", 'json_contains(doc["list"], {deep})')
        ),
        Sized("deep list", f'doc["list"] == {"[" * 500}1{"]" * 500}'),
        Sized("long string", f'name == "{"a" * 5_000_000}"'),
    ]


def odd_filters(random_: random.Random) -> Iterator[Sized]:
    """Without end: filters of any size, joined. What they select is not known."""
    while True:
        size = int(2 ** random_.uniform(0, 18))
        parts = [
            *(random_.choice([*_list_filters(size, [name])]) for name in random_.sample([*_LISTS], 2)),
            *random_.sample([*_chains(min(size, 5000), min(size, 500))], 1),
            Sized("like", f'name like "{random_.choice(["a", "_", "%", "a%", "_%"]) * min(size, 60_000)}"'),
            Sized("deep", 'doc["list"] == {deep}', params={"deep": _deep(min(size, 900))}),
        ]
        chosen = random_.sample(parts, random_.choice([1, 1, 2]))
        texts = [
            f"{random_.choice(['', 'not '])}({part.text.replace('{values}', f'{{values{place}}}')})"
            for place, part in enumerate(chosen)
        ]
        params = {
            (f"values{place}" if name == "values" else name): value
            for place, part in enumerate(chosen)
            for name, value in part.params.items()
        }
        name = " & ".join(f"{part.name} ({size})" for part in chosen)
        yield Sized(name, random_.choice([" and ", " or "]).join(texts), params=params)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value
