"""Memory reserved for a large answer is released when the answer has been sent, and only then."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.data_planes import grpc_data_plane
from tests.support.result_memory import record_releases

DIM = 3000


def test_memory_is_released_once_per_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = record_releases(monkeypatch)
    with grpc_data_plane(tmp_path) as (plane, client):
        name = plane.quick(DIM)
        plane.put(name, [{"id": i, "vector": [i] * DIM} for i in range(100)])
        rows = client.query(name, "id >= 0", output_fields=["vector"])
        assert len(rows) == 100
        deadline = time.monotonic() + 5
        while not released and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(released) == 1
        assert released[0] > 100 * DIM * 4
        client.query(name, "id == 1", output_fields=["vector"])
    assert len(released) == 1, "a small answer reserves nothing"
