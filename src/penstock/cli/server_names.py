"""Complete names that the server knows in a shell: of collections and jobs.

A shell waits for them at a keystroke: without an answer within a second there is none, and nothing is printed.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.client_options import with_profile

if TYPE_CHECKING:
    from penstock.sdk.client import Client

_DEADLINE = 1.0
"""Seconds."""
_MAX_JOBS = 100


def complete_collections(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The collections that begin with ``incomplete``."""
    return _answer(context, incomplete, lambda client: client.collections.list())


def complete_jobs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The newest jobs whose ids begin with ``incomplete``."""
    return _answer(
        context,
        incomplete,
        lambda client: (job.id for job in itertools.islice(client.imports.list(), _MAX_JOBS)),
    )


def _answer(context: click.Context, incomplete: str, ask: Callable[[Client], Iterable[str]]) -> list[str]:
    values: dict[str, Any] = {
        name: context.params.get(name) or "" for name in ("url", "api_key", "database", "cluster_id")
    }
    try:
        with context.scope(cleanup=False):
            if profile := context.params.get("profile"):
                values = with_profile(profile, values)
    except click.ClickException:
        return []
    import penstock.sdk.client  # noqa: F401  before the time counts; with all of requests, too slow for --help

    names: list[str] = []
    # A client tries again for longer than a shell may wait.
    thread = threading.Thread(target=_collect, args=(values, ask, names), daemon=True)
    thread.start()
    thread.join(_DEADLINE)
    return [name for name in list(names) if name.startswith(incomplete)]


def _collect(values: dict[str, Any], ask: Callable[[Client], Iterable[str]], names: list[str]) -> None:
    from penstock.sdk.client import Client
    from penstock.sdk.errors import SdkError

    url, api_key = values.pop("url"), values.pop("api_key")
    try:
        with Client(url, api_key, timeout=_DEADLINE, **values) as client:
            names.extend(ask(client))
    except (SdkError, ValueError):
        return  # no server, no access, or no address: there is nothing to offer
