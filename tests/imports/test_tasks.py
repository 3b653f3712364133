"""The tasks that run in workers."""

from __future__ import annotations

import pytest

from penstock.imports.tasks import PlanTask, file_at
from tests.support.catalogs import SCHEMA, input_file


@pytest.mark.parametrize(("done", "name"), [(0, "a"), (1, "b"), (2, "b")])
def test_the_file_that_a_worker_was_planning_when_it_was_killed_is_named(done: int, name: str) -> None:
    """A worker may be killed for its memory after the last file, too: then that one is named."""
    files = [input_file("a"), input_file("b")]
    assert file_at(PlanTask(files=files, schema=SCHEMA, split_bytes=1, batch_bytes=1, options={}), done) == name
