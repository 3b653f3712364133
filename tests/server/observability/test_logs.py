"""Log lines: one JSON object each, and no secrets in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.server.observability.logs import REDACTED, redact

PROGRAM = """
import logging, structlog, sys
from penstock.server.observability.logs import configure_logs
configure_logs({form!r}, "info")
structlog.get_logger("penstock.test").info(
    "made", secretKey="hush", reason=None, request={{"accessKey": "hush", "name": "docs"}}
)
logging.getLogger("library").warning("called with %s", "Authorization: Bearer hush")
structlog.get_logger("penstock.test").debug("hidden")
def fail(secret):
    kept = {{"inside": secret}}
    return kept["inside"] / 0
try:
    fail(sys.argv[1])  # a traceback shows the lines of the program, and may; not what they work on
except TypeError:
    structlog.get_logger("penstock.test").exception("failed")
    logging.getLogger("library").exception("failed there")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_lines(form: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(form=form), "hush"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == ""
    assert "hush" not in run.stderr
    assert "hidden" not in run.stderr
    assert run.stderr.count("TypeError: unsupported operand") == 2
    if form == "json":
        made, called, failed, _ = [json.loads(line) for line in run.stderr.splitlines()]
        assert made["event"] == "made"
        assert made["request"] == {"accessKey": REDACTED, "name": "docs"}
        assert made["logger"] == "penstock.test"
        assert made["reason"] is None
        assert called["event"] == f"called with Authorization: Bearer {REDACTED}"
        assert called["level"] == "warning"
        assert "in fail" in failed["exception"]
    else:
        assert "reason" not in run.stderr


def test_a_console_shows_control_characters_as_escapes() -> None:
    program = PROGRAM.format(form="console") + (
        'structlog.get_logger("penstock.http").info("request", path="/\\x1b]0;title\\x07")\n'
        'logging.getLogger("library").warning("%s", "\\x1b[2J")\n'
    )
    run = subprocess.run([sys.executable, "-c", program, "hush"], capture_output=True, text=True, check=True)
    assert r"path=/\x1b]0;title\x07" in run.stderr
    assert r"\x1b[2J" in run.stderr
    assert "\x1b" not in run.stderr


def test_lines_that_cannot_be_written_fail_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(form="json"), "hush"], stderr=full, check=False, timeout=60
        )
    assert run.returncode == 0


@pytest.mark.parametrize(
    "key", ["accessKey", "secret_key", "SECRETKEY", "token", "Authorization", "apiKey", "password", "session-token"]
)
def test_secret_keys(key: str) -> None:
    assert redact(None, "info", {key: "hush", "deep": [{key: "hush"}]}) == {key: REDACTED, "deep": [{key: REDACTED}]}


def test_signed_addresses_lose_their_signature() -> None:
    event = redact(None, "info", {"url": "https://b.example/k?X-Amz-Signature=hush&part=1"})
    assert event["url"] == f"https://b.example/k?X-Amz-Signature={REDACTED}&part=1"


@pytest.mark.parametrize(
    "text",
    [
        '{"accessKey": "hush", "files": [["a"]]}',
        '{"collectionName":"docs","secretKey":"hush and hush',
        "{'api_key': 'hush'}",
        "connect(password=hush, host=x)",
        "session_token: hush",
        "postgresql://penstock:hush@db.example/x is away",
        "Authorization: Basic hush",
        "authorization Bearer hush",
        "url?sig=hush&x=1",
        "the key psk_" + "hush" * 10 + "abc is unknown",
    ],
)
def test_credentials_inside_texts(text: str) -> None:
    told = redact(None, "info", {"event": text, "deep": {"list": [text]}})
    assert "hush" not in str(told)
    assert REDACTED in told["event"]


def test_everything_else_stays() -> None:
    event = {"event": "the token is missing", "code": 0, "path": "/v2/x?page=2", "tokens": 5, "rows": (1, 2)}
    assert redact(None, "info", dict(event)) == {**event, "rows": [1, 2]}
