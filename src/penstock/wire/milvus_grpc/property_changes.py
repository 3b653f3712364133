"""Messages that set or remove free-typed properties: of collections, indexes and databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from penstock.domain.access import Role
from penstock.errors import InvalidParameter, shorten
from penstock.wire.milvus_grpc.calls import GrpcMethod
from penstock.wire.milvus_grpc.dialect import MilvusGrpc, Request
from penstock.wire.milvus_grpc.schemas import key_value_mapping


def property_method(
    name: str,
    grpc: MilvusGrpc,
    *,
    action: str,
    role: Role,
    alter: Callable[[Request, Mapping[str, str]], object],
    drop: Callable[[Request, Sequence[str]], object],
    pairs: str = "properties",
) -> GrpcMethod:
    """A method that does what two REST calls do: ``alter`` with the pairs of a message, ``drop`` with its keys.

    ``action`` is the noun of both in the audit log, ``pairs`` the message's member with the properties to set.
    """

    def handle(request: Request) -> object:
        properties = key_value_mapping(getattr(request.message, pairs))
        keys = list(request.message.delete_keys)
        if properties and keys:
            raise InvalidParameter(
                f"{name} sets properties or deletes keys, not both in one call: sets {_shown(properties)}, "
                f"deletes {_shown(keys)}"
            )
        if keys:
            drop(request, keys)
        else:
            alter(request, properties)
        return None

    return grpc.method(
        name,
        handle,
        action=f"{action}.alter_properties",
        role=role,
        action_of=lambda message: f"{action}.{'drop' if message.delete_keys else 'alter'}_properties",
    )


def _shown(names: Iterable[str]) -> str:
    return shorten(", ".join(names))
