"""The engines that the conformance tests of this folder run on.

``engine`` is every engine on its fastest store. ``stored_engine`` is every engine on every kind of store, for what
may depend on it: creating, staging, publishing, reading back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.engines.base import Engine
from penstock.engines.lance import LanceEngine
from tests.support.racers import Racers
from tests.support.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def racers() -> Iterator[Racers]:
    with Racers(3) as pool:
        yield pool


@pytest.fixture(params=["lance"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return _on_a_disk(tmp_path)


def _on_a_disk(folder: Path) -> LanceEngine:
    engine = LanceEngine(str(folder / "store"))
    engine.check()
    return engine


@pytest.fixture(params=["lance on a disk", "lance on s3"])
def stored_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "lance on a disk":
        return _on_a_disk(tmp_path)
    server: S3Server = request.getfixturevalue("s3")
    return LanceEngine(f"s3://{server.make_bucket()}/some/prefix", server.settings)
