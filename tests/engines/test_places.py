"""One engine, tables in several places: its own, and those of clusters that have a store of their own."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from penstock.errors import StoreError
from tests.support.s3 import S3Server
from tests.support.tables import import_rows, new_table, plain_batch, vectors


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "elsewhere")
    s3: S3Server = request.getfixturevalue("s3")
    return f"s3://{s3.make_bucket()}/elsewhere"


def test_tables_are_where_they_say(tmp_path: Path, s3: S3Server, place: str) -> None:
    engine: Engine = LanceEngine(str(tmp_path / "own"), s3.settings)
    for each in ("", place):
        engine.check(each)
    assert engine.tables(place) == []
    here = new_table(engine)
    there = replace(new_table(LanceEngine(place, s3.settings)), store=place)
    engine = pickle.loads(pickle.dumps(engine))  # as workers get it
    here, _ = import_rows(engine, here, plain_batch(vectors(3)))
    there, _ = import_rows(engine, there, plain_batch(vectors(5)))
    assert (engine.count(here), engine.count(there)) == (3, 5)
    assert (engine.tables(), engine.tables(place)) == ([here.id], [there.id])

    staged = engine.stage(there, 2, iter([plain_batch(vectors(2))]))
    orphans = engine.orphans(there, [], -1)
    assert orphans is not None
    assert orphans.note["files"] == staged.note["files"]
    assert engine.orphans(there, [staged], -1) is None
    engine.discard(there.id, [staged], place)
    assert engine.orphans(there, [], -1) is None
    engine.drop(there.id, place)
    assert (engine.tables(), engine.tables(place)) == ([here.id], [])


@pytest.mark.parametrize("place", ["own", "own/inside", "."])
def test_no_place_lies_in_the_engines_own(tmp_path: Path, place: str) -> None:
    engine = LanceEngine(str(tmp_path / "own"))
    with pytest.raises(StoreError, match="overlap"):
        engine.check(str(tmp_path / place))
