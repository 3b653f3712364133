"""The program as a whole: help, version, exit codes, and what it says when it can't do its work."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import penstock
from penstock.cli.main import COMMANDS, cli
from tests.sdk.recording_server import Answer, recording_server
from tests.support.servers import PENSTOCK, RunningServer, clean_environment


def penstock_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PENSTOCK), *arguments], capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
    )


def all_commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from all_commands(inner, f"{path} {name}")


COMMAND_LINES = dict(all_commands(cli, "penstock"))


def test_version() -> None:
    assert penstock_command("--version").stdout == f"penstock {penstock.__version__}\n"


def test_help_names_every_command() -> None:
    told = penstock_command("--help").stdout
    assert [name for name in COMMANDS if f"\n  {name} " not in told] == []


def test_the_list_of_commands_says_of_each_what_the_command_says_itself() -> None:
    context = click.Context(cli)
    for name, listed in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert listed.help.rstrip(".").split()[0] == (command.help or "").split()[0], name


def test_help_loads_neither_engine_nor_server() -> None:
    program = (
        "import sys\n"
        "from penstock.cli.main import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'lance', 'pyarrow', 'starlette', 'numpy', 'requests', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", COMMAND_LINES)
def test_every_command_has_help(path: str) -> None:
    done = CliRunner().invoke(cli, [*path.split()[1:], "--help"], prog_name="penstock")
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: {path} ")
    assert COMMAND_LINES[path].help


@pytest.mark.parametrize("path", [each for each in COMMAND_LINES if " " in each and "serve" not in each])
def test_every_option_has_an_environment_variable_that_the_help_names(path: str) -> None:
    command = COMMAND_LINES[path]
    options = [
        param
        for param in command.params
        if isinstance(param, click.Option) and param.name != "help" and not param.hidden
    ]
    told = CliRunner().invoke(cli, [*path.split()[1:], "--help"], prog_name="penstock").output
    assert " ".join(told.split()).count("PENSTOCK_") >= len(options)


def test_an_unknown_command_is_wrong_usage() -> None:
    done = penstock_command("imprt")
    assert done.returncode == 2
    assert "No such command 'imprt'. Did you mean 'import'?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["jobs", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["databases", "frobnicate"], "No such command 'frobnicate'. Commands: create, drop, list."),
        (["jobs", "list", "--collecton", "x"], "--collection"),
        (["import", "x.parquet", "--upsert"], "Did you mean '--write-mode upsert'?"),
        (["import", "x.parquet", "--skip-row"], "Did you mean '--on-error skip_row'?"),
        (["export", "docs", "--jsonl"], "Did you mean '--format jsonl'?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_one(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, arguments, prog_name="penstock")
    assert done.exit_code == 2
    assert told in done.output


def test_no_server() -> None:
    done = penstock_command("jobs", "list", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no connection to 127.0.0.1:9" in done.stderr
    assert "penstock serve --data-dir ./data --import-root ./files" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_without_tls_called_by_https(server: RunningServer) -> None:
    address = server.url.removeprefix("http://")  # without scheme means https
    done = penstock_command("jobs", "list", "--url", address)
    assert done.returncode == 1
    assert "use http:// in the address" in done.stderr


def test_no_address_at_all() -> None:
    done = penstock_command("jobs", "list", "--url", "ftp://somewhere")
    assert done.returncode == 2
    assert "is not the address of a server, such as http://127.0.0.1:19530" in done.stderr


def test_a_timeout_of_the_server_comes_with_the_next_step() -> None:
    with recording_server() as server:
        timeout = Answer({"code": 10001, "message": "request timeout"}, status=408)
        server.answer("/v2/vectordb/databases/list", timeout)
        done = penstock_command("databases", "list", "--url", server.url)
    assert done.returncode == 1
    assert "request timeout (code 10001" in done.stderr
    assert "The server is busy. Try the same command again later" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_has_closed_do_not_matter(tmp_path: Path, closed: str) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    with recording_server() as server:
        server.answer("/v2/vectordb/jobs/import/create", {"code": 0, "data": {"jobId": "7"}})
        arguments = ("import", str(tmp_path / "a.jsonl"), "--collection", "docs", "--no-wait", "--url", server.url)
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" "$@" {closed}', str(PENSTOCK), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(),
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "7\n")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with recording_server() as server:
        server.answer(
            "/v2/vectordb/jobs/import/errors/download", Answer(b"{}", headers={"Content-Type": "text/plain"})
        )
        out = str(tmp_path / "none" / "errors.jsonl")
        done = CliRunner().invoke(cli, ["jobs", "errors", "7", "--out", out, "--url", server.url])
    assert (done.exit_code, done.stderr) == (1, f"Error: {out}: No such file or directory\n")


def test_ctrl_c_at_a_question_ends_with_130() -> None:
    with recording_server() as server:
        server.answer("/v2/vectordb/collections/has", {"code": 0, "data": {"has": True}})
        server.answer("/v2/vectordb/collections/get_stats", {"code": 0, "data": {"rowCount": 3}})
        process = subprocess.Popen(
            [str(PENSTOCK), "collections", "drop", "docs", "--url", server.url],
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stderr is not None
            assert process.stderr.read(15) == "Drop collection"
            time.sleep(0.2)  # until it waits for the answer
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Interrupted." in errors


def test_a_filter_from_the_standard_input_that_is_not_text() -> None:
    done = CliRunner().invoke(cli, ["query", "docs", "--filter", "-"], input=b"\xff\xfe")
    assert done.exit_code == 2
    assert "The standard input is not text in utf-8" in done.stderr
