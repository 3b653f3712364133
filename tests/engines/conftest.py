"""The engines that the conformance tests of this folder run on.

``engine`` is every engine on its fastest store. ``stored_engine`` is every engine on every kind of store, for what
may depend on it: creating, staging, publishing, reading back. ``module_engine`` is every engine, too, and lives as
long as the module's tests, which import once what all of them read. ``maintenance`` has the tests of maintainable
engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from tests.support.arrow_engine import ArrowEngine
from tests.support.racers import Racers
from tests.support.s3 import S3Server


@pytest.fixture(scope="session")
def racers() -> Iterator[Racers]:
    with Racers(3) as pool:
        yield pool


@pytest.fixture
def lance_on_a_disk(tmp_path: Path) -> LanceEngine:
    engine = LanceEngine(str(tmp_path / "store"))
    engine.check()
    return engine


@pytest.fixture
def lance_on_s3(s3: S3Server) -> LanceEngine:
    return LanceEngine(f"s3://{s3.make_bucket()}/some/prefix", s3.settings)


@pytest.fixture
def arrow_on_a_disk(tmp_path: Path) -> ArrowEngine:
    engine = ArrowEngine(tmp_path / "store")
    engine.check()
    return engine


@pytest.fixture(params=["lance_on_a_disk", "arrow_on_a_disk"])
def engine(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture(scope="module", params=["lance_on_a_disk", "arrow_on_a_disk"])
def module_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    store = tmp_path_factory.mktemp("module") / "store"
    engine = LanceEngine(str(store)) if request.param == "lance_on_a_disk" else ArrowEngine(store)
    engine.check()
    return engine


@pytest.fixture(params=["lance_on_a_disk", "lance_on_s3", "arrow_on_a_disk"])
def stored_engine(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.getfixturevalue(request.param)
    return engine
