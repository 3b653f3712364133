"""The released clients themselves: each environment builds, and its bulk writer writes every sample case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.clients import IN_EACH_RUN, run_client
from tests.support.samples import WRITE_ALL_TYPES

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("version", IN_EACH_RUN)
def test_the_writer_of_a_release_writes_all_that_it_can(version: str, tmp_path: Path) -> None:
    cases = json.loads(run_client(version, WRITE_ALL_TYPES, tmp_path))

    assert {"parquet-types", "json-types", "numpy-types"} <= set(cases)
    assert ("csv-types" in cases) == (version >= "2.5")
    assert ("jsonl-types" in cases) == (version >= "2.6.17")
    for case in cases:
        files = json.loads((tmp_path / case / "files.json").read_text())
        assert len(files) == 2
        assert all((tmp_path / file).stat().st_size > 0 for group in files for file in group)


def test_a_failing_program_tells_why() -> None:
    with pytest.raises(RuntimeError, match=r"environment 3\.0\.2: exit code 1\n[\s\S]*ZeroDivisionError"):
        run_client("3.0.2", "1 / 0")
