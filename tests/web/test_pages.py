"""The page over HTTP, without a browser: login, forged forms, tenants, filters, and what an error shows."""

from __future__ import annotations

import gzip
import html
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import update

from penstock.access.accounts import AccountService
from penstock.catalog.db import tables
from penstock.catalog.db.connection import now_millis
from penstock.domain.access import Grant, Role
from penstock.domain.jobs import JobState
from penstock.web.jobs import created_after
from penstock.web.page import address
from tests.support.tenants import ACME, Callers, two_tenants

IMPORTS = "/v2/vectordb/jobs/import"
CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
SESSION = "penstock_session"


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with two_tenants(tmp_path_factory.mktemp("tenants")) as callers:
        yield callers


class Visitor:
    """A browser without scripts: it keeps cookies, and sends forms with the token of the page they are on."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, follow_redirects=True)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def post(self, path: str, page: str = "/login", **fields: str) -> httpx.Response:
        token = CSRF.search(self.get(page).text)
        assert token is not None, page
        return self.http.post(path, data={**fields, "csrf": token[1]})

    def log_in(self, secret: str, user: str = "", then: str = "") -> httpx.Response:
        return self.post("/login", user=user, secret=secret, next=then)


@pytest.fixture
def visitor(tenants: Callers) -> Iterator[Visitor]:
    made = Visitor(str(tenants.client.base_url))
    with made.http:
        yield made


@pytest.fixture
def ops(visitor: Visitor, tenants: Callers) -> Visitor:
    """The server's administrator, logged in."""
    assert visitor.log_in(tenants.secrets["ops"]).status_code == 200
    return visitor


def create_job(tenants: Callers, who: str = "ops", path: str = "a.json", **body: object) -> str:
    status, code, data = tenants.post(who, f"{IMPORTS}/create", collectionName="docs", files=[[path]], **body)
    assert (status, code) == (200, 0), data
    return str(data["jobId"])


def test_pages_lead_to_the_login_and_back(visitor: Visitor, tenants: Callers) -> None:
    job = create_job(tenants)
    answer = visitor.get(f"/jobs/{job}?tab=files")
    assert answer.url.path == "/login"
    answer = visitor.log_in(tenants.secrets["ops"], then=answer.url.params["next"])
    assert str(answer.url).endswith(f"/jobs/{job}?tab=files")
    cookie = answer.history[-1].headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert tenants.secrets["ops"] not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/?page={'0' * 18}{'9' * 30}", 200),
        (f"/?page={'0' * 5000}", 200),
        (f"/jobs/{'9' * 30}", 404),
        (f"/import/check/{'9' * 30}", 404),
        (f"/import/check/{'9' * 5000}", 404),
    ],
)
def test_a_number_beyond_all_bounds_is_no_error_of_the_server(ops: Visitor, path: str, status: int) -> None:
    assert ops.get(path).status_code == status


def test_a_query_of_any_name_is_no_error_of_the_server(ops: Visitor) -> None:
    for name in ("path", "self", "own", "cluster_id"):
        assert ops.get(f"/?{name}=1").status_code == 200


def test_a_row_with_the_key_0_has_similar_ones() -> None:
    assert address("/search", by="row", q=0, page=None, filter="") == "/search?by=row&q=0"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_login_never_leads_to_another_site(visitor: Visitor, tenants: Callers, target: str) -> None:
    assert visitor.log_in(tenants.secrets["ops"], then=target).url.path == "/"


def test_wrong_credentials_are_refused_as_by_the_api(visitor: Visitor) -> None:
    answer = visitor.log_in("wrong", user="clerk")
    assert answer.status_code == 403
    assert "the user is unknown or the password is wrong" in answer.text
    assert 'value="clerk"' in answer.text, "the name needn't be typed again"
    assert visitor.get("/").url.path == "/login"


def test_blanks_of_a_password_belong_to_it(visitor: Visitor, tenants: Callers) -> None:
    accounts = AccountService(tenants.catalog)
    accounts.create_user("org-default", "blank", " three blanks ", [Grant(role=Role.READER)])
    assert visitor.log_in("three blanks", user="blank").status_code == 403
    assert visitor.log_in(" three blanks ", user="blank").url.path == "/"


def test_behind_a_proxy_with_tls_the_session_is_for_tls_only(visitor: Visitor) -> None:
    assert "secure" not in visitor.get("/login").headers["set-cookie"].lower()
    visitor.http.cookies.clear()
    assert "; secure" in visitor.get("/login", **{"x-forwarded-proto": "https"}).headers["set-cookie"].lower()


def test_a_login_leads_back_to_an_address_of_any_characters(visitor: Visitor, tenants: Callers) -> None:
    answer = visitor.log_in(tenants.secrets["ops"], then="/collections/default/名")
    assert (answer.status_code, answer.url.path) == (404, "/collections/default/名")


