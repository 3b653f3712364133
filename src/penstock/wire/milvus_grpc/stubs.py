"""Milvus's protobuf messages, from the installed pymilvus but without importing pymilvus.

``import pymilvus`` takes 1.75 s and 101 MiB, most of it for pandas; the generated modules alone take 0.3 s and 8 MiB.
They are loaded as a package of another name, which coexists with a real pymilvus in the same process: both register
the same files in protobuf's descriptor pool, and share the classes.

The modules are untyped: the ``.pyi`` files next to them aren't valid Python (they name an enum's value ``None``).
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

_PACKAGE = f"{__name__}_of_pymilvus"


def _load(module: str) -> Any:
    if _PACKAGE not in sys.modules:
        spec = find_spec("pymilvus")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("gRPC needs pymilvus: pip install pymilvus, or start with --no-grpc")
        # Without its __init__, which would load the client's stubs too.
        package = ModuleType(_PACKAGE)
        package.__path__ = [str(Path(spec.origin).with_name("grpc_gen"))]
        sys.modules[_PACKAGE] = package
    return import_module(f"{_PACKAGE}.{module}")


common_pb2 = _load("common_pb2")
schema_pb2 = _load("schema_pb2")
milvus_pb2 = _load("milvus_pb2")

_SERVICE = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
SERVICE: str = _SERVICE.full_name
"""The service's name in paths of calls: ``/milvus.proto.milvus.MilvusService/Connect``."""
METHODS: dict[str, MethodDescriptor] = dict(_SERVICE.methods_by_name)
"""All methods of the service that the installed pymilvus knows."""


def message_types(method: str) -> tuple[type[Message], type[Message]]:
    """The classes of a method's request and response. Raises KeyError for an unknown method."""
    descriptor = METHODS[method]
    return (
        message_factory.GetMessageClass(descriptor.input_type),
        message_factory.GetMessageClass(descriptor.output_type),
    )
