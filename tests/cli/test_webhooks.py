"""``penstock webhooks``, for programs."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.sdk.recording_server import recording_server

CREATED = "2026-12-01T08:15:00Z"
WEBHOOK = {"webhookId": "wh_1", "url": "https://example.com", "events": ["failed"], "createTime": CREATED}
DELIVERY = {
    "deliveryId": "1",
    "jobId": "7",
    "event": "failed",
    "state": "pending",
    "attempts": 1,
    "createTime": CREATED,
}


@pytest.mark.parametrize("command", [("list",), ("deliveries", "wh_1")])
def test_times_for_programs_have_a_time_zone(command: tuple[str, ...]) -> None:
    with recording_server() as server:
        server.answer("/v2/vectordb/jobs/import/webhooks/list", {"code": 0, "data": [WEBHOOK]})
        server.answer("/v2/vectordb/jobs/import/webhooks/deliveries", {"code": 0, "data": [DELIVERY]})
        done = CliRunner().invoke(cli, ["webhooks", *command, "--json", "--url", server.url])
    assert done.exit_code == 0, done.output
    (item,) = json.loads(done.stdout)
    assert datetime.fromisoformat(item["created_at"]) == datetime.fromisoformat(CREATED)
