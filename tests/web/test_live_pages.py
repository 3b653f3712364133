"""What scripts do on the page: live views that leave the reader alone, forms sent once, steps, long names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import VISIBLE, axe_findings, chromium, open_page
from tests.support.servers import RunningServer

MILLIS = VISIBLE * 1000
NAME = "live"
LONG = "n" * 255


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def file(server: RunningServer) -> str:
    """Rows of the collections :data:`NAME` and :data:`LONG`."""
    path = server.import_root / "live.jsonl"
    path.write_text("".join(json.dumps({"id": number, "vector": [number, 1]}) + "\n" for number in range(5)))
    with server.client() as client:
        inferred = client.collections.infer([str(path)], id="id")
        for name in (NAME, LONG):
            client.collections.create(name, schema=inferred.schema, indexes=inferred.indexes)
    return str(path)


@pytest.fixture
def page(browser: Browser, server: RunningServer, file: str) -> Iterator[Page]:
    with open_page(browser, server.url) as opened:
        yield opened


def waiting_job(server: RunningServer, file: str, collection: str = NAME) -> str:
    """A job that waits for its commit, so that its page and the list are live."""
    with server.client() as client:
        return client.imports.wait(client.imports.create(collection, [file], options={"auto_commit": "false"})).id


def refresh(page: Page, path: str) -> None:
    """Refresh the live view as an event does, and wait for it."""
    with page.expect_response(lambda answer: path in answer.url and "hx-request" in answer.request.headers):
        page.evaluate("penstock.refresh()")
    page.wait_for_timeout(100)


def test_a_refresh_leaves_what_is_typed_and_opened(page: Page, server: RunningServer, file: str) -> None:
    waiting_job(server, file)
    page.goto("/")
    box = page.get_by_label("Search by id, file or reason")
    box.press_sequentially("half a wo")
    refresh(page, "/?before=")
    expect(box).to_have_value("half a wo")
    page.get_by_label("State").focus()
    refresh(page, "/?before=")
    expect(box).to_have_value("half a wo")
    box.fill("")
    page.get_by_text("Copy as").click()
    command = page.locator(".copy").first
    command.get_by_role("button").focus()
    refresh(page, "/?before=")
    expect(command.locator("pre")).to_be_visible()
    expect(command.get_by_role("button", name="Copy")).to_be_focused()
    expect(command.get_by_role("button")).to_have_count(1)


def test_the_title_of_a_tab_follows_its_job(page: Page, server: RunningServer, file: str) -> None:
    job = waiting_job(server, file)
    page.goto(f"/jobs/{job}")
    expect(page).to_have_title("Waiting to commit, live · Penstock")
    with server.client() as client:
        client.imports.commit(job)
    expect(page).to_have_title("Completed, live · Penstock", timeout=MILLIS)


def test_one_stream_is_open_however_often_a_tab_is_shown(browser: Browser, server: RunningServer, file: str) -> None:
    waiting_job(server, file)
    with open_page(browser, server.url) as page:
        page.add_init_script(
            """window.sources = []; window.away = false;
            const Real = EventSource;
            window.EventSource = class extends Real { constructor(url) { super(url); sources.push(this); } };
            Object.defineProperty(document, "hidden", { get: () => window.away });"""
        )
        page.goto("/")
        page.evaluate(
            """() => { for (let turn = 0; turn < 8; turn++) {
                window.away = !window.away; document.dispatchEvent(new Event("visibilitychange")); } }"""
        )
        for _ in range(100):  # wait_for_function needs unsafe-eval, which the page's policy refuses
            if page.evaluate("sources.some((source) => source.readyState === 1)"):
                break
            page.wait_for_timeout(100)
        assert page.evaluate("sources.filter((source) => source.readyState !== 2).length") == 1


def test_times_are_true_on_a_machine_whose_clock_is_wrong(browser: Browser, server: RunningServer, file: str) -> None:
    job = waiting_job(server, file)
    with open_page(browser, server.url) as page:
        page.add_init_script("const now = Date.now; Date.now = () => now() + 1200000;")
        page.goto("/")
        expect(page.locator(f"#job-{job} time")).to_contain_text(re.compile(r"just now|^\d+ s ago|^[1-9] min ago"))


def test_times_are_shown_in_the_time_zone_of_the_reader_too(
    browser: Browser, server: RunningServer, file: str
) -> None:
    job = waiting_job(server, file)
    with open_page(browser, server.url, timezone_id="Asia/Tokyo") as page:
        page.goto(f"/jobs/{job}")
        title = page.locator("main time").first.get_attribute("title")
        assert title is not None
        here, utc = (datetime.fromisoformat(text.strip()) for text in title.removesuffix("UTC").split("here,"))
        assert here - utc == timedelta(hours=9)


def test_texts_are_copied_on_addresses_without_a_clipboard(
    browser: Browser, server: RunningServer, file: str
) -> None:
    """As on ``http://`` addresses other than this machine's."""
    with open_page(browser, server.url) as page:
        page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined })")
        page.goto("/collections")
        page.get_by_text("Copy as").click()
        page.locator(".copy button").first.click()
        expect(page.locator(".copy button").first).to_have_text(re.compile("Copied|Selected"))
        assert page.evaluate("getSelection().toString()").strip() == "penstock collections list"


def test_a_form_is_sent_once(page: Page, server: RunningServer, file: str) -> None:
    job = waiting_job(server, file)
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.goto(f"/jobs/{job}/abort")
    # Two clicks before the browser has begun to leave the page.
    page.evaluate(
        "() => { const button = document.querySelector('form.confirm .danger'); button.click(); button.click(); }"
    )
    expect(page.get_by_role("heading", level=1)).to_contain_text("Aborted", timeout=MILLIS)
    assert len(posts) == 1


