"""Make the screenshots of docs/page.md: a server with imports of all kinds, and a Chromium that looks at it.

    make screenshots

The server's folder is ``/srv/penstock-demo``, so that paths in the pictures are those of nobody's machine.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Page, expect

import penstock
from penstock.sdk.errors import JobFailed
from tests.support.browser import chromium, open_page
from tests.support.servers import RunningServer, running_server

__all__ = ["make_screenshots"]

PICTURES = Path(__file__).parents[2] / "docs" / "images" / "page"
_FOLDER = Path("/srv/penstock-demo")
_DIM = 64
_TOPICS = ("rivers", "pumps", "turbines", "dams", "valves", "canals")


def make_screenshots(folder: Path = _FOLDER, pictures: Path = PICTURES) -> list[Path]:
    """Write the pictures and return them."""
    pictures.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    try:
        with chromium() as browser, running_server(folder, "--workers", "2") as server:
            with open_page(browser, server.url) as page:
                made += _visit(page, pictures, [("welcome", "/")], "light")
                addresses = _import_all(server)
                made += _visit(page, pictures, addresses, "light")
                made += _wizard(page, pictures, server, "light")
            with open_page(browser, server.url, color_scheme="dark") as page:
                made += _visit(page, pictures, addresses, "dark")
            with open_page(browser, server.url, viewport={"width": 360, "height": 720}) as page:
                made += _visit(page, pictures, addresses, "phone")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return made


def _import_all(server: RunningServer) -> Sequence[tuple[str, str]]:
    """Import into three collections; return the names and addresses of the pages to look at."""
    root = server.import_root
    random.seed(7)
    with server.client() as client:
        for name, count in (("docs", 3000), ("books", 400), ("images", 120_000)):
            _write(root / f"{name}.jsonl", count)
        _write(root / "more-books.jsonl", 200, bad_row=41)
        for name in ("docs", "books", "images"):
            inferred = client.collections.infer([str(root / "docs.jsonl")])
            client.collections.create(name, schema=inferred.schema, indexes=inferred.indexes)
        for file in ("books", "docs", "docs"):
            client.imports.wait(client.imports.create(file, [str(root / f"{file}.jsonl")]))
        failed = client.imports.create("books", [str(root / "more-books.jsonl")])
        partly = client.imports.create("books", [str(root / "more-books.jsonl")], options={"on_error": "skip_row"})
        client.imports.wait(partly)
        try:
            client.imports.wait(failed)
        except JobFailed:
            pass
        else:
            raise AssertionError("the broken file was imported")
        waiting = client.imports.create("docs", [str(root / "docs.jsonl")], options={"auto_commit": "false"})
        client.imports.wait(waiting)
        key = next(iter(client.query("docs", "year > 2000", limit=1)))["id"]
        running = client.imports.create("images", [str(root / "images.jsonl")])
        _wait_until_running(client, running.id)
    return (
        ("jobs", "/"),
        ("running-job", f"/jobs/{running.id}"),
        ("failed-job", f"/jobs/{failed.id}"),
        ("rejects", f"/jobs/{partly.id}?tab=rejects"),
        ("collections", "/collections"),
        ("rows", "/collections/default/docs?filter=year+%3E+2010"),
        ("search", f"/collections/default/docs/search?by=row&q={key}"),
        ("indexes", "/collections/default/docs?tab=indexes"),
        ("health", "/admin?tab=health"),
    )


def _wait_until_running(client: penstock.Client, job_id: str) -> None:
    while (job := client.imports.get(job_id)).progress < 10 and not job.is_finished:
        pass


def _write(file: Path, count: int, bad_row: int = -1) -> None:
    with file.open("w") as lines:
        for number in range(count):
            row = {
                "id": random.getrandbits(40),
                "title": f"On {random.choice(_TOPICS)} and {random.choice(_TOPICS)}, part {number}",
                "year": "nineteen ninety" if number == bad_row else 1990 + number % 35,
                "vector": [round(random.gauss(0, 1), 4) for _ in range(_DIM)],
            }
            lines.write(json.dumps(row) + "\n")


def _visit(page: Page, pictures: Path, addresses: Sequence[tuple[str, str]], look: str) -> Iterator[Path]:
    for name, address in addresses:
        page.goto(address)
        page.wait_for_timeout(12_000 if name == "running-job" else 300)
        yield _picture(page, pictures, f"{name}-{look}")


def _wizard(page: Page, pictures: Path, server: RunningServer, look: str) -> Iterator[Path]:
    page.goto("/import")
    page.get_by_label("Paths and addresses, one per line").fill(str(server.import_root / "docs.jsonl"))
    page.get_by_label("Its name").fill("essays")
    yield _picture(page, pictures, f"import-1-source-{look}")
    page.get_by_role("button", name="Continue to columns").click()
    expect(page.get_by_role("region", name="Inferred fields")).to_be_visible(timeout=60_000)
    yield _picture(page, pictures, f"import-2-columns-{look}")
    page.get_by_role("button", name="Continue to check").click()
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Check first").click()
    expect(page.locator("#dry-run")).to_contain_text("No error", timeout=90_000)
    yield _picture(page, pictures, f"import-3-check-{look}")


def _picture(page: Page, pictures: Path, name: str) -> Path:
    file = pictures / f"{name}.png"
    page.screenshot(path=file, animations="disabled")
    return file


if __name__ == "__main__":
    for picture in make_screenshots():
        print(picture.name)
