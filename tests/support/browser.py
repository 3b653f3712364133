"""A real Chromium for the tests of the page: Debian's package, driven by Playwright.

Where there is none the tests that need it are skipped; CI installs it. A page that logs an error, breaks its
Content-Security-Policy or gets an answer of 500 fails its test.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

__all__ = ["VISIBLE", "axe_findings", "chromium", "open_page"]

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_AXE = Path(__file__).parents[1] / "web" / "vendor" / "axe-core" / "axe.min.js"
_MILLIS = 15_000
VISIBLE = 15.0
"""Seconds within which a change of a job has to be seen, on a busy machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; skips the test where it isn't installed."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of its own context, whose addresses are relative to ``url``; its problems fail the test."""
    context = browser.new_context(**{"base_url": url, "viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(_MILLIS)
    problems = _watch(context)
    try:
        yield context.new_page()
    finally:
        context.close()
    assert not problems, problems


def _watch(context: BrowserContext) -> list[str]:
    """Problems of the context's pages: errors of scripts and the console, violations of the policy among them."""
    problems: list[str] = []
    context.on("weberror", lambda error: problems.append(str(error.error)))

    def note(message: Any) -> None:
        # Chromium logs every answer of 4xx, which tests ask for.
        if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
            problems.append(f"{message.type}: {message.text}")

    context.on("console", note)
    return problems


def axe_findings(page: Page) -> list[str]:
    """What axe-core finds on the page as it is shown now: a rule, and the first element that breaks it."""
    page.evaluate(_AXE.read_text())
    violations = page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:300]}" for each in violations]