def test_cookies_of_other_programs_on_the_host_do_not_hide_the_session(ops: Visitor, tenants: Callers) -> None:
    cookies = f'other={{"not": "by RFC 6265"}}; {SESSION}={ops.http.cookies[SESSION]}'
    assert httpx.get(str(tenants.client.base_url), headers={"cookie": cookies}).status_code == 200


def test_a_session_ends_with_a_logout(ops: Visitor, tenants: Callers) -> None:
    token = ops.http.cookies[SESSION]
    assert ops.get("/").url.path == "/"
    ops.post("/logout", page="/")
    time.sleep(0.6)  # accounts are cached for half a second
    again = httpx.get(f"{tenants.client.base_url}", cookies={SESSION: token})
    assert again.headers["location"].startswith("/login")


def test_a_session_ends_with_its_key_its_password_and_its_time(tenants: Callers) -> None:
    accounts, sessions = AccountService(tenants.catalog), tenants.catalog.sessions
    key = accounts.create_key("org-default", "brief", [Grant(role=Role.READER)])
    accounts.create_user("org-default", "paul", "correct horse", [Grant(role=Role.READER)])
    user = accounts.user("paul")
    for digest, account in (("a", key.account.id), ("b", user.id), ("c", user.id)):
        sessions.begin(digest, account, now_millis() + 60_000)
    sessions.begin("late", user.id, now_millis() + 1)
    found = tenants.catalog.accounts.by_session
    time.sleep(0.01)
    assert [found(digest) is not None for digest in ("a", "b", "c", "late", "none")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    accounts.revoke_key(key.account.id)
    accounts.set_password("paul", "battery staple")
    assert [found(digest) for digest in ("a", "b", "c")] == [None, None, None]


@pytest.mark.parametrize("token", ["", "0" * 64, "nonsense", "nönsense"])
def test_forms_of_other_sites_are_refused(ops: Visitor, tenants: Callers, token: str) -> None:
    job = create_job(tenants)
    answer = ops.http.post(f"/jobs/{job}/abort", data={"csrf": token})
    assert answer.status_code == 403
    assert "another site sent it" in answer.text
    assert ops.http.post(f"/jobs/{job}/abort", json={}).status_code == 400, "no form at all"
    assert tenants.catalog.jobs.get("in01-local", int(job)).state is JobState.PENDING


def test_a_link_of_another_site_finds_the_session(ops: Visitor) -> None:
    """Browsers leave strict cookies out of its first call, so the page calls itself once more."""
    with httpx.Client(base_url=ops.http.base_url) as stranger:
        answer = stranger.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert 'http-equiv="refresh"' in answer.text
    assert "set-cookie" not in answer.headers


def test_pages_have_a_strict_policy(ops: Visitor) -> None:
    answer = ops.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", answer.text)


def test_jobs_are_changed_by_forms_and_audited_once(ops: Visitor, tenants: Callers) -> None:
    job = create_job(tenants)
    assert "Ends the job at 0 %" in ops.get(f"/jobs/{job}/abort").text
    answer = ops.post(f"/jobs/{job}/abort", page=f"/jobs/{job}/abort")
    assert answer.url.path == f"/jobs/{job}"
    assert "aborted by user" in answer.text
    entries = [entry for entry in tenants.catalog.audit.newest(10) if entry.job_id == int(job)]
    assert [entry.action for entry in entries] == ["import.abort", "import.create"]
    assert re.search(r" by \S+ <span[^>]*>from 127.0.0.1<", answer.text)
    assert answer.text.count("Waiting to start") == 1
    refused = ops.post(f"/jobs/{job}/retry", page="/")
    assert refused.status_code == 409
    assert "was aborted by user, only a failed job can be retried" in refused.text


def test_a_job_shows_what_its_verification_has_compared(ops: Visitor, tenants: Callers) -> None:
    job = create_job(tenants, options={"verify": "true"})
    result = {
        "ok": True,
        "readRows": 1200,
        "files": [{"sampledRows": 60}, {"sampledRows": 40}],
        "searches": [{"searched": 20, "hits": 19}],
    }
    with tenants.catalog.database.write() as connection:
        connection.execute(update(tables.job).where(tables.job.c.id == int(job)).values(verification=result))
    shown = "1,200 rows counted, 100 sampled rows equal, 19 of 20 searches find their row"
    assert shown in ops.get(f"/jobs/{job}").text


def test_texts_of_callers_are_escaped(ops: Visitor, tenants: Callers) -> None:
    job = create_job(tenants, path="<script>alert(1)</script>.json", options={"timeout": "300s"})
    tenants.catalog.jobs.request_transition(
        tenants.catalog.jobs.get("in01-local", int(job)), JobState.FAILED, reason="<img src=x onerror=alert(1)>"
    )
    for page in (f"/jobs/{job}", "/", f"/jobs/{job}?tab=raw", "/?q=%3Cimg"):
        text = ops.get(page).text
        assert "<img src=x" not in text
        assert "<script>alert" not in text


def test_pages_of_the_list_stay_while_jobs_arrive(ops: Visitor, tenants: Callers) -> None:
    for _ in range(60):
        create_job(tenants)
    ids = re.compile(r'id="job-(\d+)"')
    first = ops.get("/")
    following = re.search(r'href="([^"]*)" rel="next"', first.text)
    assert following is not None
    address = following[1].replace("&amp;", "&")
    second = ids.findall(ops.get(address).text)
    for _ in range(3):
        create_job(tenants)
    assert ids.findall(ops.get(address).text) == second
    assert len(ids.findall(first.text)) == 50
    assert not set(ids.findall(first.text)) & set(second)
    newest = max(map(int, ids.findall(first.text)))
    assert "3 new jobs" in ops.get(f"/?before={newest + 1}").text


def test_jobs_are_searched_by_id_and_by_text(ops: Visitor, tenants: Callers) -> None:
    job = create_job(tenants)
    tenants.catalog.jobs.request_transition(
        tenants.catalog.jobs.get("in01-local", int(job)), JobState.FAILED, reason="100% of the rows are wrong"
    )
    assert ops.get(f"/?q={job}").url.path == f"/jobs/{job}"
    assert f"job-{job}" in ops.get("/?q=100%25+of+the+ROWS").text
    assert "No job matches" in ops.get("/?q=100_+of").text, "no wildcard"


def test_tenants_see_their_own(tenants: Callers, visitor: Visitor) -> None:
    job = create_job(tenants)
    theirs = create_job(tenants, "acme", clusterId=ACME)
    visitor.log_in(tenants.secrets["owner"])
    assert f"job-{theirs}" in visitor.get(f"/?cluster={ACME}").text
    assert job not in visitor.get(f"/?cluster={ACME}").text
    for path in (f"/jobs/{job}", f"/jobs/{job}?cluster={ACME}", "/?cluster=in01-local"):
        assert visitor.get(path).status_code == 404
    assert "in01-local" not in visitor.get(f"/admin?tab=clusters&cluster={ACME}").text
    assert "org-default" not in visitor.get(f"/admin?tab=orgs&cluster={ACME}").text
    for tab in ("health",):
        assert "for admins of its own cluster" in visitor.get(f"/admin?tab={tab}&cluster={ACME}").text
    assert "catalog.db" not in visitor.get(f"/admin?tab=storage&cluster={ACME}").text


def test_what_is_done_in_another_cluster_leads_back_there(tenants: Callers, visitor: Visitor) -> None:
    visitor.log_in(tenants.secrets["owner"])
    job = create_job(tenants, "acme", clusterId=ACME)
    answer = visitor.get(f"/?q={job}&cluster={ACME}")
    assert (answer.status_code, answer.url.path) == (200, f"/jobs/{job}")
    docs = f"/collections/default/docs?cluster={ACME}"
    for verb in ("release", "load"):
        answer = visitor.post(f"/collections/default/docs/{verb}", docs, cluster=ACME)
        assert answer.status_code == 200, verb
        assert answer.url.params["cluster"] == ACME
    tenants.post("acme", "/v2/vectordb/collections/create", collectionName="doomed", dimension=2)
    answer = visitor.post("/collections/default/doomed/drop", docs, cluster=ACME, name="doomed")
    assert (answer.status_code, answer.url.path, answer.url.params["cluster"]) == (200, "/collections", ACME)
    error = visitor.get(f"/jobs/1?cluster={ACME}")
    assert f'href="/?cluster={ACME}"' in error.text.partition("<main")[2]


def test_the_address_of_a_new_key_shows_no_question_about_a_user(ops: Visitor) -> None:
    """Enter in the address bar, and a restored tab, ask for the address of a form's answer anew."""
    for place, tab in (
        ("create-key", "keys"),
        ("create-user", "users"),
        ("grant-role", "users"),
        ("nothing", "keys"),
    ):
        answer = ops.get(f"/admin/{place}")
        assert (answer.url.path, answer.url.params["tab"]) == ("/admin", tab)
        assert "Drop the user" not in answer.text


def test_a_search_is_there_to_copy_once_it_is_one(ops: Visitor) -> None:
    place = "/collections/default/docs/search"
    assert "penstock search" not in ops.get(place).text
    assert "penstock search docs --id 1 " in ops.get(f"{place}?by=row&q=1").text


def test_a_live_view_brings_its_title(ops: Visitor, tenants: Callers) -> None:
    job = create_job(tenants)
    path = f"/jobs/{job}/abort"
    ops.post(path, page=path)
    assert "<title>Aborted, docs · Penstock</title>" in ops.get(f"/jobs/{job}", **{"hx-request": "true"}).text


def test_failures_of_the_night_are_counted_in_the_morning(ops: Visitor, tenants: Callers) -> None:
    """A job of the evening before, by UTC, is counted, and found by the count's link."""
    job = create_job(tenants)
    tenants.catalog.jobs.request_transition(
        tenants.catalog.jobs.get("in01-local", int(job)), JobState.FAILED, reason="the disk is full"
    )
    link = re.search(r'href="([^"]*)"><b>[\d,]+</b>failed since yesterday', ops.get("/").text)
    assert link is not None
    assert f"job-{job}" in ops.get(html.unescape(link[1])).text
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert created_after("yesterday") == midnight - timedelta(days=1)


def test_a_reader_of_one_database_sees_that_one(tenants: Callers, visitor: Visitor) -> None:
    visitor.log_in("correct horse", user="clerk")
    sales, default = (f"/collections/{name}/docs?cluster={ACME}" for name in ("sales", "default"))
    assert visitor.get(sales).status_code == 200
    assert visitor.get(default).status_code == 403
    assert "default / " not in visitor.get(f"/collections?cluster={ACME}").text
    assert ">Drop<" not in visitor.get(sales).text
    assert visitor.post(f"/collections/sales/docs/drop?cluster={ACME}", sales, name="docs").status_code == 403
    assert visitor.get(sales).status_code == 200


def test_keys_are_made_within_ones_own_role(tenants: Callers, visitor: Visitor) -> None:
    accounts = AccountService(tenants.catalog)
    admin = accounts.create_key("org-acme", "local admin", [Grant(role=Role.ADMIN, cluster_id=ACME)])
    visitor.log_in(admin.secret)
    made = visitor.post("/admin/create-key", "/admin", name="new", role="writer", database="sales", lifetime="1h")
    secret = re.search(r"psk_[A-Za-z0-9_-]{43}", made.text)
    assert secret is not None
    account = next(key for key in accounts.keys("org-acme") if key.name == "new")
    assert account.grants == (Grant(role=Role.WRITER, cluster_id=ACME, database="sales"),)
    assert account.expires_at is not None
    wide = next(key for key in accounts.keys("org-acme") if key.name == "owner")
    refused = visitor.post("/admin/revoke-key", "/admin", target=wide.id)
    assert refused.status_code == 403
    assert "is not an admin of all clusters" in refused.text
    visitor.post("/admin/revoke-key", "/admin", target=account.id)
    assert not next(key for key in accounts.keys("org-acme") if key.id == account.id).is_valid
    actions = [entry.action for entry in tenants.catalog.audit.newest(3)]
    assert actions == ["key.revoke", "key.revoke", "key.create"]


@pytest.mark.parametrize(
    "path", ["/jobs/x", "/jobs/0", f"/jobs/{2**70}", "/collections/default/nothing", "/jobs/1/nothing"]
)
def test_what_is_not_there_is_404(ops: Visitor, path: str) -> None:
    answer = ops.get(path)
    assert answer.status_code == 404
    assert 'role="alert"' in answer.text


def test_assets_are_kept_by_browsers_and_compressed(ops: Visitor) -> None:
    page = ops.get("/").text
    scripts = re.findall(r'src="(/assets/[^"]+\.js)"', page)
    sizes = []
    for script in scripts:
        with ops.http.stream("GET", script, headers={"accept-encoding": "gzip"}) as answer:
            assert "immutable" in answer.headers["cache-control"]
            sizes.append(len(b"".join(answer.iter_raw())))
    assert sum(sizes) < 100_000, "script of the list of jobs, compressed"
    for path in (
        "/assets/x/../routes.py",
        "/assets/x/%2e%2e/routes.py",
        "/assets/x/lock.json",
        "/assets/x/nothing.js",
    ):
        assert ops.get(path).status_code == 404


def test_pages_are_compressed(ops: Visitor) -> None:
    with ops.http.stream("GET", "/", headers={"accept-encoding": "gzip"}) as answer:
        assert b"<!doctype html>" in gzip.decompress(b"".join(answer.iter_raw()))


def test_large_and_strange_forms_are_refused(ops: Visitor) -> None:
    assert ops.http.post("/login", data={"secret": "x" * (1 << 20)}).status_code == 400
    many = "&".join(f"a{number}=" for number in range(6000))
    answer = ops.http.post("/login", content=many, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400
