"""Routes of the Milvus v2 dialect that this server doesn't support, each with a clear error.

They answer code 10, "service unimplemented", for any body. Paths that are in no table are a plain 404.
"""

from __future__ import annotations

from penstock.collections.unserved import UNSERVED, unserved_text
from penstock.wire.http import Call, Operation, Reply, Route, json_reply
from penstock.wire.milvus_v2.dialect import PREFIX, MilvusV2

UNIMPLEMENTED = 10


def routes(v2: MilvusV2) -> tuple[Route, ...]:
    """One route per call."""
    return tuple(_route(call, alternative, v2) for call, alternative in UNSERVED.items())


def _route(name: str, alternative: str, v2: MilvusV2) -> Route:
    content = {"code": UNIMPLEMENTED, "message": unserved_text(name)}

    def handle(call: Call) -> Reply:
        del call
        return json_reply(content)

    return Route(
        method="POST",
        path=f"{PREFIX}/{name}",
        handler=handle,
        dialect=v2,
        operation=Operation(
            summary=f"Not served: {name}",
            description=f"Always returns code {UNIMPLEMENTED}; {alternative}.",
            tag="not served",
        ),
    )
