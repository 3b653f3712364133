"""Run the code blocks of a page in order, as a reader would who copies them.

Blocks of ``sh`` and ``python`` run, in one folder; variables that a block of ``sh`` exports hold in later ones. A
block whose command is ``penstock serve`` starts a server, which ends with the page or at the next such block. A
comment in the line before a block changes what is done: ``<!-- fails -->`` expects an exit code other than 0,
``<!-- install -->`` leaves it out, since what it makes is there. ``127.0.0.1:19530`` stands for the server of the
test.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.support.servers import clean_environment

__all__ = ["Block", "has_server", "read_blocks", "run_page"]

ADDRESS = "127.0.0.1:19530"
_RUNNABLE = ("sh", "python")
_SECONDS = 120
_STOP_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block: its language, the word of the comment before it, its text, and its line in the page."""

    language: str
    word: str
    text: str
    line: int

    @property
    def starts_server(self) -> bool:
        return self.language == "sh" and "penstock serve" in self.text


def read_blocks(page: Path) -> Iterator[Block]:
    """All code blocks of a page."""
    language, word, lines, first, before = None, "", list[str](), 0, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"```\s*(.*)$", line)
        if fence is None:
            lines.append(line)
        elif language is None:
            comment = re.fullmatch(r"<!-- (\w+) -->", before)
            language, word, lines, first = fence[1], comment[1] if comment else "", [], number
        else:
            yield Block(language=language, word=word, text="\n".join(lines), line=first)
            language = None
        before = line


def has_server(page: Path) -> bool:
    """Whether the page starts a server of its own."""
    return any(block.starts_server for block in read_blocks(page))


def run_page(
    page: Path, folder: Path, port: int, programs: Path, environment: Mapping[str, str] | None = None
) -> dict[int, str]:
    """Run the blocks of a page in ``folder``; returns what each printed, by its line.

    Args:
        port: of the server that runs, or that the page starts.
        programs: the folder of ``python`` and ``penstock``.
        environment: further variables.

    Raises:
        AssertionError: a block failed, or one that must fail didn't; the message has what it printed.
    """
    variables = {
        **clean_environment(),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PENSTOCK_PORT": str(port),
        "PENSTOCK_URL": f"http://127.0.0.1:{port}",
        "PENSTOCK_WORKERS": "1",
        "PENSTOCK_REQUEST_TIMEOUT": "2m",  # for the first call, on a busy machine: workers are still starting
        "COLUMNS": "100",
        **(environment or {}),
    }
    printed: dict[int, str] = {}
    with ExitStack() as servers:
        for block in read_blocks(page):
            if block.language not in _RUNNABLE or block.word == "install":
                continue
            text = block.text.replace(ADDRESS, f"127.0.0.1:{port}")
            if block.starts_server:
                servers.close()
                servers.enter_context(_server(text, folder, port, variables))
                continue
            done = _run(block, text, folder, variables)
            where = f"{page.name}, line {block.line}, exit code {done.returncode}:\n{done.stdout}"
            assert (done.returncode != 0) is (block.word == "fails"), where
            printed[block.line] = done.stdout
    return printed


def _run(block: Block, text: str, folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    if block.language == "python":
        program = folder / f"line_{block.line}.py"
        program.write_text(text, encoding="utf-8")
        command = ["python", program.name]
    else:
        command = ["bash", "-e", "-u", "-c", f"{_with_exports(text)}\nexport -p > .exports"]
    return subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def _with_exports(text: str) -> str:
    return f"test ! -e .exports || source ./.exports\n{text}"


@contextmanager
def _server(text: str, folder: Path, port: int, variables: Mapping[str, str]) -> Iterator[None]:
    log = folder / "server.log"
    command = _with_exports(text).replace("penstock serve", "exec penstock serve")
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["bash", "-e", "-c", command],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(process, port, log)
        yield
        process.terminate()
        assert process.wait(_STOP_SECONDS) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(_STOP_SECONDS)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, f"the server ended with exit code {process.returncode}\n{log.read_text()}"
        try:
            if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.05)
    raise AssertionError(f"the server is not ready after {_SECONDS} s\n{log.read_text()}")
