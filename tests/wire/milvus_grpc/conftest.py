"""One server of HTTP and gRPC for all tests of this folder; take collections of your own."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from pymilvus import MilvusClient

from tests.support.data_planes import DataPlane, grpc_data_plane


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DataPlane, MilvusClient]]:
    with grpc_data_plane(tmp_path_factory.mktemp("grpc")) as both:
        yield both


@pytest.fixture(scope="session")
def channel(served: tuple[DataPlane, MilvusClient]) -> Iterator[grpc.Channel]:
    plane, _ = served
    with grpc.insecure_channel(plane.address) as channel:
        yield channel


@pytest.fixture
def plane(served: tuple[DataPlane, MilvusClient]) -> DataPlane:
    return served[0]


@pytest.fixture
def client(served: tuple[DataPlane, MilvusClient]) -> MilvusClient:
    return served[1]
