"""Calls that Milvus has and this server has not: told so, whatever the body; anything else isn't there at all."""

from __future__ import annotations

import pytest

from penstock.access.admission import Admission
from penstock.access.audit import NoAudit
from penstock.access.authentication import NoAuthentication
from penstock.wire.milvus_v2 import unsupported
from penstock.wire.milvus_v2.dialect import PREFIX, MilvusV2
from tests.support.data_planes import DataPlane
from tests.support.imports import MemoryClusters

V2 = MilvusV2(
    Admission(cluster_id="c", clusters=MemoryClusters(), authentication=NoAuthentication(), audit=NoAudit())
)
ACTIONS = sorted(route.path.removeprefix(f"{PREFIX}/") for route in unsupported.routes(V2))


@pytest.mark.parametrize("action", ACTIONS)
def test_they_are_refused_by_name(plane: DataPlane, action: str) -> None:
    code, text = plane.error(action, collectionName="docs")
    assert code == 10
    assert text.startswith(f"service unimplemented: {action} is not served by Penstock; ")
    assert plane.reply(action, b"no JSON")["code"] == 10


def test_the_families_that_milvus_has() -> None:
    assert {
        "entities/insert",
        "entities/upsert",
        "entities/delete",
        "collections/compact",
        "roles/create",
        "roles/grant_privilege",
        "resource_groups/list",
    } <= set(ACTIONS)


def test_unknown_routes_are_plain_404s(plane: DataPlane) -> None:
    reply = plane.post("collections/polish")
    assert (reply.status_code, reply.text) == (404, "404 page not found")
