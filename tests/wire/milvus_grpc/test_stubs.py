"""Milvus's messages come from the installed pymilvus, without its client and what that needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from pymilvus.grpc_gen import milvus_pb2 as of_the_client

from penstock.wire.milvus_grpc.stubs import METHODS, SERVICE, message_types, milvus_pb2


def test_the_messages_are_loaded_without_pymilvus_and_pandas() -> None:
    program = (
        "import sys, penstock.wire.milvus_grpc.stubs; print(*sorted({'pymilvus', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "\n"


def test_releases_whose_messages_lack_members_are_not_installed() -> None:
    """With 2.6 the server didn't start, with 3.0.0 it created no users."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    requirements = map(Requirement, project["optional-dependencies"]["server"])
    (required,) = (requirement for requirement in requirements if requirement.name == "pymilvus")
    assert [release in required.specifier for release in ("2.6.17", "3.0.0", "3.0.2")] == [False, False, True]


def test_they_coexist_with_pymilvus_in_one_process() -> None:
    message = milvus_pb2.ConnectResponse(identifier=7)
    assert of_the_client.ConnectResponse.FromString(message.SerializeToString()).identifier == 7


def test_each_method_of_the_service_has_its_messages() -> None:
    assert SERVICE == "milvus.proto.milvus.MilvusService"
    request, response = message_types("ListDatabases")
    assert (request.DESCRIPTOR.name, response.DESCRIPTOR.name) == ("ListDatabasesRequest", "ListDatabasesResponse")
    assert {"Connect", "Search", "ClientHeartbeat"} - METHODS.keys() == {"ClientHeartbeat"}
