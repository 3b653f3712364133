"""Registries of engines for tests, and what engines of tests have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from penstock.engines.base import Engine
from penstock.engines.registry import EngineRegistry
from penstock.engines.values import Publication, Published, Table
from penstock.errors import PenstockError

__all__ = ["only", "published_singly"]


def only(engine: Engine) -> EngineRegistry:
    """A registry of one engine, whatever the store."""
    return EngineRegistry({engine.name: lambda store: engine}, default=engine.name)


def published_singly(
    engine: Engine, table: Table, jobs: Sequence[Publication]
) -> Mapping[int, Published | PenstockError]:
    """What :meth:`Engine.publish_group` returns, by an engine that has a transaction for each job."""
    outcomes: dict[int, Published | PenstockError] = {}
    for job in jobs:
        try:
            intent = replace(table, version=job.intent_version)
            outcomes[job.job_id] = engine.publish(intent, job.job_id, job.epoch, job.staged)
        except PenstockError as error:
            outcomes[job.job_id] = error
    return outcomes
