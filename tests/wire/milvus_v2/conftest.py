"""One data plane for all tests of this folder; take collections and databases of your own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.data_planes import DataPlane, data_plane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    with data_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running
