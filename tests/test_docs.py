"""The documentation tells everything that there is, and nothing that there isn't."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

import click
import pytest
import requests

from docs import generate
from docs.error_meanings import MEANINGS
from penstock.cli.main import cli
from penstock.settings import settings_table
from penstock.version import DISTRIBUTION
from tests.support.pages import has_server, read_blocks, run_page
from tests.support.s3 import S3Server
from tests.support.servers import RunningServer, running_server

ROOT = Path(__file__).parents[1]
AT_THE_TOP = [ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")]
PAGES = sorted([*AT_THE_TOP, *(ROOT / "docs").rglob("*.md")])
COMMANDS = dict(generate.all_commands(cli, "penstock"))

FOLDERS = ("src", "tests", "docs", "benchmarks", "demo", "requirements")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[^`\s*<>]*)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")


RUN = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
"""Pages whose code blocks run, see tests/support/pages.py. How-to pages that start no server share one."""


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", generate.PAGES)
def test_pages_made_from_the_code_are_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == generate.PAGES[name](), "run `make docs`"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [each.name for each in settings_table() if f"`{each.environment}`" not in text] == []


def test_every_command_and_option_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [path for path in COMMANDS if f" `{path}`\n" not in text] == []
    options = {
        option
        for path, command in COMMANDS.items()
        if path not in generate.SERVER_COMMANDS
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
    }
    assert [option for option in sorted(options) if f"`{option}`" not in text] == []


def test_every_call_is_documented() -> None:
    text = (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")
    assert [route.path for route in generate.all_routes() if f"`{route.method} {route.path}`" not in text] == []


def test_every_error_code_has_a_meaning_and_no_other_has() -> None:
    codes = {class_.code for class_ in generate.all_error_classes()}
    assert sorted(codes ^ set(MEANINGS)) == []


def test_every_metric_is_documented_and_no_other_is(server: RunningServer) -> None:
    server.client().collections.list()  # a counter appears when it has counted something
    shown = requests.get(f"{server.url}/metrics", timeout=10).text
    names = set(re.findall(r"^# HELP (\S+)", shown, re.MULTILINE))
    documented = set(re.findall(r"`((?:penstock|process)_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    assert sorted(names ^ documented) == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_pages_name_only_what_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {link for link in LINK.findall(text) if not (page.parent / link).exists()}
    paths = {path for path in PATH.findall(text) if not (ROOT / path.partition("::")[0]).exists()}
    assert (sorted(links), sorted(paths)) == ([], [])


def test_every_attack_has_a_test_that_is_there() -> None:
    attacks = [
        line
        for line in (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and line.count(" | ") == 2 and not line.startswith(("| Attack", "| ---"))
    ]
    assert len(attacks) > 50
    assert [line for line in attacks if not TEST.search(line)] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_tests_that_pages_name_are_there(page: Path) -> None:
    for path, name in TEST.findall(page.read_text(encoding="utf-8")):
        written = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", written, re.MULTILINE), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_command_lines_in_pages_can_be_typed(page: Path) -> None:
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        command: click.Command = cli
        path = "penstock"
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            path = f"{path} {words.pop(0)}"
            assert path in COMMANDS, f"{line!r}: there is no {path!r}"
            command = COMMANDS[path]
        known = {name for param in command.params for name in [*param.opts, *param.secondary_opts]} | {"--help"}
        assert [word for word in words if word.startswith("--") and word not in known] == [], line


def command_lines(page: Path) -> Iterator[str]:
    """Lines of code blocks that begin with the program's name."""
    if page.name == "cli.md":  # usage lines, which are made from the commands
        return
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside and line.startswith("penstock "):
            yield line


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("pages"), forked=True) as server:
        yield server


@pytest.mark.parametrize("page", [page for page in RUN if not has_server(page)], ids=page_id)
def test_code_blocks_run(page: Path, shared_server: RunningServer) -> None:
    folder = shared_server.import_root / page.stem
    folder.mkdir()
    port = int(shared_server.url.rpartition(":")[2])
    run_page(page, folder, port, Path(sys.executable).parent)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page.name == "tutorial.md" else pytest.mark.slow, id=page_id(page))
        for page in RUN
        if has_server(page)
    ],
)
def test_code_blocks_run_with_a_server_of_the_page(page: Path, tmp_path: Path, s3: S3Server) -> None:
    (tmp_path / "files").mkdir()
    if "my-bucket" in page.read_text(encoding="utf-8"):
        s3.make_bucket("my-bucket")
        s3.put("my-bucket", "vectors/a.jsonl", b'{"id": 1, "vector": [1, 2, 3, 4]}')
        s3.put("my-bucket", "vectors/night/b.jsonl", b'{"id": 2, "vector": [1, 2, 3, 4]}')
    keys = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a"}
    environment = {**keys, "AWS_SECRET_ACCESS_KEY": "b", "AWS_ALLOW_HTTP": "true"}
    run_page(page, tmp_path, free_port(), Path(sys.executable).parent, environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("page", RUN, ids=page_id)
def test_code_blocks_have_a_language(page: Path) -> None:
    """One that runs, or one of text and configuration, which does not."""
    languages = {block.language for block in read_blocks(page)}
    assert languages <= {"sh", "python", "text", "toml", "yaml"}


FOREIGN = re.compile(
    r"penstock\[\w|pip install[^\n]*?\bpenstock\b(?!-import)|version\([\"']penstock[\"']\)|\bname = \"penstock\""
)
"""Ways to name the distribution ``penstock`` of the public index, which is somebody else's package."""


def test_nothing_names_the_foreign_distribution() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    mentions = [
        f"{name}: {match[0]}"
        for name in files.split("\0")
        if name.endswith((".py", ".md", ".toml", ".txt", ".in", "Makefile", ".yaml", ".yml", ".json"))
        and name != "tests/test_docs.py"
        for match in FOREIGN.finditer((ROOT / name).read_text(encoding="utf-8"))
    ]
    assert mentions == []
    assert FOREIGN.search("pip install 'penstock[ray]'")
    assert metadata("penstock-import")["Name"] == DISTRIBUTION


def test_readme_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line.split("#")[0].strip() for line in lines[3:5]] == ["make demo", "make test"]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_in_pages_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert sorted(named - targets) == []
