from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.catalog import Catalog
from tests.support.catalogs import opened_catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with opened_catalog(tmp_path) as catalog:
        yield catalog
