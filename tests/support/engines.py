"""Registries of engines for tests."""

from __future__ import annotations

from penstock.engines.base import Engine
from penstock.engines.registry import EngineRegistry

__all__ = ["only"]


def only(engine: Engine) -> EngineRegistry:
    """A registry of one engine, whatever the store."""
    return EngineRegistry({engine.name: lambda store: engine}, default=engine.name)