def test_a_confirmation_without_an_answer_is_left_to_the_browser(
    page: Page, server: RunningServer, file: str
) -> None:
    job = waiting_job(server, file)
    page.goto(f"/jobs/{job}")
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('no network')); }")
    page.get_by_role("link", name="Abort").click()
    expect(page).to_have_url(re.compile(f"/jobs/{job}/abort$"))


def test_a_step_of_the_wizard_begins_at_its_heading_and_is_not_lost(page: Page, file: str) -> None:
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.goto("/import")
    page.get_by_label("Paths and addresses, one per line").fill(file)
    page.get_by_label("Its name").fill("steps")
    page.get_by_role("button", name="Continue to columns").press("Enter")
    expect(page.locator("#step-title")).to_be_focused(timeout=MILLIS)
    expect(page).to_have_title("Import: columns · Penstock")
    assert axe_findings(page) == []
    page.reload()
    assert asked == ["beforeunload"]
    page.goto("/import")
    assert asked == ["beforeunload"], "nothing is lost by leaving the first step"


def test_a_step_that_gets_no_answer_says_so(page: Page, file: str) -> None:
    page.goto("/import")
    page.get_by_label("Paths and addresses, one per line").fill(file)
    page.get_by_label("Its name").fill("unanswered")
    page.evaluate(
        """() => { console.error = () => {};  // htmx logs that there was no answer
            XMLHttpRequest.prototype.send = function () {
                setTimeout(() => this.dispatchEvent(new ProgressEvent("error"))); }; }"""
    )
    page.get_by_role("button", name="Continue to columns").click()
    expect(page.get_by_role("alert")).to_contain_text("The server can't be reached")
    expect(page.get_by_label("Its name")).to_have_value("unanswered")
    expect(page.locator("#live-state")).to_be_hidden()


def test_a_start_that_takes_its_time_says_so(page: Page, file: str) -> None:
    page.route("**/import/run", lambda route: None)  # an answer that never comes
    page.goto("/import?collection=default/live")
    page.get_by_label("Paths and addresses, one per line").fill(file)
    page.get_by_role("button", name="Continue to columns").click()
    page.get_by_role("button", name="Continue to check").click()
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Starting…")).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")


def test_an_import_waits_for_uploads(page: Page, file: str) -> None:
    page.route("**/uploads?*", lambda route: None)  # an upload that never ends
    page.goto("/import")
    page.get_by_label("Paths and addresses, one per line").fill(file)
    page.get_by_label("Its name").fill("early")
    page.get_by_label("Choose files").set_input_files(file)
    page.get_by_role("button", name="Continue to columns").click()
    expect(page.get_by_text("Files are still being uploaded")).to_be_visible()
    assert page.locator("#wizard").get_attribute("data-step") == "source"
    page.unroute_all(behavior="ignoreErrors")


def test_a_vector_of_a_large_model_can_be_pasted(page: Page, server: RunningServer) -> None:
    """1,536 numbers of full precision are longer than an address may be."""
    numbers = [(number % 97 - 48) / 1297.0123456789 for number in range(1536)]
    path = server.import_root / "wide.jsonl"
    path.write_text(json.dumps({"id": 0, "vector": numbers}) + "\n")
    with server.client() as client:
        client.collections.create("wide", dimension=1536)
        client.imports.wait(client.imports.create("wide", [str(path)]))
    page.goto("/collections/default/wide/search?by=vector")
    page.get_by_label("Query").fill(json.dumps(numbers))
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("region", name="Nearest rows by vector").locator("tbody tr")).to_have_count(1)
    expect(page.get_by_label("Query")).to_have_value(json.dumps(numbers))
    # Of the row with key 0.
    page.get_by_role("link", name="Similar").click()
    expect(page.get_by_role("region", name="Nearest rows by vector").locator("tbody tr")).to_have_count(1)


def test_a_download_that_is_refused_says_why(page: Page) -> None:
    page.goto(f"/collections/default/{NAME}?filter=id+%3C")
    page.get_by_role("link", name="Download").click()
    expect(page.get_by_role("alert")).to_contain_text("id <")


def test_pages_of_rows_end_where_queries_do(page: Page, server: RunningServer) -> None:
    path = server.import_root / "many.jsonl"
    path.write_text("".join(json.dumps({"id": number, "vector": [number, 1]}) + "\n" for number in range(15_060)))
    with server.client() as client:
        client.collections.create("many", dimension=2)
        client.imports.wait(client.imports.create("many", [str(path)]))
    page.goto("/collections/default/many?page=300")
    expect(page.locator("tbody tr").first).to_contain_text("14950")
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("a filter shows them")


@pytest.mark.parametrize("width", [360, 1280])
def test_names_of_any_length_fit(page: Page, server: RunningServer, file: str, width: int) -> None:
    job = waiting_job(server, file, LONG)
    page.set_viewport_size({"width": width, "height": 800})
    cut = """[...document.querySelectorAll(".table:not(.scroll)")]
        .filter((table) => table.scrollWidth > table.clientWidth).length"""
    for place in (
        *(
            "/",
            f"/?state=failed&collection=default/{LONG}",
            "/collections",
            f"/collections/default/{LONG}",
            "/import",
        ),
        *(
            f"/collections/default/{LONG}/drop",
            f"/jobs/{job}",
            f"/jobs/{job}/abort",
            f"/import?collection=default/{LONG}",
        ),
    ):
        page.goto(place)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        assert page.evaluate(cut) == 0, f"{place}: columns are cut off"
