"""What only the local runner does: it owns its workers."""

from __future__ import annotations

import psutil
import pytest

from penstock.errors import TaskCancelled
from penstock.runners.local import LocalRunner
from tests.runners.tasks import double, pid_of

LIMIT = 60


def test_closing_ends_the_workers() -> None:
    local = LocalRunner(1)
    worker = psutil.Process(local.submit(pid_of, None).future.result(LIMIT))
    local.close()
    assert not worker.is_running()
    with pytest.raises(TaskCancelled):
        local.submit(double, 1)
