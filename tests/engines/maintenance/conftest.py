"""The maintainable engines: the tests of this folder run on them only."""

from __future__ import annotations

import pytest

from penstock.engines.base import MaintainableEngine


@pytest.fixture(params=["lance_on_a_disk"])
def engine(request: pytest.FixtureRequest) -> MaintainableEngine:
    engine: MaintainableEngine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture(params=["lance_on_a_disk", "lance_on_s3"])
def stored_engine(request: pytest.FixtureRequest) -> MaintainableEngine:
    engine: MaintainableEngine = request.getfixturevalue(request.param)
    return engine
