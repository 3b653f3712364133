"""Run all checks in order. A check that raises is reported as failed, and the others still run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from penstock.server.doctor.catalog import check_catalog
from penstock.server.doctor.folder import check_clock, check_folder, check_key, check_space, check_versions
from penstock.server.doctor.result import CheckResult, fail
from penstock.server.doctor.roots import check_roots
from penstock.settings import Settings

_CHECKS: Sequence[tuple[str, Callable[[Settings], Iterator[CheckResult]]]] = (
    ("versions", check_versions),
    ("clock", check_clock),
    ("data dir", check_folder),
    ("disk space", check_space),
    ("secret.key", check_key),
    ("catalog", check_catalog),
    ("import root", check_roots),
)


def examine(settings: Settings) -> Sequence[CheckResult]:
    """Run all checks and return their results in order."""
    results: list[CheckResult] = []
    for name, check in _CHECKS:
        try:
            results.extend(check(settings))
        except Exception as error:  # noqa: BLE001 - whatever breaks, the other checks are still worth making
            remedy = "Report this with the version of Penstock and the preceding events"
            results.append(fail(name, f"the check failed unexpectedly: {type(error).__name__}: {error}", remedy))
    return results
