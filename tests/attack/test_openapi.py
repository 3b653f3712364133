"""Every call of the OpenAPI document, with data that it allows and data that it doesn't, against a running server.

No call ends in a server error, and each answers with a status, a media type and a body that the document shows. A
short run is part of ``make test``; ``make attack`` makes a longer one. The cases are the same in every run.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode, checks

from docs.generate import all_routes
from penstock.server.http.app import PLAIN_ROUTES
from penstock.server.http.openapi import openapi_document
from tests.support.servers import PENSTOCK, RunningServer, clean_environment, running_server

EXAMPLES = int(os.environ.get("PENSTOCK_ATTACK_EXAMPLES", "0")) or 3
"""Cases at random for each call, beside those that go through its keys one by one."""

schema = schemathesis.openapi.from_dict(openapi_document(all_routes(), PLAIN_ROUTES))
schema.config.generation.update(modes=list(GenerationMode))


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, str]]:
    """A server, and an administrator's key."""
    folder = tmp_path_factory.mktemp("openapi")
    command = [str(PENSTOCK), "keys", "create", "ops", "--role", "admin", "--data-dir", str(folder / "data")]
    key = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=100, env=clean_environment()
    ).stdout.strip()
    with running_server(folder, forked=True) as server:
        rows = [{"id": number, "vector": [number, 1]} for number in range(10)]
        (server.import_root / "docs.json").write_text(json.dumps(rows))
        yield server, key


@pytest.fixture
def key(operated: tuple[RunningServer, str]) -> str:
    """The key, while there are a collection ``docs`` with rows and a job: an earlier call may have dropped them."""
    server, key = operated
    with server.client(api_key=key) as client:
        if "docs" not in client.collections.list():
            client.collections.create("docs", dimension=2)
            client.imports.wait(client.imports.create("docs", ["docs.json"]))
    return key


@schema.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_call_answers_as_the_document_says(
    case: schemathesis.Case[Any], operated: tuple[RunningServer, str], key: str
) -> None:
    case.call_and_validate(
        base_url=operated[0].url,
        headers={"authorization": f"Bearer {key}"},
        timeout=60,
        checks=[
            checks.not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_headers_conformance,
            checks.response_schema_conformance,
        ],
    )
