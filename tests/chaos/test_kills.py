"""Servers and workers are killed again and again while jobs run; afterwards every row is there exactly once.

A short run is part of ``make test``; ``make chaos`` makes the long one, and prints its figures::

    PENSTOCK_CHAOS_KILLS=200 PENSTOCK_CHAOS_SEED=7 pytest -s tests/chaos

The seed fixes which process is killed at which step of which job, or after how long: a run is repeatable up to the
machine's own timing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.crashing_server import place_of
from tests.chaos.steps import STEPS, Step
from tests.support.postgres import PostgresServer

KILLS = int(os.environ.get("PENSTOCK_CHAOS_KILLS", "0"))
SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED", "1"))
SHORT, LONGER = 2, 20
"""In `make test`, where the two catalogs take other phases each, and in `make test-all`."""
PER_CAMPAIGN = 40
"""Kills in one data folder; then a new one begins, with another seed."""
SHORT_LEASE = ("--lease-duration", "2s")
"""Short runs release the jobs of a killed server so soon; the long run keeps the default."""

pytestmark = pytest.mark.timeout(600 + 30 * max(KILLS, LONGER))


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_the_steps_are_calls_of_the_program(step: Step) -> None:
    owner, name = place_of(step)
    assert callable(getattr(owner, name))


def campaign(folder: Path, number: int, kills: int, catalog_url: str | None = None) -> None:
    made = Campaign(folder, SEED + number, catalog_url, () if KILLS else SHORT_LEASE)
    made.run(kills, skip=SHORT if kills == SHORT and catalog_url is not None else 0)
    jobs = made.outcomes.total()
    print(f"\nseed {SEED + number}: {made.killed.total()} kills, {jobs} jobs, {made.rows} rows, each once")
    print(f"  kills: {dict(sorted(made.killed.items()))}")
    print(f"  jobs: {dict(sorted(made.outcomes.items()))}")
    print(f"  steps that no job came to in time: {dict(sorted((+made.missed).items()))}")
    if made.takeovers:
        print(f"  takeovers: {len(made.takeovers)}, the longest after {max(made.takeovers):.1f} s")
    # Else the crash points are at calls that no server makes any more.
    assert kills < PER_CAMPAIGN or {step.process for step in STEPS.values()} <= _killed_at_steps(made)


def _killed_at_steps(made: Campaign) -> set[str]:
    """The kinds of processes that were killed at a step: server, worker."""
    return {phase.partition(",")[0] for phase in made.killed if not phase.endswith("at any moment")}


def campaigns() -> list[Any]:
    """Number and kills of each."""
    if not KILLS:
        return [(0, SHORT), pytest.param(0, LONGER, marks=pytest.mark.slow)]
    starts = range(0, KILLS, PER_CAMPAIGN)
    return [(number, min(PER_CAMPAIGN, KILLS - start)) for number, start in enumerate(starts)]


@pytest.mark.parametrize(("number", "kills"), campaigns())
def test_sqlite(tmp_path: Path, number: int, kills: int) -> None:
    campaign(tmp_path / "penstock", number, kills)


@pytest.mark.parametrize(("number", "kills"), campaigns())
def test_postgresql(tmp_path: Path, postgres: PostgresServer, number: int, kills: int) -> None:
    with postgres.database() as url:
        campaign(tmp_path / "penstock", number, kills, url)
