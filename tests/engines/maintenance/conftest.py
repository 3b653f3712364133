"""The maintainable engines: the tests of this folder run on them only."""

from __future__ import annotations

import pytest

from penstock.engines.base import MaintainableEngine
from penstock.engines.lance.index import build, mapping, present_rows
from penstock.engines.lance.read import nearest


@pytest.fixture(params=["lance_on_a_disk"])
def engine(request: pytest.FixtureRequest) -> MaintainableEngine:
    engine: MaintainableEngine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture(params=["lance_on_a_disk", "lance_on_s3"])
def stored_engine(request: pytest.FixtureRequest) -> MaintainableEngine:
    engine: MaintainableEngine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def tenth_of_the_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes are built, extended and used from a tenth of the rows on: a training takes a tenth of the time."""
    for module, name in (
        (mapping, "LEAST_VECTOR_BYTES"),
        (mapping, "LEAST_SCALAR_ROWS"),
        (mapping, "PARTITION_ROWS"),
        (present_rows, "LEAST_VECTOR_BYTES"),
        (build, "LEAST_SCALAR_ROWS"),
        (build, "MAX_UNINDEXED_ROWS"),
        (build, "_MAX_UNINDEXED_BYTES"),
        (build, "_LEAST_UNINDEXED_ROWS"),
        (nearest, "SMALL_BYTES"),
        (nearest, "LEAST_BYTES_PER_MATCH"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name) // 10)
