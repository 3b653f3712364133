"""Thousands of broken files of every format, imported: rows or an error that names the file, and nothing else.

No crash, no other exception, no endless reading, no memory beyond what a worker may have. A short run is part of
``make test``; ``make attack`` makes the long one, and prints its figures::

    PENSTOCK_ATTACK_FILES=10000 PENSTOCK_ATTACK_SEED=7 pytest -s tests/attack

The seed fixes every file.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.errors import MemoryExceeded, WorkerLost
from penstock.imports.memory_budget import share_out
from penstock.imports.tasks import init_worker
from penstock.runners.local import LocalRunner
from tests.attack.importing import CPU_SECONDS, Attack, Outcome, import_broken_files
from tests.attack.mutations import FORMATS
from tests.support.doubles import InlineRunner

FILES = int(os.environ.get("PENSTOCK_ATTACK_FILES", "0"))
SEED = int(os.environ.get("PENSTOCK_ATTACK_SEED", "1"))
SHORT = 150
LONGER = 2000
"""In `make test-all`."""
TASKS = 200
"""What the cases are given out by, at most. Those of one that died are done one by one."""
WORKERS = 2
MEMORY = share_out(1 << 30, WORKERS).limit

pytestmark = pytest.mark.timeout(600 + max(FILES, LONGER) // 10)


def outcomes(runner: LocalRunner, folder: Path, count: int) -> Iterator[Outcome]:
    """Those of all cases, in any order."""
    chunk = max(10, -(-count // TASKS))
    attacks = [
        Attack(folder=folder, seed=SEED, start=start, stop=min(start + chunk, count), memory_limit=MEMORY)
        for start in range(0, count, chunk)
    ]
    handles = {runner.submit(import_broken_files, attack).future: attack for attack in attacks}
    for future in as_completed(handles):
        attack = handles[future]
        try:
            yield from future.result()
        except (MemoryExceeded, WorkerLost):
            for number in range(attack.start, attack.stop):
                yield alone(runner, replace(attack, folder=folder / "alone", start=number, stop=number + 1))


def alone(runner: LocalRunner, attack: Attack) -> Outcome:
    try:
        found: list[Outcome] = runner.submit(import_broken_files, attack).future.result()
        return found[0]
    except MemoryExceeded as error:
        # It is what a job would end with, with the name of the file.
        return Outcome(number=attack.start, rows=0, error=str(error), fault="", memory=error.details["taken"])
    except WorkerLost:
        fault = f"the worker died, or had no end after {CPU_SECONDS} s of processor time"
        return Outcome(number=attack.start, rows=0, error="", fault=fault, memory=0)


@pytest.mark.parametrize("count", [FILES] if FILES else [SHORT, pytest.param(LONGER, marks=pytest.mark.slow)])
def test_a_broken_file_gives_rows_or_an_error_that_names_it(tmp_path: Path, count: int) -> None:
    runner = LocalRunner(WORKERS, init_worker)
    started = time.monotonic()
    try:
        found = list(outcomes(runner, tmp_path, count))
    finally:
        runner.close()
    seconds = time.monotonic() - started
    assert sorted(each.number for each in found) == list(range(count))
    report(found, seconds)

    assert [each for each in found if each.fault] == []
    # Each format's files are both: so broken that they are refused, and so little that they give rows.
    for format_, of_format in by_format(found).items():
        assert sum(bool(each.error) for each in of_format) > len(of_format) // 10, format_
        if len(of_format) >= 100:  # of fewer, none may give rows by chance
            assert sum(bool(each.rows) for each in of_format) > len(of_format) // 100, format_
    assert sum(bool(each.rows) for each in found) > count // 20


def by_format(found: list[Outcome]) -> dict[str, list[Outcome]]:
    return {
        each: [outcome for outcome in found if outcome.number % len(FORMATS) == number]
        for number, each in enumerate(FORMATS)
    }


def report(found: list[Outcome], seconds: float) -> None:
    print(f"\nseed {SEED}: {len(found)} files in {seconds:.0f} s")
    for format_, of_format in by_format(found).items():
        kinds = Counter("faults" if each.fault else "refused" if each.error else "read" for each in of_format)
        most = max(of_format, key=lambda each: each.memory)
        print(f"  {format_}: {dict(kinds)}, at most {most.memory >> 20} MiB more (case {most.number})")
        for each in filter(lambda outcome: outcome.fault, of_format):
            print(f"    case {each.number}: {each.fault}")


def test_the_files_are_good_before_they_are_broken(tmp_path: Path) -> None:
    attack = Attack(folder=tmp_path, seed=SEED, start=0, stop=100, memory_limit=MEMORY, broken=False)
    found = InlineRunner().submit(import_broken_files, attack).future.result()
    assert [each for each in found if each.error or each.fault or not each.rows] == []
