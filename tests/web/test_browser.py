"""The page in a real Chromium: every page and action, by mouse and by keyboard, checked by axe-core."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, expect

import penstock
from penstock.cli.main import cli
from tests.support.browser import VISIBLE, axe_findings, chromium, open_page
from tests.support.servers import RunningServer, running_server

MILLIS = VISIBLE * 1000
DIM = 4


@dataclass(frozen=True)
class World:
    """A server with keys: ``key`` administers it, ``tenant`` another org's cluster. It has jobs of all outcomes."""

    server: RunningServer
    key: str
    tenant: str
    failed: str
    waiting: str


def write_rows(file: Path, count: int, first: int = 0, **more: object) -> str:
    """JSON Lines of ``count`` rows; ``more`` are keys of the last one."""
    rows = [
        {"id": first + number, "title": f"text {number}", "vector": [number * 0.5 + axis for axis in range(DIM)]}
        for number in range(count)
    ]
    rows[-1] |= more
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def admin(server: RunningServer, *words: str) -> str:
    """What a command on the server's machine prints."""
    done = CliRunner().invoke(cli, [*words, "--data-dir", str(server.data_dir)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_server(tmp_path_factory.mktemp("page"), forked=True) as server:
        admin(server, "orgs", "create", "acme")
        admin(server, "clusters", "create", "in01-acme", "--org", "acme")
        key = admin(server, "keys", "create", "ops", "--role", "admin")
        tenant = admin(
            server, *("keys", "create", "theirs", "--org", "acme", "--cluster", "in01-acme", "--role", "admin")
        )
        with server.client(api_key=key) as client:
            good = write_rows(server.import_root / "docs.jsonl", 300)
            inferred = client.collections.infer([good], id="id", vector="vector")
            client.collections.create("docs", schema=inferred.schema, indexes=inferred.indexes)
            client.imports.wait(client.imports.create("docs", [good]))
            bad = write_rows(server.import_root / "bad.jsonl", 20, 1000, title=7)
            failed = client.imports.create("docs", [bad])
            waiting = client.imports.create("docs", [good], options={"auto_commit": "false"})
            client.imports.wait(waiting)
            with pytest.raises(penstock.JobFailed):
                client.imports.wait(failed)
        yield World(server=server, key=key, tenant=tenant, failed=failed.id, waiting=waiting.id)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def cookies(browser: Browser, world: World) -> Any:
    """The session of the server's administrator."""
    with open_page(browser, world.server.url) as opened:
        log_in(opened, world.key)
        return opened.context.storage_state()


@pytest.fixture
def page(browser: Browser, world: World, cookies: Any) -> Iterator[Page]:
    """A page of a browser that is logged in as the server's administrator."""
    with open_page(browser, world.server.url, storage_state=cookies) as opened:
        yield opened


def log_in(page: Page, key: str) -> None:
    page.goto("/")
    page.get_by_label("Password or API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()


def test_a_new_server_shows_three_ways_to_import(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, forked=True) as server, open_page(browser, server.url) as page:
        page.goto("/")
        expect(page.get_by_role("heading", name="Nothing has been imported yet")).to_be_visible()
        assert page.get_by_role("heading", level=2).count() == 3
        assert axe_findings(page) == []


def test_a_login_ends(browser: Browser, world: World) -> None:
    with open_page(browser, world.server.url) as page:
        page.goto(f"/jobs/{world.failed}")
        assert axe_findings(page) == []
        page.get_by_label("Password or API key").fill("psk_" + "x" * 43)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
        page.get_by_label("Password or API key").fill(world.key)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(re.compile(f"/jobs/{world.failed}$"))  # where the visitor wanted to go
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.locator("summary").get_by_text("ops").click()
        page.get_by_role("button", name="Log out").click()
        page.goto("/")
        expect(page).to_have_url(re.compile("/login"))


PLACES = (
    *("/", "/?q=nothing+has+this", "/jobs/{failed}", "/jobs/{waiting}?tab=files", "/jobs/{failed}?tab=raw"),
    *(
        "/jobs/{failed}?tab=errors",
        "/jobs/{waiting}?tab=rejects",
        "/jobs/{waiting}/abort",
        "/collections",
        "/collections/default/docs",
        "/collections/default/docs?filter=id+%3C",
    ),
    *("/collections/default/docs?tab=schema", "/collections/default/docs?tab=indexes"),
    *("/collections/default/docs?tab=imports", "/collections/default/docs?tab=partitions"),
    *("/collections/default/docs/search?by=row&q=3", "/collections/default/docs/drop", "/import"),
    *("/admin?tab=keys", "/admin?tab=users", "/admin?tab=orgs", "/admin?tab=clusters", "/admin?tab=storage"),
    *("/admin?tab=audit", "/admin?tab=access", "/jobs/1"),
)


def test_pages_can_be_used_by_everybody(page: Page, world: World) -> None:
    """Without a finding of axe-core, and on a phone without scrolling sideways."""
    found = {}
    for place in PLACES:
        address = place.format(failed=world.failed, waiting=world.waiting)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(address)
        found[address] = axe_findings(page)
        page.set_viewport_size({"width": 360, "height": 720})
        width = page.evaluate("document.documentElement.scrollWidth")
        found[address] += [] if width <= 360 else [f"{width} pixels wide on a phone"]
    assert {address: findings for address, findings in found.items() if findings} == {}


def test_colours_have_contrast_in_the_dark(page: Page, world: World) -> None:
    page.emulate_media(color_scheme="dark")
    for address in ("/", f"/jobs/{world.failed}", "/collections/default/docs", "/import"):
        page.goto(address)
        assert axe_findings(page) == []


def test_jobs_are_listed_live(page: Page, world: World) -> None:
    page.goto("/")
    rows = page.locator("tr.link")
    before = rows.count()
    page.evaluate("document.querySelector('tr.link').mark = 'first'")
    with world.server.client(api_key=world.key) as client:
        client.imports.wait(client.imports.create("docs", [str(world.server.import_root / "docs.jsonl")]))
    expect(page.get_by_text("1 new job")).to_be_visible(timeout=MILLIS)
    assert rows.count() == before, "rows keep their place"
    assert page.evaluate("document.querySelector('tr.link').mark") == "first", "the row itself stays"
    page.get_by_text("1 new job").click()
    expect(rows).to_have_count(before + 1)


def test_a_schema_says_how_much_space_the_rows_take(page: Page, world: World) -> None:
    page.goto("/collections/default/docs?tab=schema")
    expect(page.locator("main")).to_contain_text(re.compile(r"Space\s*[\d.]+ \w+ in \d+ fragments?, without indexes"))


def test_filters_are_in_the_address(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_label("State").select_option("failed")
    expect(page).to_have_url(re.compile("state=failed"))
    expect(page.locator("tr.link")).to_have_count(1)
    page.goto(f"/?q={world.failed}")
    expect(page).to_have_url(re.compile(f"/jobs/{world.failed}$"))
    page.goto("/?q=BAD.json")
    expect(page.locator("tr.link")).to_have_count(1)


def test_a_failed_job_says_where_and_what_to_do(page: Page, world: World) -> None:
    page.goto(f"/jobs/{world.failed}")
    why = page.locator(".note.failed")
    expect(why).to_contain_text("bad.jsonl")
    expect(why).to_contain_text("row 19")
    page.get_by_role("link", name="Retry").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Resumes the job under the same id")
    dialog.get_by_role("link", name="Not now").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="Retry")).to_be_focused()


def test_a_job_is_committed_and_another_aborted(page: Page, world: World) -> None:
    with world.server.client(api_key=world.key) as client:
        file = str(world.server.import_root / "docs.jsonl")
        jobs = [client.imports.create("docs", [file], options={"auto_commit": "false"}) for _ in range(2)]
        for job in jobs:
            client.imports.wait(job)
    page.goto(f"/jobs/{jobs[0].id}")
    page.get_by_role("link", name="Commit").click()
    expect(page.get_by_role("dialog")).to_contain_text("Makes 300 rows visible in docs")
    page.get_by_role("dialog").get_by_role("button", name="Commit").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed", timeout=MILLIS)
    page.goto(f"/jobs/{jobs[1].id}")
    page.get_by_role("link", name="Abort").click()
    page.get_by_role("dialog").get_by_role("button", name="Abort").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Aborted", timeout=MILLIS)


def test_a_completed_job_is_reverted_by_the_name_of_its_collection(page: Page, world: World) -> None:
    file = write_rows(world.server.import_root / "reverted.jsonl", 5, 8000)
    with world.server.client(api_key=world.key) as client:
        job = client.imports.create("docs", [file])
        client.imports.wait(job)
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("link", name="Revert").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Removes 5 rows of docs that this job brought")
    dialog.get_by_label("Type docs to revert").fill("docs")
    dialog.get_by_role("button", name="Revert").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Reverted", timeout=MILLIS)
    page.goto("/collections/default/docs?filter=id+%3D%3D+8003")
    expect(page.get_by_role("heading", name="No row matches")).to_be_visible()


def test_rejected_rows_are_shown_downloaded_and_replayed(page: Page, world: World) -> None:
    file = write_rows(world.server.import_root / "partly.jsonl", 10, 5000, title=7)
    with world.server.client(api_key=world.key) as client:
        job = client.imports.create("docs", [file], options={"on_error": "skip_row"})
        client.imports.wait(job)
    page.goto("/")
    expect(page.locator(f"#job-{job.id}")).to_contain_text("1 rejected row")
    page.goto(f"/jobs/{job.id}?tab=errors")
    expect(page.get_by_role("heading", name="1 error of title")).to_be_visible()
    page.get_by_role("link", name="Rejects 1").click()
    expect(page.get_by_role("table", name="Rejected rows")).to_contain_text("title")
    assert axe_findings(page) == []
    with page.expect_download() as begun:
        page.get_by_role("link", name="JSON Lines").click()
    assert json.loads(begun.value.path().read_text())["id"] == 5009
    corrected = write_rows(world.server.import_root / "corrected.jsonl", 1, 5009)
    page.get_by_role("link", name="Replay").click()
    expect(page.get_by_role("dialog")).to_contain_text("imports only the 1 rejected row")
    page.get_by_role("dialog").get_by_label("Corrected files").fill(corrected)
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page).not_to_have_url(re.compile(f"/jobs/{job.id}"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed", timeout=MILLIS)


def test_rows_are_filtered_and_errors_of_the_filter_explained(page: Page) -> None:
    page.goto("/collections/default/docs")
    box = page.get_by_label("Filter rows")
    box.fill("id < 3")
    box.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(9)  # three imports of the same rows
    box.fill("id <<< 3")
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("id <<< 3")
    assert box.get_attribute("aria-invalid") == "true"


def test_rows_are_found_by_row_and_by_vector(page: Page) -> None:
    page.goto("/collections/default/docs?filter=id+%3D%3D+3")
    page.get_by_role("link", name="Similar").first.click()
    expect(page.get_by_role("region", name="Nearest rows by vector").locator("tbody tr")).to_have_count(10)
    page.get_by_label("Search by").select_option("vector")
    page.get_by_label("Query").fill("[1, 2]")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("dimension")


def test_the_wizard_creates_a_collection_and_imports(page: Page, world: World) -> None:
    path = write_rows(world.server.import_root / "wizard.jsonl", 30)
    page.goto("/import")
    page.get_by_label("Paths and addresses, one per line").fill(path)
    page.get_by_role("button", name="Continue to columns").click()
    expect(page.get_by_role("alert")).to_contain_text("choose a collection")
    page.get_by_label("Its name").fill("wizards")
    page.get_by_role("button", name="Continue to columns").click()
    expect(page.get_by_role("region", name="Inferred fields")).to_contain_text("FloatVector", timeout=MILLIS)
    assert axe_findings(page) == []
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_label("Paths and addresses, one per line")).to_have_value(path)
    expect(page.get_by_label("Its name")).to_have_value("wizards")
    page.get_by_role("button", name="Continue to columns").click()
    page.get_by_role("button", name="Continue to check").click()
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible(timeout=MILLIS)
    page.get_by_role("button", name="Check first").click()
    expect(page.locator("#dry-run")).to_contain_text("No error in 30 rows", timeout=2 * MILLIS)
    assert axe_findings(page) == []
    page.get_by_role("button", name="Start the import").click()
    expect(page).to_have_url(re.compile(r"/jobs/\d+$"), timeout=MILLIS)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed", timeout=MILLIS)


def test_columns_are_mapped_to_the_fields_of_a_collection(page: Page, world: World) -> None:
    file = world.server.import_root / "mapped.jsonl"
    rows = [{"key": 7000 + number, "title": "mapped", "embedding": [1.0] * DIM} for number in range(5)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page.goto("/import?collection=default/docs")
    page.get_by_label("Paths and addresses, one per line").fill(str(file))
    page.get_by_role("button", name="Continue to columns").click()
    page.get_by_label("Column of id").select_option("key", timeout=MILLIS)
    page.get_by_label("Column of vector").select_option("embedding")
    page.get_by_role("button", name="Continue to check").click()
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed", timeout=MILLIS)
    page.goto("/collections/default/docs?filter=id+%3D%3D+7003")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_collection_is_dropped_by_its_name(page: Page, world: World) -> None:
    with world.server.client(api_key=world.key) as client:
        client.collections.create("doomed", dimension=DIM)
    page.goto("/collections/default/doomed")
    page.get_by_role("link", name="Drop").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type doomed to drop it").fill("other")
    dialog.get_by_role("button", name="Drop").click()
    expect(page.get_by_role("alert")).to_contain_text("type the collection's name")
    page.goto("/collections/default/doomed/drop")
    page.get_by_label("Type doomed to drop it").fill("doomed")
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_role("link", name="docs", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="doomed")).to_have_count(0)


def test_a_key_is_made_shown_once_and_revoked(browser: Browser, page: Page, world: World) -> None:
    page.goto("/admin?tab=keys")
    page.get_by_label("Name").fill("reading")
    page.get_by_role("button", name="Create key").click()
    key = page.get_by_role("alert").locator("pre").inner_text()
    assert key not in page.goto("/admin?tab=keys").text()  # type: ignore[union-attr]
    with open_page(browser, world.server.url) as theirs:
        log_in(theirs, key)
        expect(theirs.get_by_role("link", name="Import")).to_have_count(1)  # a reader is offered no action
        page.get_by_role("row", name="reading").get_by_role("link", name="Revoke").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_role("row", name="reading")).to_contain_text("revoked")
        theirs.wait_for_timeout(1000)
        theirs.goto("/")
        expect(theirs).to_have_url(re.compile("/login"))


def test_two_tenants_do_not_see_each_other(browser: Browser, world: World) -> None:
    with open_page(browser, world.server.url) as page:
        log_in(page, world.tenant)
        expect(page.get_by_role("heading", name="Nothing has been imported yet")).to_be_visible()
        for address in (f"/jobs/{world.failed}", "/collections/default/docs", "/?cluster=in01-local"):
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 404
            assert "bad.jsonl" not in answer.text()
        page.goto("/admin?tab=audit")
        assert "ops" not in page.locator("main").inner_text()
        page.goto("/admin?tab=health")
        expect(page.locator("main")).to_contain_text("is for admins of its own cluster")


def test_everything_is_reached_by_keys(page: Page) -> None:
    page.goto("/collections")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(r"/$"))
    page.wait_for_load_state()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr.link a").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/jobs/\d+$"))
    page.go_back()
    page.keyboard.press("/")
    expect(page.get_by_label("Search by id, file or reason")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_pages_can_be_read_without_a_script(browser: Browser, world: World) -> None:
    with open_page(browser, world.server.url, java_script_enabled=False) as page:
        log_in(page, world.key)
        page.get_by_role("link", name="Failed, job").click()
        expect(page.locator(".note.failed")).to_contain_text("row 19")
        page.get_by_role("link", name="Retry").click()
        expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_the_api_page_folds_what_is_not_served(page: Page) -> None:
    page.goto("/docs")
    expect(page.get_by_role("heading", name="import jobs (v2)")).to_be_visible()
    last = page.locator(".opblock-tag-section").last
    expect(last).to_contain_text("not served")
    expect(last.locator(".opblock")).to_have_count(0)


def test_files_are_uploaded_in_the_wizard(page: Page, world: World, tmp_path: Path) -> None:
    """A file of several pieces; its SHA-256 is computed by the page's own script, and checked by the server."""
    rows = [json.dumps({"id": 9000 + number, "title": "x" * 900_000, "vector": [1.0] * DIM}) for number in range(20)]
    (tmp_path / "uploaded.jsonl").write_text("\n".join(rows) + "\n")
    page.goto("/import?collection=default/docs")
    page.get_by_label("Choose files").set_input_files(str(tmp_path / "uploaded.jsonl"))
    expect(page.locator("#uploads")).to_contain_text("uploaded.jsonl · uploaded", timeout=4 * MILLIS)
    expect(page.get_by_label("Paths and addresses, one per line")).to_have_value(
        re.compile("^upload://.*uploaded.jsonl$")
    )
    assert axe_findings(page) == []


def test_a_csv_with_bad_rows_is_imported_corrected_replayed_and_searched(
    page: Page, world: World, tmp_path: Path
) -> None:
    """What a person does who has never seen the page: no path, no option and no command is known beforehand."""
    lines = ["id,title,embedding"]
    for number in range(500):
        vector = [number, *[1.0] * (DIM - 1)] if number % 50 else "[1, 2, oops]"
        lines.append(f'{number},Book {number},"{vector}"')
    (tmp_path / "books.csv").write_text("\n".join(lines) + "\n")
    page.goto("/import")
    page.get_by_label("Choose files").set_input_files(str(tmp_path / "books.csv"))
    expect(page.locator("#uploads")).to_contain_text("books.csv · uploaded", timeout=MILLIS)
    page.get_by_label("Its name").fill("journey")
    page.get_by_role("button", name="Continue to columns").click()
    expect(page.locator("main")).to_contain_text("10 of 500 rows have no vector of", timeout=MILLIS)
    page.get_by_role("button", name="Continue to check").click()
    page.get_by_role("button", name="Check first").click()
    expect(page.locator("#dry-run")).to_contain_text("10 bad rows of 500", timeout=2 * MILLIS)
    expect(page.locator("#dry-run")).to_contain_text("books.csv, row 50: [1, 2, oops]")
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Failed", timeout=MILLIS)
    page.get_by_role("link", name="import the files without their bad rows").click()
    page.get_by_role("button", name="Continue to columns").click()
    page.get_by_role("button", name="Continue to check").click()
    expect(page.get_by_label("A row that breaks a rule")).to_have_value("skip_row", timeout=MILLIS)
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed", timeout=MILLIS)
    page.get_by_role("link", name="Rejects 10").click()
    with page.expect_download() as begun:
        page.get_by_role("link", name="JSON Lines").click()
    rejected = [json.loads(line) for line in begun.value.path().read_text().splitlines()]
    corrected = [json.dumps({**row, "embedding": [float(row["id"]), *[1.0] * (DIM - 1)]}) for row in rejected]
    (tmp_path / "corrected.jsonl").write_text("\n".join(corrected) + "\n")
    page.get_by_role("link", name="Replay").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Choose files").set_input_files(str(tmp_path / "corrected.jsonl"))
    expect(dialog.locator("#uploads")).to_contain_text("corrected.jsonl · uploaded", timeout=MILLIS)
    dialog.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed", timeout=MILLIS)
    page.goto("/collections/default/journey?filter=id+%3D%3D+50")
    page.get_by_role("link", name="Similar").first.click()
    nearest = page.get_by_role("region", name="Nearest rows by embedding").locator("tbody tr")
    expect(nearest).to_have_count(10)
    expect(nearest.first).to_contain_text("Book 50")
