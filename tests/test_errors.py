"""The error tree."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from penstock import errors
from penstock.errors import DataError, PenstockError, Transient

CLASSES = {
    name: each for name, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__
}
KINDS = [each for each in CLASSES.values() if issubclass(each, PenstockError) and each is not DataError]


def drawn_tree() -> dict[str, str | None]:
    """Each class in the drawing of the module's docstring, and its parent there."""
    lines = re.findall(r"^    (\S.*|[│ ]+[├└].*)$", errors.__doc__ or "", re.MULTILINE)
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in lines:
        branch = re.match(r"[│├└─ ]*", line)
        assert branch is not None
        depth = len(branch.group()) // 4
        names = re.match(r"[A-Z]\w+(, [A-Z]\w+)*", line[branch.end() :])
        assert names is not None, line
        for name in names.group().split(", "):
            parents[name] = above[depth - 1] if depth else None
        above[depth:] = [names.group().split(", ")[0]]
    return parents


def test_the_drawing_is_the_tree() -> None:
    real = {each.__name__: next(b.__name__ for b in each.__bases__ if b is not Transient) for each in KINDS}
    real["DataError"] = "PenstockError"
    expected = {name: None if name == "PenstockError" else parent for name, parent in real.items()}
    assert drawn_tree() == expected


def test_the_drawing_marks_what_may_be_tried_again() -> None:
    marked = set(re.findall(r"(\w+) +\(transient\)", errors.__doc__ or ""))
    assert marked == {each.__name__ for each in KINDS if issubclass(each, Transient)}


def test_codes_are_unique_and_every_class_has_its_own() -> None:
    codes = [each.code for each in CLASSES.values() if issubclass(each, PenstockError)]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling(kind: type[PenstockError]) -> None:
    error = pickle.loads(pickle.dumps(kind("No such thing.", name="x", size=3)))
    assert type(error) is kind
    assert (str(error), error.message, error.details) == (
        "No such thing.",
        "No such thing.",
        {"name": "x", "size": 3},
    )


class TestDataError:
    error = DataError(
        "the vector has 127 dimensions, the field has 128",
        file="a.parquet",
        row=12,
        field="vector",
        value=[0.5] * 127,
        offset=4096,
        remedy="Mend the row.",
    )

    def test_says_where_what_and_what_to_do(self) -> None:
        assert str(self.error) == (
            "file 'a.parquet', row 12, byte 4096, field 'vector': "
            "the vector has 127 dimensions, the field has 128; "
            f"value: [{'0.5, ' * 15}0.5…. Mend the row."
        )

    def test_needs_only_the_rule(self) -> None:
        assert str(DataError("the file is empty")) == "the file is empty"

    def test_survives_pickling(self) -> None:
        copy = pickle.loads(pickle.dumps(self.error))
        assert (str(copy), vars(copy)) == (str(self.error), vars(self.error))

    def test_gets_its_file_and_row_later(self) -> None:
        placed = DataError("too long", row=2, field="x", value="abc").at(file="b.csv", row=1002)
        assert str(placed) == "file 'b.csv', row 1002, field 'x': too long; value: abc"
