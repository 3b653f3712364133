"""Jobs run for real: worker processes, Lance, SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.imports.tasks import init_worker
from penstock.runners.local import LocalRunner
from tests.support.worlds import World, a_world


@pytest.fixture(scope="session")
def runner() -> Iterator[LocalRunner]:
    local = LocalRunner(2, init_worker)
    local.warm()
    yield local
    local.close()


@pytest.fixture
def world(tmp_path: Path, runner: LocalRunner) -> Iterator[World]:
    with a_world(tmp_path, runner) as made:
        yield made
