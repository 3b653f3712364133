"""Imports from web servers through a running server: where they may lead, and where not."""

from __future__ import annotations

from pathlib import Path

import pytest

import penstock
from tests.support.servers import running_server
from tests.support.web_server import web_server


def test_only_the_networks_of_the_setting_are_reached(tmp_path: Path) -> None:
    with web_server(address="127.0.0.2") as known, web_server() as unknown:
        for web in (known, unknown):
            web.files["/docs.jsonl"] = b'{"id": 1, "vector": [1, 2]}\n'
        known.redirects["/moved.jsonl"] = f"{unknown.url}/docs.jsonl"
        roots = ("--import-root", f"{known.url}/", "--import-root", f"{unknown.url}/")
        flags = ("--workers", "1", "--allow-private-networks", "127.0.0.2")
        with running_server(tmp_path, *roots, *flags, forked=True) as server, server.client() as client:
            client.collections.create("docs", dimension=2)
            assert client.imports.wait(client.imports.create("docs", [[f"{known.url}/docs.jsonl"]])).rows == 1
            for path in (f"{unknown.url}/docs.jsonl", f"{known.url}/moved.jsonl"):
                with pytest.raises(penstock.JobFailed, match=r"the host 127\.0\.0\.1 has no public address"):
                    client.imports.wait(client.imports.create("docs", [[path]]))
        assert unknown.asked == []
