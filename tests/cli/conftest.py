"""Commands run in this process against the session's real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import cli
from tests.support.servers import RunningServer

Run = Callable[..., Result]


@pytest.fixture
def run(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("jobs", "list")``: what the command printed, and its exit code. It knows the server by PENSTOCK_URL."""
    monkeypatch.setenv("PENSTOCK_URL", server.url)

    def run_command(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="penstock", **options)  # type: ignore[arg-type]

    return run_command
