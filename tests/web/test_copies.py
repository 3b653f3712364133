"""What "Copy as" gives can be run as it is: in a shell, by curl, and in Python."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from tests.support.servers import PENSTOCK, RunningServer

DATABASE, COLLECTION = "copied", "docs"
PLACES = (
    *(
        "/",
        "/?state=running&created=week",
        "/?created=yesterday",
        f"/?state=failed&collection={DATABASE}/{COLLECTION}",
    ),
    *(
        "/collections",
        f"/collections/{DATABASE}/{COLLECTION}?filter=id+%3C+3",
        f"/collections/{DATABASE}/{COLLECTION}",
    ),
    f"/collections/{DATABASE}/{COLLECTION}?tab=schema",
    f"/collections/{DATABASE}/{COLLECTION}/search?by=row&q=0&filter=id+%3C+3&field=vector",
    f"/collections/{DATABASE}/{COLLECTION}/search?by=vector&q=%5B0%2C+1%5D&field=other",
    "/jobs/{job}",
)
COPY = re.compile(
    r"<h2>(Command line|curl|Python)</h2><div class=\"copy\"><pre tabindex=\"0\">(.*?)</pre>", re.DOTALL
)
OF_WIZARD = re.compile(r"<pre tabindex=\"0\" class=\"wrap\">(.*?)</pre>", re.DOTALL)


@pytest.fixture(scope="module")
def job(server: RunningServer) -> Iterator[str]:
    """A collection of a database of its own, with rows from 0 on and two vector fields; the job that brought them."""
    rows = [{"id": number, "vector": [number, 1], "other": [1, number]} for number in range(5)]
    file = server.import_root / "copies.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with server.client() as client:
        client.databases.create(DATABASE)
    with server.client(database=DATABASE) as client:
        inferred = client.collections.infer([str(file)], id="id")
        client.collections.create(COLLECTION, schema=inferred.schema, indexes=inferred.indexes)
        yield client.imports.wait(client.imports.create(COLLECTION, [str(file)])).id


def run(server: RunningServer, kind: str, text: str, folder: Path) -> str:
    """Run what was copied, as a reader would who has set nothing but the address."""
    words = [sys.executable, "-c", text] if kind == "Python" else ["bash", "-c", text]
    environment = {
        **os.environ,
        "PENSTOCK_URL": server.url,
        "PATH": f"{PENSTOCK.parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, env=environment, cwd=folder, check=False
    )
    assert done.returncode == 0, f"{kind}: {text}\n{done.stdout}{done.stderr}"
    if kind == "curl":
        assert all(json.loads(line)["code"] == 0 for line in done.stdout.replace("}{", "}\n{").splitlines()), (
            done.stdout
        )
    return done.stdout


@pytest.mark.parametrize("place", PLACES)
def test_what_a_page_gives_to_copy_runs(
    server: RunningServer, job: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands and Python in this process: to start one for each would take most of the time."""
    page = httpx.get(server.url + place.format(job=job))
    copies = {kind: html.unescape(text) for kind, text in COPY.findall(page.text)}
    assert set(copies) == {"Command line", "curl", "Python"}
    monkeypatch.setenv("PENSTOCK_URL", server.url)
    program, *arguments = shlex.split(copies["Command line"])
    done = CliRunner().invoke(cli, arguments)
    assert (program, done.exit_code) == ("penstock", 0), f"{copies['Command line']}\n{done.output}"
    names: dict[str, Any] = {}
    exec(copies["Python"], names)
    names["client"].close()
    run(server, "curl", copies["curl"], tmp_path)


def test_a_copied_search_finds_what_the_page_shows(server: RunningServer, job: str, tmp_path: Path) -> None:
    page = httpx.get(f"{server.url}/collections/{DATABASE}/{COLLECTION}/search?by=row&q=0&field=other&limit=50")
    for kind, text in COPY.findall(page.text):
        shown = run(server, kind, html.unescape(text), tmp_path)
        assert re.search(r"\b4\b", shown), f"{kind}: {text}: {shown}"


@pytest.mark.parametrize("kind", ["Command line", "curl", "Python"])
@pytest.mark.parametrize("is_new", [True, False])
def test_the_import_of_the_wizard_runs_from_elsewhere(
    server: RunningServer, job: str, kind: str, is_new: bool, tmp_path: Path
) -> None:
    path = str(server.import_root / "copies.jsonl")
    name = f"copied_{kind.split()[0].lower()}_{is_new}"
    source = {"new_name": name, "database": DATABASE} if is_new else {"target": f"{DATABASE}/{COLLECTION}"}
    with httpx.Client(base_url=server.url) as browser:
        page = browser.get("/import").text
        form = {"csrf": _token(page), "paths": path, "id_column": "id", **source}
        page = browser.post("/import", data={**form, "step": "columns", "from": "source"}).text
        schema = re.search(r'name="schema" value="([^"]*)"', page)
        form |= {"schema": html.unescape(schema[1]), "drop": "other"} if schema else {"constant_other": "[5, 5]"}
        page = browser.post("/import", data={**form, "step": "check", "from": "columns"}).text
    texts = dict(zip(("Command line", "curl", "Python"), map(html.unescape, OF_WIZARD.findall(page)), strict=True))
    run(server, kind, texts[kind].replace("--create", "--create --yes"), tmp_path)
    with server.client(database=DATABASE) as client:
        for started in client.imports.list(name if is_new else COLLECTION):
            client.imports.wait(started)
        if is_new:
            assert client.count(name) == 5
            assert [field.name for field in client.collections.describe(name).fields] == ["id", "vector"]


def _token(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]
