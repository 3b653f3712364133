"""The steps of the import wizard, sent as a browser without scripts sends them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.servers import RunningServer

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class Wizard:
    """A wizard in a browser: the hidden fields of its last page are sent along."""

    def __init__(self, browser: httpx.Client) -> None:
        self.browser = browser
        self.text = browser.get("/import").text

    def send(self, path: str = "/import", **fields: str) -> httpx.Response:
        hidden = {name: html.unescape(value) for name, value in HIDDEN.findall(self.text)}
        answer = self.browser.post(path, data={**hidden, **fields})
        self.text = answer.text
        return answer

    @property
    def error(self) -> str:
        note = re.search(r'id="wizard-error"( hidden)?><h2>[^<]*</h2><p>(.*?)</p>', self.text, re.DOTALL)
        assert note is not None
        return "" if note[1] else html.unescape(note[2])


@pytest.fixture
def wizard(server: RunningServer) -> Iterator[Wizard]:
    with httpx.Client(base_url=server.url, timeout=60) as browser:
        yield Wizard(browser)


def write(server: RunningServer, name: str) -> str:
    path = server.import_root / name
    rows = [{"id": number, "code": f"c{number}", "vector": [number, 1.5]} for number in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_choice_counts_without_inferring_again(server: RunningServer, wizard: Wizard) -> None:
    wizard.send(step="columns", paths=write(server, "chosen.jsonl"), new_name="chosen_key")
    wizard.send(step="check", id_column="code")
    assert wizard.error == ""
    assert wizard.send("/import/run").status_code == 303
    with server.client() as client:
        assert client.collections.describe("chosen_key").primary.name == "code"


def test_a_choice_that_no_schema_fits_leads_back_to_the_columns(server: RunningServer, wizard: Wizard) -> None:
    wizard.send(step="columns", paths=write(server, "no_key.jsonl"), new_name="no_key")
    assert wizard.send(step="check", id_column="vector").status_code == 400
    assert "the column 'vector' can't be the primary key" in wizard.error
    assert 'data-step="columns"' in wizard.text
    wizard.send(step="check")
    assert wizard.send("/import/run").status_code == 303, wizard.error


def test_files_that_have_gone_lead_back_to_their_names(server: RunningServer, wizard: Wizard) -> None:
    path = write(server, "gone.jsonl")
    wizard.send(step="columns", paths=path, new_name="gone")
    Path(path).unlink()
    wizard.send(step="check", id_column="code")
    assert "the file does not exist" in wizard.error
    assert 'data-step="source"' in wizard.text
    assert path in wizard.text


def test_a_check_that_created_the_collection_otherwise_is_explained(server: RunningServer, wizard: Wizard) -> None:
    wizard.send(step="columns", paths=write(server, "twice.jsonl"), new_name="created_by_check")
    wizard.send(step="check")
    assert wizard.send("/import/check").status_code == 200
    wizard.send(step="columns")
    wizard.send(step="check", drop="code")
    wizard.send("/import/check")
    assert "a check creates the collection, empty" in wizard.error
    assert "Drop it, or go back and give the new one another name" in wizard.error


def test_vectors_of_bits_are_compared_by_their_metric(server: RunningServer, wizard: Wizard) -> None:
    bits = pa.array([[number % 256] * 8 for number in range(20)], pa.list_(pa.uint8(), 8))
    path = server.import_root / "bits.parquet"
    pq.write_table(pa.table({"id": range(20), "vector": bits}), path)
    wizard.send(step="columns", paths=str(path), new_name="bits_of_wizard")
    metrics = re.search(r'<select id="metric".*?</select>', wizard.text)
    assert metrics is not None
    assert re.findall(r"<option[^>]*>(\w+)", metrics[0]) == ["HAMMING", "JACCARD"]
    wizard.send(step="check", metric="HAMMING", index_type="AUTOINDEX")
    assert wizard.send("/import/run").status_code == 303, wizard.error
