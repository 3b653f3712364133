"""A real Milvus 2.3.5 and this server answer the same gRPC calls: both with success, or both with an error.

Milvus 2.3 gives most errors the number 65535, later versions one of their own. Where it has one already, it is ours.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.calibration.milvus_server import Milvus, milvus, python
from tests.support.servers import running_server

__all__ = ["milvus", "python"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CALLS = Path(__file__).with_name("calls.py")
UNTYPED = 65535
DEPARTURES = {
    "create: no vector": "as Milvus from 2.4 on",
    "create: dim 1": "as Milvus from 2.4 on",
    "search: three elements": "Milvus 2.3 does not look at vectors while a collection is empty",
    "search: bits": "as above",
    "search: broken params": "as above",
    "search: no vectors": "as above",
    "search: broken vectors": "as above",
    "import state: missing": "Milvus 2.3 says how it keeps them: key not found",
}
"""Calls with another outcome or number, and why."""


def answers(python: Path, address: str) -> dict[str, tuple[int, str]]:
    done = subprocess.run([python, "-I", CALLS, address], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {label: (number, reason) for label, (number, reason) in json.loads(done.stdout).items()}


def test_calls_have_the_outcome_that_they_have_in_milvus(python: Path, milvus: Milvus, tmp_path: Path) -> None:
    theirs = answers(python, milvus.address)
    with running_server(tmp_path) as server:
        ours = answers(python, server.url.removeprefix("http://"))
    different = {
        label: f"Milvus: {expected}, Penstock: {ours[label]}"
        for label, expected in theirs.items()
        if bool(expected[0]) != bool(ours[label][0]) or (expected[0] not in (0, UNTYPED, ours[label][0]))
    }
    assert len(theirs) > 150
    assert {label: text for label, text in different.items() if label not in DEPARTURES} == {}
    assert sorted(different) == sorted(DEPARTURES)
