"""Sections run: all entries take turns, each measurement in a folder and with processes of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.machine import describe_disk
from benchmarks.peers.base import Task
from benchmarks.peers.data import CACHE
from benchmarks.peers.results import EntryResult, Run, SectionResult, started_now
from benchmarks.peers.sections import Entry, Section

__all__ = ["run_section"]

SCRATCH = CACHE / "scratch"


def run_section(
    section: Section, pairs: int, tell: Callable[[str], None], *, keep_tables: bool = False
) -> SectionResult:
    """Measure ``pairs`` times, or as often as the section allows. ``tell`` is given a line after each measurement.

    Args:
        keep_tables: leave what each contender wrote on disk until the section ends, as a database would.

    Raises:
        RuntimeError: a contender failed.
    """
    for entry in section.entries:
        entry.data.make()
        entry.data.warm.make()
        entry.data.read()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        result = _measure_in_turns(section, pairs, tell, Path(scratch), keep_tables)
    for entry in section.entries:
        if not entry.data.keep:
            entry.data.drop()
    return result


def _measure_in_turns(
    section: Section, pairs: int, tell: Callable[[str], None], scratch: Path, keep_tables: bool
) -> SectionResult:
    result = SectionResult(
        name=section.name,
        title=section.title,
        **started_now(),
        disk=describe_disk(scratch),
        tables="kept until the section ends" if keep_tables else "deleted after each measurement",
        entries={entry.name: _describe(entry) for entry in section.entries},
    )
    count = min(pairs, section.most_pairs or pairs)
    for pair in range(count):
        for place in range(len(section.entries)):
            entry = section.entries[(pair + place) % len(section.entries)]  # nobody is always the first
            if pair % entry.every == 0:
                run = _measure(entry, pair, scratch, keep_tables)
                result.entries[entry.name].runs.append(run)
                tell(
                    f"{section.name} {pair + 1}/{count} {entry.contender.title}: "
                    f"{entry.data.rows / run.seconds:,.0f} rows/s ({run.seconds:.2f} s)"
                )
    return result


def _describe(entry: Entry) -> EntryResult:
    return EntryResult(
        title=entry.contender.title,
        does=entry.contender.does,
        versions=dict(entry.contender.versions()),
        format=entry.data.format,
        rows=entry.data.rows,
        dim=entry.data.dim,
        files=entry.data.files,
        bytes=entry.data.bytes,
        runs=[],
    )


def _measure(entry: Entry, pair: int, scratch: Path, keep_tables: bool) -> Run:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    index = bool(entry.index_every) and pair % entry.index_every == 0
    load_average = psutil.getloadavg()[0]
    try:
        os.sync()  # what the one before left unwritten isn't this one's to wait for
        outcome = entry.contender.measure(Task(data=entry.data, folder=folder, index=index))
    except RuntimeError as error:
        raise RuntimeError(f"{entry.contender.title}: {error}") from error
    finally:
        if not keep_tables:
            shutil.rmtree(folder)
    return Run(
        pair=pair,
        seconds=outcome.load.seconds,
        cpu_seconds=outcome.load.cpu_seconds,
        peak_bytes=outcome.load.peak_bytes,
        index_seconds=outcome.index.seconds if outcome.index else None,
        index_cpu_seconds=outcome.index.cpu_seconds if outcome.index else None,
        index_peak_bytes=outcome.index.peak_bytes if outcome.index else None,
        search_ms=outcome.search_ms,
        load_average=load_average,
    )
