"""Engines on several stores: the server's own, and those of clusters that have a store of their own."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from penstock.engines.lance import LanceEngine
from penstock.errors import StorageError
from tests.support.s3 import S3Server
from tests.support.tables import import_rows, new_table, plain_batch, vectors


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "elsewhere")
    s3: S3Server = request.getfixturevalue("s3")
    return f"s3://{s3.make_bucket()}/elsewhere"


def test_tables_are_where_they_say(tmp_path: Path, s3: S3Server, place: str) -> None:
    own = LanceEngine(str(tmp_path / "own"), s3.settings)
    assert own.at("") is own
    other = own.at(place)
    for engine in (own, other):
        engine.check()
        assert engine.tables() == []
    own, other = pickle.loads(pickle.dumps((own, other)))  # as workers get them
    here, _ = import_rows(own, new_table(own), plain_batch(vectors(3)))
    there, _ = import_rows(other, new_table(other), plain_batch(vectors(5)))
    assert (own.count(here), other.count(there)) == (3, 5)
    assert (own.tables(), other.tables()) == ([here.id], [there.id])
    assert LanceEngine(place, s3.settings).count(there) == 5
    other.drop(there.id)
    assert (own.tables(), other.tables()) == ([here.id], [])


@pytest.mark.parametrize("place", ["own", "own/inside", "."])
def test_no_place_lies_in_the_engines_own(tmp_path: Path, place: str) -> None:
    engine = LanceEngine(str(tmp_path / "own"))
    with pytest.raises(StorageError, match="overlap"):
        engine.at(str(tmp_path / place))
