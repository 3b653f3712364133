"""``penstock completion`` and what a shell is answered."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli import server_names
from penstock.cli.main import cli
from tests.support.servers import RunningServer


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --no-files")]
)
def test_scripts(shell: str, word: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell], prog_name="penstock")
    assert done.exit_code == 0, done.output
    assert word in done.stdout
    assert "_PENSTOCK_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("penstock jo", {"jobs"}),
        ("penstock jobs li", {"list"}),
        ("penstock jobs list --st", {"--state"}),
        ("penstock jobs list --state comp", {"completed"}),
        ("penstock nothing li", set()),
        ("penstock serve --li", {"--list-window"}),
    ],
)
def test_words(words: str, offered: set[str]) -> None:
    assert offered <= answer(words)


def answer(words: str, **environment: str) -> set[str]:
    """What bash is offered for the last of the words."""
    environment |= {
        "_PENSTOCK_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = CliRunner().invoke(cli, [], prog_name="penstock", env=environment)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return {line.partition(",")[2] for line in done.stdout.splitlines() if line}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no reason to offer nothing."""
    monkeypatch.setattr(server_names, "_DEADLINE", 60.0)


@pytest.mark.usefixtures("patient")
def test_names_come_from_the_server(server: RunningServer) -> None:
    rows = server.import_root / "completion.jsonl"
    rows.write_text('{"id": 1, "vector": [1, 2]}\n')
    with server.client() as client:
        client.collections.create("completion_docs", dimension=2)
        job = client.imports.create("completion_docs", [rows])

    for words in ("collections describe", "query", "indexes list", "jobs list --collection", "export"):
        assert answer(f"penstock {words} completion_", PENSTOCK_URL=server.url) == {"completion_docs"}
    assert answer(f"penstock jobs describe {job.id[:8]}", PENSTOCK_URL=server.url) >= {job.id}


@pytest.mark.usefixtures("patient")
def test_profiles_are_completed_and_used(server: RunningServer, tmp_path: Path) -> None:
    with server.client() as client:
        client.collections.create("completion_profiles", dimension=2)
    config = {"XDG_CONFIG_HOME": str(tmp_path)}
    added = CliRunner().invoke(cli, ["profile", "add", "near", "--url", server.url], env=config)
    assert added.exit_code == 0, added.output

    assert answer("penstock profile remove n", **config) == {"near"}
    assert answer("penstock query x --profile ne", **config) == {"near"}
    assert answer("penstock query --profile near completion_pro", **config) == {"completion_profiles"}
    assert answer("penstock query --profile far completion_pro", **config) == set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense://", ""])
def test_nothing_is_offered_without_a_server(url: str) -> None:
    assert answer("penstock collections describe d", PENSTOCK_URL=url) == set()


def test_a_completion_leaves_the_standard_input_to_the_shell() -> None:
    words = "penstock query docs --filter - --li"
    environment = {"_PENSTOCK_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "5"}
    typed = io.BytesIO(b"typed")
    done = CliRunner().invoke(cli, [], prog_name="penstock", env=environment, input=typed)
    assert "plain,--limit" in done.stdout.splitlines()
    assert typed.read() == b"typed"
