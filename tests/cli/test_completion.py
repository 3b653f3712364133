"""``penstock completion`` and what a shell is answered."""

from __future__ import annotations

import io

import pytest
from click.testing import CliRunner

from penstock.cli.main import cli


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
    environment = {
        "_PENSTOCK_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = CliRunner().invoke(cli, [], prog_name="penstock", env=environment)
    assert done.exit_code == 0, done.output
    assert offered <= {line.partition(",")[2] for line in done.stdout.splitlines()}


def test_a_completion_leaves_the_standard_input_to_the_shell() -> None:
    words = "penstock query docs --filter - --li"
    environment = {"_PENSTOCK_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "5"}
    typed = io.BytesIO(b"typed")
    done = CliRunner().invoke(cli, [], prog_name="penstock", env=environment, input=typed)
    assert "plain,--limit" in done.stdout.splitlines()
    assert typed.read() == b"typed"
