"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.s3 import S3Server, s3_server
from tests.support.servers import RunningServer, running_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server for the whole session; take a bucket of your own with ``s3.make_bucket()``."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A `penstock serve` for the whole session; take collections and file names of your own."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running
