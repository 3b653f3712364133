"""How `make test` shares its tests out among processes, and what it says of the time in the end.

``tests/conftest.py`` takes the hooks from here.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = [
    "FileScheduling",
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_runtest_logreport",
    "pytest_terminal_summary",
    "pytest_xdist_make_scheduler",
]

LONG = ("runners", "server", "chaos", "attack", "imports", "cli", "bulk_writer", "engines", "sdk", "catalog")
"""The folders with tests of many seconds, which begin first: a process that has one left at the end runs it alone."""
RAY_FILES = ("tests/runners/test_conformance.py", "tests/runners/test_ray.py", "tests/server/test_ray.py")
"""They share a Ray cluster."""
LONGEST_FILES = (
    "tests/web/test_browser.py",
    "tests/attack/test_filters.py",
    "tests/imports/test_bombs.py",
    "tests/test_docs.py",
    "tests/bulk_writer/test_against_pymilvus.py",
)
"""They begin before the folders: one that began last would leave the other processes without work for a minute."""
SLOWEST = 10

_seconds: dict[str, float] = defaultdict(float)
_processes: dict[str, set[str]] = defaultdict(set)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _turn(_file(item.nodeid)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave ten thousand tests, and all that they import, out of every garbage collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _turn(file: str) -> int:
    folder = Path(file).parts[1]
    if file in RAY_FILES:
        return -2
    if file in LONGEST_FILES:
        return -1
    return LONG.index(folder) if folder in LONG else len(LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling:
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of a file run in one process, which makes what they share once.

    Not by ``--dist loadgroup``: with pytest 9.2 it knows no groups (pytest-dev/pytest-xdist#1386), and every server
    of a module ran twice.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = _file(nodeid)
        return "ray" if file in RAY_FILES else file


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    file = _file(report.nodeid)
    _seconds[file] += report.duration
    if hasattr(report, "node"):
        _processes[file].add(report.node.gateway.id)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The files that took longest, and those whose tests were not kept together."""
    if not _processes:
        return
    terminalreporter.section(f"slowest {SLOWEST} of {len(_seconds)} files, {sum(_seconds.values()):.0f} s in all")
    for file in sorted(_seconds, key=_seconds.__getitem__, reverse=True)[:SLOWEST]:
        terminalreporter.write_line(f"{_seconds[file]:.1f}s {file}")
    for file, processes in _processes.items():
        if len(processes) > 1:
            terminalreporter.write_line(f"{file} ran in several processes, and each made what its tests share")
